<?php

declare(strict_types=1);

namespace RR\Ipc;

use RR\Frame;
use RR\ProtocolException;
use RR\Relay;
use RR\RelayException;

// PHP compiles these into instructions only where it knows that they are its own.
use function crc32, strlen, substr, unpack;

/**
 * Whole frames over a relay: one read and one write for a usual request.
 *
 * @internal
 */
class FrameStream implements Transport
{
    /** Frames from this size on are written in two pieces: a second system call is cheaper than a copy. */
    private const TWO_WRITES = 65536;

    /** Bytes asked for at once when a frame is known to be long. */
    private const LONG = 262144;

    /** Bytes that were read but belong to the next frame. */
    protected string $rest = '';

    /**
     * @param int $chunk bytes asked for when it is not known how many come: more
     *        than a usual frame, less than makes allocation slow
     */
    public function __construct(protected readonly Relay $relay, private readonly int $chunk = 32768)
    {
    }

    public function abilities(): array
    {
        return ['stop', 'body'];
    }

    public function ready(): bool
    {
        return $this->rest !== '' || $this->relay->ready();
    }

    public function send(string $context, string $body, int $flags, int $stream): void
    {
        $n = strlen($context);
        $length = $n + strlen($body);
        $head = Frame::head($flags, $stream, $length, $n) . $context;
        if ($length < self::TWO_WRITES) {
            $this->relay->write($head . $body);
        } else {
            $this->relay->write($head);
            $this->relay->write($body);
        }
    }

    public function sendText(string $text, int $flags): void
    {
        $this->relay->write(Frame::encode($text, $flags));
    }

    public function ask(int $most): void
    {
        $this->relay->write(Frame::encode('', 0, Frame::BODY, [$most]));
    }

    public function receive(): ?array
    {
        $frame = $this->frame();
        if ($frame !== null && $frame[1] & Frame::SHM) {
            throw new ProtocolException('the server sent a body through shared memory, which this worker has not accepted');
        }

        return $frame;
    }

    /**
     * As receive(). A frame with Frame::SHM has no body yet, and behind it the
     * length of the part in shared memory and that of the rest.
     *
     * @return array{0: int, 1: int, 2: string, 3: string, 4?: int, 5?: int}|null
     */
    final protected function frame(): ?array
    {
        if ($this->rest === '') {
            $bytes = $this->relay->read($this->chunk);
            // As a rule it is a whole frame with one option, or with the three of shared
            // memory: this is what a request costs.
            $length = strlen($bytes);
            $words = $length >= 24 ? $bytes[0] : '';
            if ($words === "\x14") {
                $h = unpack('x/Cflags/Vlength/Vcrc/vstream/Vcontext', $bytes);
                if ($length === 16 + $h['length'] && $h['context'] <= $h['length'] && $h['stream'] < Frame::SHM && crc32(substr($bytes, 0, 6)) === $h['crc']) {
                    return [$h['flags'], $h['stream'], substr($bytes, 16, $h['context']), substr($bytes, 16 + $h['context'])];
                }
            } elseif ($words === "\x16") {
                $h = unpack('x/Cflags/Vlength/Vcrc/Cstream/x/Vcontext/Vpart/Vrest', $bytes);
                if ($length === 24 + $h['length'] && $h['context'] === $h['length'] && $h['stream'] & Frame::SHM && crc32(substr($bytes, 0, 6)) === $h['crc']) {
                    return [$h['flags'], $h['stream'], substr($bytes, 24), '', $h['part'], $h['rest']];
                }
            }
        } else {
            $bytes = $this->rest;
            $this->rest = '';
        }

        return $this->anyFrame($bytes);
    }

    /**
     * @return array{0: int, 1: int, 2: string, 3: string, 4?: int, 5?: int}|null as frame()
     */
    private function anyFrame(string $bytes): ?array
    {
        $have = strlen($bytes);
        if ($have === 0) {
            return null;
        }
        while ($have < Frame::HEADER) {
            $more = $this->relay->read($this->chunk);
            if ($more === '') {
                throw new RelayException("the server closed the channel after $have bytes of a frame");
            }
            $bytes .= $more;
            $have = strlen($bytes);
        }
        ['head' => $head, 'flags' => $flags, 'length' => $length, 'stream' => $stream] = Frame::parse($bytes);
        while ($have < $head) {
            $bytes .= $this->more($head - $have);
            $have = strlen($bytes);
        }
        if ($flags & Frame::CONTROL || $head === Frame::HEADER) {
            $context = 0;
        } else {
            $context = unpack('V', $bytes, Frame::HEADER)[1];
            if ($context > $length) {
                throw new ProtocolException("context of $context bytes in a payload of $length bytes");
            }
        }
        while ($have < $head + $context) {
            $bytes .= $more = $this->more($head + $context - $have);
            $have += strlen($more);
        }
        $end = $head + $length;
        $contextBytes = substr($bytes, $head, $context);
        if ($stream & Frame::SHM) {
            $options = Frame::options($bytes, $head);
            if (count($options) !== 3 || $context !== $length) {
                throw new ProtocolException('a frame for shared memory with ' . count($options) . " options and a payload of $length bytes");
            }
            $this->rest = substr($bytes, $end);

            return [$flags, $stream, $contextBytes, '', $options[1], $options[2]];
        }
        if ($have === $end) {
            return [$flags, $stream, $contextBytes, substr($bytes, $head + $context)];
        }
        if ($have > $end) {
            $this->rest = substr($bytes, $end);

            return [$flags, $stream, $contextBytes, substr($bytes, $head + $context, $length - $context)];
        }
        $parts = [substr($bytes, $head + $context)];
        unset($bytes);
        for ($missing = $end - $have; $missing > 0; $missing -= strlen($more)) {
            $parts[] = $more = $this->more($missing);
        }

        // Joined at the end: a string that grows is moved again and again, which
        // needs as much memory and took 10 times as long for 10 MiB.
        return [$flags, $stream, $contextBytes, implode('', $parts)];
    }

    /** At least one byte, at most $length. */
    private function more(int $length): string
    {
        $bytes = $this->relay->read(min($length, self::LONG));
        if ($bytes === '') {
            throw new RelayException("the server closed the channel in the middle of a frame, $length bytes are missing");
        }

        return $bytes;
    }
}
