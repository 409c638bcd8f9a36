<?php

declare(strict_types=1);

namespace RR\Goridge;

use RR\Ipc\Connection;
use RR\Ipc\Transport;
use Spiral\Goridge\Frame;
use Spiral\Goridge\RelayInterface;

/**
 * The relay for applications on RoadRunner's own packages (spiral/goridge 3 and
 * 4, spiral/roadrunner-worker): under rrd their large bodies go through shared
 * memory then, and what they print does no harm. One line changes:
 *
 *     $worker = new Spiral\RoadRunner\Worker(RR\Goridge\Relay::fromEnv());
 *
 * instead of Worker::create(). Under another server it works as theirs does.
 *
 * Unlike theirs it can be polled, so that a stream learns of the client's leaving
 * at its next chunk and without a PING, and a server that is gone ends the worker
 * as a stop order does, not with an exception.
 */
final class Relay implements RelayInterface
{
    private const STOP_ORDER = '{"stop":true}';

    /** StreamStop is known since spiral/roadrunner-worker 3; before, a STOP would look like a payload. */
    private readonly bool $streams;

    /** The next frame, if it has been read already. */
    private ?Frame $next = null;

    /** @param Transport $transport see fromEnv() */
    public function __construct(private readonly Transport $transport)
    {
        $this->streams = class_exists('Spiral\RoadRunner\Message\Command\StreamStop');
    }

    /** The relay that the server announces in RR_RELAY and RR_IPC. */
    public static function fromEnv(): self
    {
        return new self(Connection::open());
    }

    public function waitFrame(): Frame
    {
        while (($frame = $this->next) === null) {
            $this->receive();
        }
        $this->next = null;

        return $frame;
    }

    public function hasFrame(): bool
    {
        while ($this->next === null && $this->transport->ready()) {
            $this->receive();
        }

        return $this->next !== null;
    }

    /** Reads a frame; $next is null afterwards if it was not for the package. */
    private function receive(): void
    {
        $received = $this->transport->receive();
        if ($received === null) {
            $this->next = new Frame(self::STOP_ORDER, [], Frame::CONTROL);

            return;
        }
        [$flags, $bits, $context, $body] = $received;
        if ($flags & Frame::CONTROL) {
            if (!$this->introduce($body)) {
                $this->next = new Frame($body, [], $flags);
            }
        } elseif (!($bits & \RR\Frame::PONG) && ($this->streams || !($bits & \RR\Frame::STOP))) {
            // The package asks for no PONG; it would take it for a payload before version 3.
            $this->next = new Frame($context . $body, [strlen($context)], $flags);
            $this->next->byte10 = $bits;
        }
    }

    public function send(Frame $frame): void
    {
        $payload = (string) $frame->payload;
        if ($frame->flags & (Frame::CONTROL | Frame::ERROR) || $frame->options === []) {
            $this->transport->sendText($payload, $frame->flags);

            return;
        }
        $context = $frame->options[0];
        // No PING: this relay is polled, and shared memory has its own.
        $this->transport->send(substr($payload, 0, $context), substr($payload, $context), $frame->flags, $frame->byte10 & \RR\Frame::STREAM);
    }

    /**
     * Answers a pid request here, because the packages do not know "accepts".
     * They get whole bodies and no STOP before their answer, as always.
     */
    private function introduce(string $control): bool
    {
        $control = json_decode($control, true);
        if (!empty($control['stop']) || empty($control['pid'])) {
            return false;
        }
        $answer = ['pid' => getmypid()];
        $accepts = array_values(array_intersect($this->transport->abilities(), ['shm', 'slots']));
        $this->transport->sendText(json_encode($accepts === [] ? $answer : $answer + ['accepts' => $accepts]), Frame::CONTROL);

        return true;
    }
}
