<?php

declare(strict_types=1);

namespace RR\Symfony;

use RR\Http\HttpWorker;
use RR\Http\Response as RawResponse;
use Symfony\Component\HttpFoundation\BinaryFileResponse;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpFoundation\StreamedResponse;

/** Sends HttpFoundation responses, what Response::send() does elsewhere. */
final class ResponseSender
{
    private const CHUNK = 65536;

    /** Offset, length (-1: to the end) and whether the file is deleted, of a BinaryFileResponse. @var \Closure(BinaryFileResponse): array{int, int, bool}|null */
    private static ?\Closure $range = null;

    /**
     * Folders whose files the server sends itself when a response names them in
     * X-Sendfile. @var list<string>
     */
    private readonly array $roots;

    public function __construct(private readonly HttpWorker $http)
    {
        // The server says so when its middleware sendfile is on.
        $this->roots = array_values(array_filter(explode(':', (string) getenv('RR_SENDFILE'))));
    }

    public function send(Response $response): void
    {
        $bag = $response->headers;
        $headers = $bag->allPreserveCaseWithoutCookies();
        foreach ($bag->getCookies() as $cookie) {
            $headers['Set-Cookie'][] = (string) $cookie;
        }
        $status = $response->getStatusCode();
        $content = $response->getContent();
        if (is_string($content)) {
            $this->http->respond(new RawResponse($status, $headers, $content));
        } elseif ($response instanceof BinaryFileResponse) {
            $this->file($response, $status, $headers);
        } else {
            $this->stream($response, $status, $headers);
        }
    }

    /** @param array<string, list<string|null>> $headers */
    private function stream(Response $response, int $status, array $headers): void
    {
        $type = $response->headers->get('Content-Type', '');
        $this->http->respond(new RawResponse(
            $status,
            $headers,
            static function () use ($response): void {
                $response->sendContent();
            },
            // Events must not wait for 8 KiB, nor what a proxy must not hold back.
            buffer: str_starts_with($type, 'text/event-stream') || $response->headers->get('X-Accel-Buffering') === 'no' ? 1 : RawResponse::BUFFER,
        ));
    }

    /** @param array<string, list<string|null>> $headers */
    private function file(BinaryFileResponse $response, int $status, array $headers): void
    {
        [$offset, $length, $delete] = (self::$range ??= \Closure::bind(
            static fn (BinaryFileResponse $r): array => [$r->offset, $r->maxlen, $r->deleteFileAfterSend],
            null,
            BinaryFileResponse::class,
        ))($response);
        $path = $response->getFile()->getPathname();
        if (!$response->isSuccessful() || $length === 0) {
            $this->http->respond(new RawResponse($status, $headers, ''));
        } elseif (!$delete && $this->served($path)) {
            // The server answers Range and If-Range itself.
            unset($headers['Content-Range'], $headers['Content-Length']);
            $this->http->respond(new RawResponse(200, ['X-Sendfile' => $path] + $headers, ''));
        } elseif (is_file($path)) {
            $this->http->respond(new RawResponse($status, $headers, self::chunks($path, $offset, $length, $delete)));
        } else {
            // A file that exists only in memory (SplTempFileObject).
            $this->stream($response, $status, $headers);
        }
    }

    private function served(string $path): bool
    {
        if ($this->roots === [] || ($real = realpath($path)) === false) {
            return false;
        }
        foreach ($this->roots as $root) {
            $root = realpath($root);
            if ($root !== false && ($root === '/' || str_starts_with($real, "$root/"))) {
                return true;
            }
        }

        return false;
    }

    /** @return \Generator<string> */
    private static function chunks(string $path, int $offset, int $length, bool $delete): \Generator
    {
        $file = fopen($path, 'rb');
        try {
            if ($file === false || $offset > 0 && fseek($file, $offset) !== 0) {
                throw new \RuntimeException("cannot read the file of the response: $path");
            }
            stream_set_read_buffer($file, 0);
            for ($left = $length < 0 ? PHP_INT_MAX : $length; $left > 0 && !feof($file); $left -= strlen($chunk)) {
                $chunk = fread($file, min(self::CHUNK, $left));
                if ($chunk === false) {
                    throw new \RuntimeException("cannot read the file of the response: $path");
                }
                yield $chunk;
            }
        } finally {
            if ($file !== false) {
                fclose($file);
            }
            if ($delete && is_file($path)) {
                unlink($path);
            }
        }
    }
}
