<?php

declare(strict_types=1);

namespace RR\Ipc;

/**
 * The segment read and written as the file that it also is, for PHP without
 * FFI: two system calls a part, and no pipe in between.
 *
 * @internal
 */
final class FileSegment implements Segment
{
    /** @param resource $file */
    private function __construct(
        private $file,
        private readonly int $half,
    ) {
    }

    public static function open(int $fd, int $half): ?static
    {
        $file = Libc::stream($fd, 'r+b');
        if ($file === null) {
            return null;
        }
        stream_set_read_buffer($file, 0);
        stream_set_write_buffer($file, 0);

        return new self($file, $half);
    }

    public function threshold(): int
    {
        return 32768;
    }

    public function read(int $length): string
    {
        fseek($this->file, self::CONTROL + self::START);
        $bytes = (string) fread($this->file, $length);
        if (strlen($bytes) !== $length) {
            throw new \RR\RelayException("cannot read $length bytes of shared memory");
        }

        return $bytes;
    }

    public function gather(int $total, int $part, \Closure $next): string
    {
        $parts = [$this->read($part)];
        for ($at = $part; $at < $total; $at += $part) {
            $parts[] = $this->read($part = $next($total - $at));
        }

        return implode('', $parts);
    }

    public function write(string $bytes, int $at, int $length): void
    {
        fseek($this->file, self::CONTROL + $this->half + self::START);
        if (@fwrite($this->file, $length === strlen($bytes) ? $bytes : substr($bytes, $at, $length)) !== $length) {
            throw new \RR\RelayException("cannot write $length bytes of shared memory");
        }
    }
}
