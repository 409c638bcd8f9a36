<?php

declare(strict_types=1);

namespace RR\Ipc;

use RR\Frame;

/**
 * Jobs and answers through the slots of the extension rr.so. An exchange that
 * does not fit, that streams or whose body arrives goes over the pipe, as without
 * the extension.
 *
 * @internal
 */
final class Slots implements Transport
{
    /** Bit of an entry: the frame is in the pipe, and so is the rest of its exchange. */
    private const PIPE = 0x40;

    /** An exchange is under way, the handshake at first: what comes, comes by the pipe. */
    private bool $busy = true;

    public function __construct(
        private readonly \RR\Ext\Slots $slots,
        private readonly SharedMemory $pipe,
    ) {
    }

    /**
     * Null without the extension or without slots that it understands.
     *
     * @param int $shm descriptor of the shared memory
     * @param int $control descriptor that the worker writes to
     */
    public static function map(int $shm, int $control): ?\RR\Ext\Slots
    {
        // The version of the extension's API that this code is written for.
        if (!\defined('RR_EXT_API_1')) {
            return null;
        }
        try {
            return new \RR\Ext\Slots($shm, $control);
        } catch (\RuntimeException) {
            return null;
        }
    }

    public function abilities(): array
    {
        return [...$this->pipe->abilities(), 'slots'];
    }

    public function receive(): ?array
    {
        while (!$this->busy) {
            $job = $this->slots->wait();
            if ($job !== null && !($job[1] & self::PIPE)) {
                $this->busy = !($job[0] & Frame::CONTROL);

                return $job;
            }
            // Without an entry there may be the end in the pipe. If there is nothing, a
            // signal has come: its handler runs at the end of this turn.
            if ($job !== null || $this->pipe->ready()) {
                $frame = $this->fromPipe($job === null);
                if ($frame === null || $this->busy) {
                    return $frame;
                }
            }
        }

        return $this->pipe->receive();
    }

    /**
     * The job that is in the pipe, null at its end. Frames that were meant for an
     * answer that was given meanwhile may come before it; without an entry, there
     * may be nothing else: then it is the last of them.
     *
     * @return array{int, int, string, string}|null
     */
    private function fromPipe(bool $unannounced): ?array
    {
        try {
            do {
                $frame = $this->pipe->receiveWhole();
                $late = $frame !== null && ($frame[1] & (Frame::STOP | Frame::PONG)) !== 0;
            } while ($late && !$unannounced);
        } catch (\UnderflowException $e) {
            $this->pipe->sendText($e->getMessage(), Frame::ERROR);

            return [0, Frame::STOP, '', ''];
        }
        if ($frame !== null && !$late) {
            $this->busy = true;
            if ($unannounced) {
                // Its entry has come since.
                $this->slots->wait();
            }
        }

        return $frame;
    }

    public function ready(): bool
    {
        return $this->pipe->ready();
    }

    public function send(string $context, string $body, int $flags, int $stream): void
    {
        $this->busy = ($stream & Frame::STREAM) !== 0;
        if (!$this->slots->answer($flags, $stream, $context, $body)) {
            $this->pipe->send($context, $body, $flags, $stream);
        }
    }

    public function sendText(string $text, int $flags): void
    {
        $this->busy = false;
        if (!($flags & Frame::ERROR) || !$this->slots->answer($flags, 0, '', $text)) {
            $this->pipe->sendText($text, $flags);
        }
    }

    public function ask(int $most): void
    {
        $this->slots->pipe();
        $this->pipe->ask($most);
    }
}
