<?php

declare(strict_types=1);

namespace RR\Ipc;

/**
 * The memory that one worker and its server share: a page of control data, the
 * request half, which the server writes, and the response half, which the worker
 * writes. A body, or a part of it, lies at offset START of its half. (At the
 * start of a page the processor's copy into a PHP string, whose bytes begin at
 * offset 24 as well, is many times slower: 4 KiB aliasing.)
 *
 * @internal
 */
interface Segment
{
    /** Size of the page before the halves. */
    public const CONTROL = 4096;

    /** Offset of a body in its half. */
    public const START = 24;

    /** Null when the memory cannot be used this way. */
    public static function open(int $fd, int $half): ?static;

    /**
     * The shortest body, in bytes, that is worth it: below, the handling costs
     * more than the copies into the pipe and out of it.
     */
    public function threshold(): int;

    /** The first $length bytes of the request. */
    public function read(int $length): string;

    /**
     * A body that comes in several parts: the first $part bytes are there, and
     * each call of $next returns the length of the part that has replaced the
     * one before.
     *
     * @param \Closure(int): int $next gets the number of bytes that are missing,
     *        and must not return more
     */
    public function gather(int $total, int $part, \Closure $next): string;

    /** Puts $length bytes of $bytes, from offset $at on, into the response half. */
    public function write(string $bytes, int $at, int $length): void;
}
