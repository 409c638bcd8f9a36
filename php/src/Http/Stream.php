<?php

declare(strict_types=1);

namespace RR\Http;

use RR\Worker;

/**
 * One streamed response: a frame per chunk, the head on the first of them.
 * The head waits for the first chunk, so that an exception before it is still
 * an ordinary 500.
 */
final class Stream
{
    /** Bytes read at once from a resource. */
    private const CHUNK = 65536;

    /** @param bool $started set when the first frame has been sent */
    public function __construct(
        private readonly Worker $worker,
        private string $head,
        private bool &$started,
    ) {
    }

    /**
     * @param iterable<string>|resource|\Closure $body chunks, an open file, or a
     *        function whose output is the body
     * @param int $buffer bytes of a function's output that are sent together
     */
    public function send(mixed $body, int $buffer = Response::BUFFER): void
    {
        try {
            match (true) {
                $body instanceof \Generator => $this->generator($body),
                $body instanceof \Closure => $this->output($body, $buffer),
                is_resource($body) => $this->file($body),
                default => $this->all($body),
            };
        } catch (StreamStopped) {
            // Nobody reads any more.
        }
        $this->started = true;
        $this->worker->respond('', $this->head);
    }

    /** @throws StreamStopped when the client has gone */
    private function chunk(string $chunk): void
    {
        if ($this->started && $this->worker->stopRequested()) {
            throw new StreamStopped();
        }
        if ($chunk === '') {
            return;
        }
        $this->started = true;
        $this->worker->send($chunk, $this->head);
        $this->head = '';
    }

    private function generator(\Generator $body): void
    {
        while ($body->valid()) {
            try {
                $this->chunk((string) $body->current());
            } catch (StreamStopped $stopped) {
                // The generator may yield once more in a finally; nobody wants it.
                $body->throw($stopped);

                return;
            }
            $body->next();
        }
    }

    /** @param iterable<string> $body */
    private function all(iterable $body): void
    {
        foreach ($body as $chunk) {
            $this->chunk((string) $chunk);
        }
    }

    /** @param resource $file */
    private function file($file): void
    {
        stream_set_read_buffer($file, 0);
        while (!feof($file)) {
            $chunk = fread($file, self::CHUNK);
            if ($chunk === false) {
                throw new \RuntimeException('cannot read the response body: ' . (error_get_last()['message'] ?? ''));
            }
            $this->chunk($chunk);
        }
    }

    /**
     * Output is sent when $buffer bytes have come together and at every
     * ob_flush(). When the client has gone, StreamStopped comes out of the echo
     * that noticed it.
     */
    private function output(\Closure $print, int $buffer): void
    {
        $level = ob_get_level();
        // PHP passes on the output of a callback that threw: this takes it.
        ob_start(static fn (): string => '');
        ob_start(function (string $text): string {
            $this->chunk($text);

            return '';
        }, $buffer);
        try {
            $print();
            while (ob_get_level() > $level) {
                ob_end_flush();
            }
        } finally {
            while (ob_get_level() > $level) {
                ob_end_clean();
            }
        }
    }
}
