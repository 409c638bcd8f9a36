<?php

declare(strict_types=1);

namespace RR;

use function count, crc32, pack, strlen, substr, unpack;

/**
 * The goridge v3 frame: 12 bytes of header, options of 4 bytes each, payload.
 * All integers are little-endian.
 *
 *     0     version 1 (high nibble), header length in words of 4 bytes (low nibble)
 *     1     flags: CONTROL, ERROR, codec of the context
 *     2-5   payload length
 *     6-9   CRC-32 of bytes 0-5
 *     10    stream bits
 *     11    0
 *
 * A job and its answer carry one option, the length of the context; the rest of
 * the payload is the body.
 */
final class Frame
{
    public const CONTROL = 0x01;
    public const RAW = 0x04;
    public const JSON = 0x08;
    public const MSGPACK = 0x10;
    public const GOB = 0x20;
    public const ERROR = 0x40;
    public const PROTO = 0x80;

    /** Stream bits, byte 10. */
    public const STREAM = 0x01;
    public const STOP = 0x02;
    public const PING = 0x04;
    public const PONG = 0x08;

    /** Of rrd: a part of a request's body, or the question for one. */
    public const BODY = 0x10;

    /** Of rrd: the body is in shared memory. */
    public const SHM = 0x20;

    /** Length of a header without options. */
    public const HEADER = 12;

    /** At most 10 options fit: 3 + 10 words. */
    private const MAX_WORDS = 13;

    /** Header of a frame with one option: the length of the context. */
    public static function head(int $flags, int $stream, int $length, int $context): string
    {
        $start = pack('CCV', 0x14, $flags, $length);

        return $start . pack('VvV', crc32($start), $stream, $context);
    }

    /** A whole frame whose body is in shared memory: $part bytes of it, and $rest bytes follow. */
    public static function shared(string $context, int $flags, int $stream, int $part, int $rest): string
    {
        $length = strlen($context);
        $start = pack('CCV', 0x16, $flags, $length);

        return $start . pack('VCxVVV', crc32($start), $stream, $length, $part, $rest) . $context;
    }

    /**
     * A whole frame.
     *
     * @param list<int> $options
     */
    public static function encode(string $payload, int $flags = 0, int $stream = 0, array $options = []): string
    {
        $start = pack('CCV', 0x13 + count($options), $flags, strlen($payload));
        $head = $start . pack('VCx', crc32($start), $stream);

        return ($options === [] ? $head : $head . pack('V*', ...$options)) . $payload;
    }

    /**
     * The header at the start of $bytes, which must hold 12 bytes at least.
     *
     * @return array{head: int, flags: int, length: int, stream: int} head is the
     *         length in bytes of the header with its options
     *
     * @throws ProtocolException when the bytes are no frame
     */
    public static function parse(string $bytes): array
    {
        $h = unpack('Cwords/Cflags/Vlength/Vcrc/Cstream', $bytes);
        $words = $h['words'] & 0x0F;
        if (($h['words'] >> 4) !== 1 || $words > self::MAX_WORDS || crc32(substr($bytes, 0, 6)) !== $h['crc']) {
            throw new ProtocolException('not a goridge frame: ' . self::printable($bytes));
        }

        return ['head' => max($words, 3) * 4, 'flags' => $h['flags'], 'length' => $h['length'], 'stream' => $h['stream']];
    }

    /**
     * @return list<int> the options of a frame whose header parse() returned
     */
    public static function options(string $bytes, int $head): array
    {
        return $head > self::HEADER ? array_values(unpack('V' . ($head - self::HEADER) / 4, $bytes, self::HEADER)) : [];
    }

    private static function printable(string $bytes): string
    {
        return '"' . addcslashes(substr($bytes, 0, 64), "\0..\37\"\\\177..\377") . '"';
    }
}
