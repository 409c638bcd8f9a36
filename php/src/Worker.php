<?php

declare(strict_types=1);

namespace RR;

use RR\Ipc\Connection;
use RR\Ipc\FrameStream;
use RR\Ipc\Transport;

/**
 * The worker's end of the channel: one payload at a time, answered by one
 * respond() or error(), or by several send() and a last respond() (a stream).
 *
 *     $worker = new RR\Worker();
 *     while ($payload = $worker->waitPayload()) {
 *         $worker->respond($payload->body);
 *     }
 *
 * Construct it first: from then on nothing that the program prints can damage
 * the channel. What is echoed or dumped goes to stderr, which is the log.
 */
final class Worker
{
    private readonly Transport $transport;

    /** A payload was handed out and not answered yet. */
    private bool $busy = false;

    /** Codec of the payload in work: an answer is encoded like its question. */
    private int $codec = 0;

    /** The server does not want the rest of the stream in work. */
    private bool $stopRequested = false;

    /** The server wants the worker to end after the payload in work. */
    private bool $ending = false;

    /** What display_errors was before the worker sent errors to stderr only. */
    public readonly bool $displayErrors;

    /**
     * @param Relay|Transport|null $relay default: what the server announces in RR_RELAY and RR_IPC
     * @param bool $protect send echo and PHP's error messages to stderr
     */
    public function __construct(Relay|Transport|null $relay = null, private readonly bool $protect = true)
    {
        $this->displayErrors = !in_array(strtolower((string) ini_get('display_errors')), ['', '0', 'off', 'stderr'], true);
        $this->transport = $relay instanceof Relay ? new FrameStream($relay) : $relay ?? Connection::open();
        if ($protect) {
            $this->protect();
        }
    }

    /**
     * The next payload, null when the worker shall end: the server said so or
     * is gone.
     *
     * @throws ProtocolException
     * @throws RelayException
     */
    public function waitPayload(): ?Payload
    {
        $this->busy = false;
        $this->stopRequested = false;
        if ($this->protect && ob_get_level() === 0) {
            self::buffer();
        }
        while (!$this->ending && ($frame = $this->transport->receive()) !== null) {
            [$flags, $stream, $context, $body] = $frame;
            if ($stream & (Frame::STOP | Frame::PONG)) {
                // Meant for a stream that has ended meanwhile.
                continue;
            }
            if ($flags & Frame::CONTROL) {
                if ($this->control($body)) {
                    continue;
                }

                return null;
            }
            if ($flags & Frame::ERROR) {
                throw new ProtocolException("the server sent an error: $body");
            }
            $this->busy = true;
            $this->codec = $flags;

            return new Payload($context, $body, $flags, ($stream & Frame::BODY) !== 0);
        }

        return null;
    }

    /** The answer, or the last part of a streamed answer. */
    public function respond(string $body, string $context = '', ?int $codec = null): void
    {
        $this->busy = false;
        $this->transport->send($context, $body, $codec ?? $this->codec, 0);
    }

    /** A part of a streamed answer; respond() or error() must follow. */
    public function send(string $body, string $context = '', ?int $codec = null): void
    {
        $this->transport->send($context, $body, $codec ?? $this->codec, Frame::STREAM);
    }

    /**
     * The next part of a payload whose body arrives while it is worked on, '' at
     * its end. Waits for it.
     *
     * @throws Http\RequestAborted when the rest will not come
     */
    public function readBody(int $length = 262144): string
    {
        $this->transport->ask($length);
        while (($frame = $this->transport->receive()) !== null) {
            [$flags, $stream, , $body] = $frame;
            if ($stream & Frame::BODY) {
                if ($stream & Frame::STOP) {
                    throw new Http\RequestAborted();
                }

                return $body;
            }
            $this->beside($flags, $stream, $body);
        }
        throw new RelayException('the server closed the channel in the middle of a body');
    }

    /**
     * Whether nobody wants the answer any more: the client has gone, or the
     * worker shall end. It does not wait: pipes and sockets alike are polled, so
     * no PING is needed to learn that a STOP has arrived. The payload must be
     * answered all the same.
     */
    public function stopRequested(): bool
    {
        while (!$this->stopRequested && $this->transport->ready()) {
            $frame = $this->transport->receive();
            if ($frame === null) {
                $this->stopRequested = true;
            } else {
                $this->beside($frame[0], $frame[1], $frame[3]);
            }
        }

        return $this->stopRequested;
    }

