<?php

declare(strict_types=1);

namespace RR\Ipc;

use RR\Frame;
use RR\ProtocolException;
use RR\Relay;
use RR\RelayException;

use function strlen;

/**
 * Frames over a relay whose large bodies go through shared memory. A frame with
 * Frame::SHM has three options: the length of the context, which is its payload,
 * the length of the part of the body that is in the memory, and how many bytes
 * of the body are still to come.
 *
 * @internal
 */
final class SharedMemory extends FrameStream
{
    /** Bodies of fewer bytes go through the pipe. */
    private readonly int $threshold;

    /** The most that one part holds. */
    private readonly int $room;

    /**
     * The server has not said yet that it has copied the last part: the half must
     * not be written. At the end of an answer it does not matter any more, because
     * the server has copied all when it sends the next job.
     */
    private bool $occupied = false;

    /** Frames that came while another one was awaited. @var list<array{int, int, string, string}> */
    private array $queue = [];

    public function __construct(Relay $relay, private readonly Segment $segment, int $half)
    {
        // Larger bodies do not come this way.
        parent::__construct($relay, 8192);
        $this->room = $half - Segment::START;
        $this->threshold = $segment->threshold();
    }

    public function abilities(): array
    {
        return ['stop', 'body', 'shm'];
    }

    public function ready(): bool
    {
        return $this->queue !== [] || parent::ready();
    }

    public function receive(): ?array
    {
        for (;;) {
            try {
                return $this->receiveWhole();
            } catch (\UnderflowException $e) {
                // Nobody waits for the answer, but the server counts on one.
                $this->sendText($e->getMessage(), Frame::ERROR);
            }
        }
    }

    /**
     * As receive(), but a job whose body will not come is an exception.
     *
     * @return array{int, int, string, string}|null
     *
     * @throws \UnderflowException
     */
    public function receiveWhole(): ?array
    {
        if ($this->queue !== []) {
            return array_shift($this->queue);
        }
        $frame = $this->frame();
        if ($frame === null) {
            return null;
        }
        if ($frame[1] & Frame::PONG) {
            $this->occupied = false;
        } elseif ($frame[1] & Frame::SHM) {
            $frame[3] = $this->body($frame[4], $frame[5]);
            $frame[1] &= ~Frame::SHM;
        }

        return $frame;
    }

    public function send(string $context, string $body, int $flags, int $stream): void
    {
        $rest = strlen($body);
        if ($rest < $this->threshold) {
            parent::send($context, $body, $flags, $stream);
            if (!($stream & Frame::STREAM)) {
                $this->occupied = false;
            }

            return;
        }
        for ($at = 0; $rest > 0; $at += $part) {
            if ($this->occupied) {
                $this->awaitPong();
            }
            $part = min($rest, $this->room);
            $rest -= $part;
            $this->segment->write($body, $at, $part);
            $this->occupied = $rest > 0 || ($stream & Frame::STREAM) !== 0;
            $bits = $stream | Frame::SHM | ($this->occupied ? Frame::PING : 0);
            $this->relay->write(Frame::shared($context, $flags, $bits, $part, $rest));
            $context = '';
        }
    }

    public function sendText(string $text, int $flags): void
    {
        parent::sendText($text, $flags);
        if ($flags & Frame::ERROR) {
            $this->occupied = false;
        }
    }

    public function ask(int $most): void
    {
        $this->relay->write(Frame::encode('', 0, Frame::BODY | Frame::SHM, [$most]));
    }

    /** The body whose first part is in the memory. */
    private function body(int $part, int $rest): string
    {
        if ($part > $this->room) {
            throw new ProtocolException("a part of $part bytes in shared memory that holds {$this->room}");
        }

        return $rest === 0
            ? $this->segment->read($part)
            : $this->segment->gather($part + $rest, $part, $this->nextPart(...));
    }

    /** Asks for the next part of the body that is $missing bytes away from its end. */
    private function nextPart(int $missing): int
    {
        $this->relay->write(Frame::encode('', 0, Frame::BODY | Frame::SHM, [0]));
        while (($frame = $this->frame()) !== null) {
            if (!($frame[1] & Frame::BODY)) {
                $this->queue[] = $frame;
            } elseif ($frame[1] & Frame::STOP) {
                throw new \UnderflowException('the rest of the request\'s body will not come');
            } elseif (!($frame[1] & Frame::SHM) || $frame[4] < 1 || $frame[4] > $this->room || $frame[4] + $frame[5] !== $missing) {
                throw new ProtocolException("a part of a body does not fit: $missing bytes are missing");
            } else {
                return $frame[4];
            }
        }
        throw new RelayException('the server closed the channel in the middle of a body');
    }

    private function awaitPong(): void
    {
        while (($frame = $this->frame()) !== null) {
            if ($frame[1] & Frame::PONG) {
                $this->occupied = false;

                return;
            }
            $this->queue[] = $frame;
        }
        throw new RelayException('the server closed the channel in the middle of an answer');
    }
}
