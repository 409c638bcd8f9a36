<?php

declare(strict_types=1);

namespace RR\Http;

use RR\Worker;

/**
 * The body of a request as a PHP stream that reads while the body arrives.
 *
 * @internal see Request::stream()
 */
final class BodyStream
{
    private const SCHEME = 'rr-request-body';

    /** Bytes that PHP asks for at once. */
    private const CHUNK = 65536;

    /** @var resource|null set by PHP */
    public $context;

    private Worker $worker;

    private string $have = '';

    private int $at = 0;

    private int $position = 0;

    private bool $end = false;

    /** @return resource */
    public static function open(Worker $worker)
    {
        static $registered = false;
        $registered = $registered || stream_wrapper_register(self::SCHEME, self::class);
        $stream = fopen(self::SCHEME . '://', 'rb', false, stream_context_create([self::SCHEME => ['worker' => $worker]]));
        stream_set_chunk_size($stream, self::CHUNK);

        return $stream;
    }

    public function stream_open(string $path, string $mode): bool
    {
        $this->worker = stream_context_get_options($this->context)[self::SCHEME]['worker'];

        return $mode === 'rb' || $mode === 'r';
    }

    public function stream_read(int $count): string
    {
        if ($this->at === strlen($this->have) && !$this->end) {
            $this->have = $this->worker->readBody();
            $this->at = 0;
            $this->end = $this->have === '';
        }
        $bytes = substr($this->have, $this->at, $count);
        $this->at += strlen($bytes);
        $this->position += strlen($bytes);

        return $bytes;
    }

    public function stream_eof(): bool
    {
        return $this->end;
    }

    public function stream_tell(): int
    {
        return $this->position;
    }

    /** A rewind before the first read is none. */
    public function stream_seek(int $offset, int $whence): bool
    {
        return $whence === SEEK_SET && $offset === $this->position;
    }

    /** @return array<string, int> */
    public function stream_stat(): array
    {
        return ['mode' => 0010400];
    }

    public function stream_set_option(): bool
    {
        return false;
    }
}
