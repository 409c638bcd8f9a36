<?php

declare(strict_types=1);

namespace RR\Http;

use Psr\Http\Message\ResponseInterface;
use Psr\Http\Message\ServerRequestFactoryInterface;
use Psr\Http\Message\ServerRequestInterface;
use Psr\Http\Message\StreamFactoryInterface;
use Psr\Http\Message\UploadedFileFactoryInterface;
use Psr\Http\Server\RequestHandlerInterface;

/**
 * Serves HTTP requests as PSR-7 messages, with any implementation:
 *
 *     (new RR\Http\Psr7Worker())->run($handler);   // PSR-15 handler or callable
 *
 * Or with a loop of your own: waitRequest() and respond().
 */
final class Psr7Worker
{
    /** Bodies up to this size are sent in one piece. */
    private const WHOLE = 1 << 20;

    /** Bytes of a larger body that are sent at once. */
    private const CHUNK = 65536;

    public readonly HttpWorker $http;

    private readonly Psr7Factory $factory;

    /**
     * Without factories it takes the first it finds of nyholm/psr7,
     * guzzlehttp/psr7, laminas/laminas-diactoros and slim/psr7. A factory that
     * implements the other interfaces as well needs to be given only once.
     */
    public function __construct(
        ?HttpWorker $http = null,
        ?ServerRequestFactoryInterface $requests = null,
        ?StreamFactoryInterface $streams = null,
        ?UploadedFileFactoryInterface $uploads = null,
    ) {
        $this->factory = new Psr7Factory($requests, $streams, $uploads);
        $this->http = $http ?? new HttpWorker();
    }

    /**
     * Serves until the server says stop. A handler that throws costs its
     * request (500), not the worker; the trace goes to stderr.
     *
     * @param RequestHandlerInterface|callable(ServerRequestInterface): ResponseInterface $handler
     */
    public function run(RequestHandlerInterface|callable $handler): void
    {
        $handle = $handler instanceof RequestHandlerInterface ? $handler->handle(...) : $handler;
        while (($request = $this->waitRequest()) !== null) {
            try {
                $this->respond($handle($request));
            } catch (\Throwable $e) {
                $this->http->fail($e);
            }
            unset($request);
        }
    }

    /** The next request, null when the worker shall end. */
    public function waitRequest(): ?ServerRequestInterface
    {
        while (($request = $this->http->waitRequest()) !== null) {
            try {
                return $this->factory->request($request);
            } catch (\InvalidArgumentException $e) {
                // The PSR-7 implementation refuses it, e.g. for a malformed URI.
                \RR\Worker::log("rr: bad request {$request->method()} {$request->uri()}: {$e->getMessage()}");
                $this->http->respond(Response::text("Bad Request\n", 400));
            } catch (\Throwable $e) {
                $this->http->fail($e);
            }
        }

        return null;
    }

    public function respond(ResponseInterface $response): void
    {
        $body = $response->getBody();
        $size = $body->getSize();
        $this->http->respond(new Response(
            $response->getStatusCode(),
            $response->getHeaders(),
            // A pipe or socket says size 0.
            $size !== null && $size <= self::WHOLE && $body->isSeekable() || !$body->isReadable() ? (string) $body : self::chunks($body),
        ));
    }

    /** @return \Generator<string> */
    private static function chunks(\Psr\Http\Message\StreamInterface $body): \Generator
    {
        if ($body->isSeekable()) {
            $body->rewind();
        }
        try {
            while (!$body->eof()) {
                yield $body->read(self::CHUNK);
            }
        } finally {
            $body->close();
        }
    }
}