    /** A frame that arrives while a payload is in work. */
    private function beside(int $flags, int $stream, string $body): void
    {
        if ($stream & Frame::STOP) {
            $this->stopRequested = true;
        } elseif ($flags & Frame::CONTROL) {
            if (!$this->control($body)) {
                $this->stopRequested = $this->ending = true;
            }
        } elseif (!($stream & Frame::PONG)) {
            throw new ProtocolException('a payload arrived before the one in work was answered');
        }
    }

    /** This payload failed; the worker stays in service. The text goes to the log. */
    public function error(string $text): void
    {
        $this->busy = false;
        $this->transport->sendText($text, Frame::ERROR);
    }

    /**
     * Asks the server to take this worker out of service, instead of an answer:
     * the server gives the payload to another worker. waitPayload() then
     * returns null.
     */
    public function stop(): void
    {
        $this->busy = false;
        $this->transport->send('{"stop":true}', '', 0, 0);
    }

    /** Whether RR_DEBUG is set or display_errors was on: answers may then tell why a request failed. */
    public function debug(): bool
    {
        return $this->displayErrors || !in_array(strtolower((string) getenv('RR_DEBUG')), ['', '0', 'false', 'off'], true);
    }

    /** Writes a line to the log. */
    public static function log(string $text): void
    {
        self::stderr(str_ends_with($text, "\n") ? $text : "$text\n");
    }

    private static function stderr(string $bytes): void
    {
        static $stderr = null;
        $stderr ??= fopen('php://stderr', 'wb');
        @fwrite($stderr, $bytes);
    }

    /** Answers a control frame; false = stop. */
    private function control(string $body): bool
    {
        $control = json_decode($body, true);
        if (!empty($control['stop'])) {
            return false;
        }
        if (empty($control['pid'])) {
            throw new ProtocolException("unknown control frame: $body");
        }
        // What this worker understands beyond goridge; other servers do not read it.
        $this->transport->sendText('{"pid":' . getmypid() . ',"accepts":' . json_encode($this->transport->abilities()) . '}', Frame::CONTROL);

        return true;
    }

    /**
     * Echo goes through an output callback to stderr; so header() and
     * session_start() work as if nothing had been sent. The application may
     * remove the buffer: descriptor 1 is stderr as well (Relay::stdio()).
     */
    private static function buffer(): void
    {
        ob_start(static function (string $text): string {
            self::stderr($text);

            return '';
        }, 1);
    }

    /**
     * Error messages go to stderr without the output layer, also when the
     * process dies of them.
     */
    private function protect(): void
    {
        self::buffer();
        ini_set('html_errors', '0');
        // In CLI the log is stderr too: once is enough.
        $logged = ini_get('log_errors') && ini_get('error_log') === '';
        ini_set('display_errors', $logged ? '0' : 'stderr');

        register_shutdown_function($this->ended(...), 2);
    }

    /**
     * The end of the process. No answer is sent on purpose: the server learns from
     * it that the request failed, and gives the worker no other one.
     *
     * @param int $later how often to go behind the functions of the application, which may answer still
     */
    private function ended(int $later): void
    {
        if (!$this->busy) {
            return;
        }
        if (($fatal = self::fatal()) !== null) {
            self::log("rr: the worker ends in the middle of a request: $fatal");
            // Nobody gets the error page that a framework prints now.
            ob_start(static fn (): string => '');
        } elseif ($later > 0) {
            register_shutdown_function($this->ended(...), $later - 1);
        } else {
            self::log('rr: the worker ends in the middle of a request: the application called exit() or die()');
        }
    }

    /**
     * The error that ends the process, in one line; null when it is another end.
     *
     * @internal
     */
    public static function fatal(): ?string
    {
        $error = error_get_last();
        $name = match ($error['type'] ?? 0) {
            E_ERROR, E_CORE_ERROR, E_RECOVERABLE_ERROR => 'fatal error',
            E_COMPILE_ERROR => 'compile error',
            E_USER_ERROR => 'user error',
            E_PARSE => 'parse error',
            default => null,
        };

        return $name === null ? null : "$name: " . strtok($error['message'], "\n") . " ({$error['file']}:{$error['line']})";
    }
}
