<?php

declare(strict_types=1);

namespace RR\Ipc;

/**
 * The few functions of the C library that PHP has no way to, where FFI is
 * allowed (on the command line it is, unless ffi.enable=0).
 *
 * @internal
 */
final class Libc
{
    private const FUNCTIONS = <<<'C'
        int close(int fd);
        int dup(int fd);
        int dup2(int from, int to);
        int fcntl(int fd, int command, int argument);
        char *memcpy(char *to, const char *from, size_t length);
        char *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
        int open(const char *path, int flags);
        C;

    private const F_SETFD = 2;
    private const FD_CLOEXEC = 1;

    private static \FFI|false|null $libc = null;

    /** null where there is no FFI. */
    public static function get(): ?\FFI
    {
        if (self::$libc === null) {
            self::$libc = false;
            if (\PHP_OS_FAMILY === 'Linux' && class_exists(\FFI::class, false)) {
                try {
                    self::$libc = \FFI::cdef(self::FUNCTIONS);
                } catch (\FFI\Exception) {
                    // ffi.enable=0
                }
            }
        }

        return self::$libc ?: null;
    }

    /**
     * Opens a copy of a descriptor of this process. With FFI the copy is not
     * passed on to processes that the application starts.
     *
     * @return resource|null null when the descriptor is not open
     */
    public static function stream(int $fd, string $mode)
    {
        $libc = self::get();
        // PHP does not tell the number of the copy, but it is the lowest free one.
        $copy = $libc?->dup($fd);
        if ($copy !== null) {
            $libc->close($copy);
        }
        $stream = @fopen("php://fd/$fd", $mode);
        if ($stream === false) {
            return null;
        }
        if ($copy !== null) {
            $libc->fcntl($copy, self::F_SETFD, self::FD_CLOEXEC);
        }

        return $stream;
    }

    /** Closes a descriptor that PHP has not opened; without FFI it stays open. */
    public static function close(int $fd): void
    {
        self::get()?->close($fd);
    }
}
