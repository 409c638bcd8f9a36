<?php

declare(strict_types=1);

namespace RR\Http;

use RR\ProtocolException;
use RR\Worker;

/**
 * Serves HTTP requests:
 *
 *     (new RR\Http\HttpWorker())->run(
 *         fn (RR\Http\Request $request) => new RR\Http\Response(200, ['Content-Type' => 'text/plain'], 'Hello'),
 *     );
 *
 * Or with a loop of your own: waitRequest() and respond().
 */
final class HttpWorker
{
    public readonly Worker $worker;

    /** Requests answered by this process. */
    private int $served = 0;

    /** Codec of the request in work. */
    private bool $json = true;

    /** A part of the response has been sent. */
    private bool $started = false;

    /** Output had passed the buffers before the first request: a new worker would be no better. */
    private readonly bool $early;

    public function __construct(?Worker $worker = null)
    {
        $this->worker = $worker ?? new Worker();
    }

    /**
     * Serves until the server says stop. A handler that throws costs its
     * request (500), not the worker; the trace goes to stderr.
     *
     * @param callable(Request, self): (Response|string) $handler a string is sent as HTML
     */
    public function run(callable $handler): void
    {
        while (($request = $this->waitRequest()) !== null) {
            try {
                $this->respond($handler($request, $this));
            } catch (\Throwable $e) {
                $this->fail($e);
            }
            unset($request);
        }
    }

    /** The next request, null when the worker shall end. */
    public function waitRequest(): ?Request
    {
        $spent = $this->spent();
        $payload = $this->worker->waitPayload();
        if ($payload === null) {
            return null;
        }
        if ($spent) {
            // Another worker gets it.
            $this->worker->stop();

            return null;
        }
        $this->started = false;
        $this->json = Codec::isJson($payload->context, $payload->codec);

        return new Request($payload->context, $payload->body, $this->json, $payload->arriving ? $this->worker : null);
    }

    public function respond(Response|string $response): void
    {
        if (is_string($response)) {
            $response = new Response(200, ['Content-Type' => 'text/html; charset=utf-8'], $response);
        }
        $head = $this->head($response);
        if (is_string($response->body)) {
            $this->started = true;
            $this->worker->respond($response->body, $head);
        } else {
            (new Stream($this->worker, $head, $this->started))->send($response->body, $response->buffer);
        }
        ++$this->served;
    }

    /**
     * Sends 103 Early Hints (or another informational status) before the response.
     *
     * @param array<string, string|list<string>> $headers e.g. ['Link' => '</app.css>; rel=preload; as=style']
     */
    public function earlyHints(array $headers, int $status = 103): void
    {
        if ($status < 102 || $status > 199) {
            throw new \InvalidArgumentException("informational status $status is not in 102..199");
        }
        $this->worker->send('', Codec::response($status, $headers, $this->json));
    }

    /**
     * Whether nobody waits for the response any more, as connection_aborted()
     * tells elsewhere. Ask now and then in long work; it costs one poll.
     */
    public function aborted(): bool
    {
        return $this->worker->stopRequested();
    }

    /** Requests answered by this process. */
    public function served(): int
    {
        return $this->served;
    }

    /**
     * Ends the request in work after an exception: 500, or the end of the
     * stream if a part of the response is on its way.
     */
    public function fail(\Throwable $e): void
    {
        if ($e instanceof ProtocolException || $e instanceof \RR\RelayException) {
            // The channel is broken, nothing can be answered.
            throw $e;
        }
        if ($e instanceof RequestAborted) {
            $this->worker->error($e->getMessage());

            return;
        }
        Worker::log("rr: uncaught $e");
        if ($this->started) {
            $this->worker->error('stream ended by ' . $e::class . ': ' . $e->getMessage());

            return;
        }
        $text = $this->worker->debug() ? "$e\n" : "Internal Server Error\n";
        $this->respond(new Response(500, ['Content-Type' => 'text/plain; charset=utf-8'], $text));
    }

    /**
     * Whether this process can serve no other request: something was printed
     * after the output buffers had been removed. To PHP the headers are sent then,
     * until the process ends: no session can start, no id of a session can be
     * changed.
     */
    private function spent(): bool
    {
        $sent = headers_sent($file, $line);
        $first = !isset($this->early);
        $this->early ??= $sent;
        if (!$sent || $this->early && !$first) {
            return false;
        }
        $where = $file === '' ? '' : " ($file:$line)";
        Worker::log($this->early
            ? "rr: output before the first request$where: PHP takes the headers for sent, so that sessions and header() do not work in this worker"
            : "rr: output after the removal of all output buffers$where: PHP takes the headers for sent, so that sessions and header() do not work any more: the worker is replaced");

        return !$this->early;
    }

    /**
     * The head of a response as the channel carries it.
     *
     * @internal
     */
    public function head(Response $response): string
    {
        $headers = $response->headers;
        if ($response->trailers !== []) {
            $headers['Trailer'] = implode(', ', array_keys($response->trailers));
            $headers += $response->trailers;
        }

        return Codec::response($response->status, $headers, $this->json);
    }
}
