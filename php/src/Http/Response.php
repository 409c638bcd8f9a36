<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * One response. A body that is no string is streamed: every chunk that a
 * generator (or another iterable) yields is sent at once, an open file is sent
 * piece by piece, and a closure's output is sent as it is flushed.
 */
final class Response
{
    /** Bytes of a closure's output that are sent together. */
    public const BUFFER = 8192;

    /**
     * @param array<string, string|int|list<string|int>> $headers a list gives several lines of the same header
     * @param string|iterable<string>|resource|\Closure $body
     * @param array<string, string|list<string>> $trailers sent after the body
     * @param int $buffer bytes of a closure's output that are sent together; 1: each echo at once
     */
    public function __construct(
        public readonly int $status = 200,
        public readonly array $headers = [],
        public readonly mixed $body = '',
        public readonly array $trailers = [],
        public readonly int $buffer = self::BUFFER,
    ) {
        if ($status < 200 || $status > 599) {
            throw new \InvalidArgumentException("response status $status is not in 200..599");
        }
        if (!is_string($body) && !is_iterable($body) && !$body instanceof \Closure && !is_resource($body)) {
            throw new \InvalidArgumentException('response body must be a string, an iterable, an open file or a closure, not ' . get_debug_type($body));
        }
    }

    /** @param array<string, string|int|list<string|int>> $headers */
    public static function text(string $body, int $status = 200, array $headers = []): self
    {
        return new self($status, $headers + ['Content-Type' => 'text/plain; charset=utf-8'], $body);
    }

    /** @param array<string, string|int|list<string|int>> $headers */
    public static function html(string $body, int $status = 200, array $headers = []): self
    {
        return new self($status, $headers + ['Content-Type' => 'text/html; charset=utf-8'], $body);
    }

    /** @param array<string, string|int|list<string|int>> $headers */
    public static function json(mixed $data, int $status = 200, array $headers = []): self
    {
        return new self($status, $headers + ['Content-Type' => 'application/json'], json_encode(
            $data,
            JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION,
        ));
    }

    public static function redirect(string $to, int $status = 302): self
    {
        return new self($status, ['Location' => $to]);
    }
}
