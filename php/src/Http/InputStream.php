<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * What php://input gives: PHP keeps the request's body in a stream of its own,
 * which is found among the resources and filled for every request.
 *
 * @internal
 */
final class InputStream
{
    /** @var resource|false|null false: this PHP does not show it */
    private static $body = null;

    private static bool $filled = false;

    /** Must be called before anybody opens php://input. */
    public static function prepare(): void
    {
        self::$body ??= self::find();
    }

    public static function set(string $body): void
    {
        if (!self::$body || $body === '' && !self::$filled) {
            return;
        }
        ftruncate(self::$body, 0);
        rewind(self::$body);
        fwrite(self::$body, $body);
        self::$filled = $body !== '';
    }

    /** @return resource|false */
    private static function find()
    {
        $before = get_resources('stream');
        $input = fopen('php://input', 'rb');
        foreach (array_diff_key(get_resources('stream'), $before) as $stream) {
            if ($stream !== $input && stream_get_meta_data($stream)['stream_type'] === 'TEMP') {
                return $stream;
            }
        }

        return false;
    }
}
