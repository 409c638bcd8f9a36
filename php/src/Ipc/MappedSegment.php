<?php

declare(strict_types=1);

namespace RR\Ipc;

/**
 * The segment mapped into this process by FFI: a body is copied once, between
 * the shared memory and a PHP string.
 *
 * @internal
 */
final class MappedSegment implements Segment
{
    private const PROT_READ_WRITE = 3;
    private const MAP_SHARED = 1;

    private function __construct(
        private readonly \FFI $libc,
        private readonly \FFI\CData $request,
        private readonly \FFI\CData $response,
    ) {
    }

    public static function open(int $fd, int $half): ?static
    {
        $libc = Libc::get();
        $memory = $libc?->mmap(null, self::CONTROL + 2 * $half, self::PROT_READ_WRITE, self::MAP_SHARED, $fd, 0);
        if ($memory === null || \FFI::isNull($memory) || $memory == $libc->cast('char *', -1)) {
            return null;
        }

        return new self($libc, $memory + self::CONTROL + self::START, $memory + self::CONTROL + $half + self::START);
    }

    public function threshold(): int
    {
        return 8192;
    }

    public function read(int $length): string
    {
        return \FFI::string($this->request, $length);
    }

    public function gather(int $total, int $part, \Closure $next): string
    {
        // The string is made in its final size and filled in place, which only C
        // can do: appended to, it would be moved with every part (10 MiB: 34 ms
        // instead of 1). Nobody else has this string yet.
        $body = str_repeat("\0", $total);
        $start = $this->libc->memcpy($body, $this->request, $part);
        for ($at = $part; $at < $total; $at += $part) {
            $part = $next($total - $at);
            $this->libc->memcpy($start + $at, $this->request, $part);
        }

        return $body;
    }

    public function write(string $bytes, int $at, int $length): void
    {
        if ($at === 0) {
            \FFI::memcpy($this->response, $bytes, $length);
        } else {
            // The address of the string's bytes, without copying any.
            $start = $this->libc->memcpy($bytes, $bytes, 0);
            \FFI::memcpy($this->response, $start + $at, $length);
        }
    }
}
