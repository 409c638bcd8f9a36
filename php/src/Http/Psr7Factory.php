<?php

declare(strict_types=1);

namespace RR\Http;

use Psr\Http\Message\ServerRequestFactoryInterface;
use Psr\Http\Message\ServerRequestInterface;
use Psr\Http\Message\StreamFactoryInterface;
use Psr\Http\Message\UploadedFileFactoryInterface;
use Psr\Http\Message\UploadedFileInterface;

/** Builds PSR-7 requests. */
final class Psr7Factory
{
    /** Factories for server requests, streams, uploaded files. */
    private const KNOWN = [
        ['Nyholm\Psr7\Factory\Psr17Factory', 'Nyholm\Psr7\Factory\Psr17Factory', 'Nyholm\Psr7\Factory\Psr17Factory'],
        ['GuzzleHttp\Psr7\HttpFactory', 'GuzzleHttp\Psr7\HttpFactory', 'GuzzleHttp\Psr7\HttpFactory'],
        ['Laminas\Diactoros\ServerRequestFactory', 'Laminas\Diactoros\StreamFactory', 'Laminas\Diactoros\UploadedFileFactory'],
        ['Slim\Psr7\Factory\ServerRequestFactory', 'Slim\Psr7\Factory\StreamFactory', 'Slim\Psr7\Factory\UploadedFileFactory'],
    ];

    /**
     * Request and uploaded file of implementations whose constructors take all
     * at once. By the interfaces alone a request with ten headers is copied ten
     * times.
     */
    private const DIRECT = [
        'Nyholm\Psr7\Factory\Psr17Factory' => ['Nyholm\Psr7\ServerRequest', 'Nyholm\Psr7\UploadedFile'],
        'GuzzleHttp\Psr7\HttpFactory' => ['GuzzleHttp\Psr7\ServerRequest', 'GuzzleHttp\Psr7\UploadedFile'],
    ];

    private readonly ServerRequestFactoryInterface $requests;
    private readonly StreamFactoryInterface $streams;
    private readonly UploadedFileFactoryInterface $uploads;
    private readonly ?string $requestClass;
    private readonly ?string $uploadClass;

    public function __construct(
        ?ServerRequestFactoryInterface $requests = null,
        ?StreamFactoryInterface $streams = null,
        ?UploadedFileFactoryInterface $uploads = null,
    ) {
        if ($requests === null || !($streams ?? $requests) instanceof StreamFactoryInterface || !($uploads ?? $requests) instanceof UploadedFileFactoryInterface) {
            [$request, $stream, $upload] = self::find();
            $requests ??= new $request();
            $streams ??= $requests instanceof StreamFactoryInterface ? $requests : new $stream();
            $uploads ??= $requests instanceof UploadedFileFactoryInterface ? $requests : new $upload();
        }
        $this->requests = $requests;
        $this->streams = $streams ?? $requests;
        $this->uploads = $uploads ?? $requests;
        $this->requestClass = self::DIRECT[$this->requests::class][0] ?? null;
        $this->uploadClass = self::DIRECT[$this->uploads::class][1] ?? null;
    }

    /** @throws \InvalidArgumentException when the implementation refuses the request */
    public function request(Request $from): ServerRequestInterface
    {
        $form = $from->isForm();
        $stream = null;
        if ($from->isArriving()) {
            $stream = $this->streams->createStreamFromResource($from->stream());
        } elseif (!$form && $from->body() !== '') {
            $stream = $this->streams->createStream($from->body());
            // Some leave it at its end, which getContents() would show.
            $stream->rewind();
        }
        if ($this->requestClass !== null) {
            $request = new $this->requestClass($from->method(), self::uri($from), $from->headers(), $stream, $from->protocolVersion(), $from->server());
        } else {
            $request = $this->requests->createServerRequest($from->method(), self::uri($from), $from->server());
            foreach ($from->headers() as $name => $values) {
                $request = $request->withHeader((string) $name, $values);
            }
            if (($version = $from->protocolVersion()) !== $request->getProtocolVersion()) {
                $request = $request->withProtocolVersion($version);
            }
            if ($stream !== null) {
                $request = $request->withBody($stream);
            }
        }
        if (($query = $from->query()) !== $request->getQueryParams()) {
            $request = $request->withQueryParams($query);
        }
        if (($cookies = $from->cookies()) !== []) {
            $request = $request->withCookieParams($cookies);
        }
        if ($form || !$from->isArriving() && $from->form() !== []) {
            $request = $request->withParsedBody($from->form());
        }
        if (($uploads = $from->uploads()) !== []) {
            $request = $request->withUploadedFiles($this->files($uploads));
        }
        foreach ($from->attributes() as $name => $value) {
            $request = $request->withAttribute((string) $name, $value);
        }

        return $request;
    }

    /** The URI; without a host (HTTP/1.0) only path and query, as http:///path is none. */
    private static function uri(Request $from): string
    {
        $uri = $from->uri();
        if (!str_starts_with($uri, 'http:///') && !str_starts_with($uri, 'https:///')) {
            return $uri;
        }
        $query = $from->queryString();

        return $from->path() . ($query === '' ? '' : "?$query");
    }

    /**
     * @param array<mixed> $tree
     *
     * @return array<mixed>
     */
    private function files(array $tree): array
    {
        foreach ($tree as $name => $node) {
            $tree[$name] = $node instanceof Upload ? $this->file($node) : (is_array($node) ? $this->files($node) : $node);
        }

        return $tree;
    }

    private function file(Upload $upload): UploadedFileInterface
    {
        if ($this->uploadClass !== null && $upload->ok()) {
            // With a path moveTo() is a rename; with a stream it would be a copy.
            return new $this->uploadClass($upload->tmpName, $upload->size, $upload->error, $upload->name, $upload->type);
        }
        $error = $upload->error;
        $stream = null;
        if ($upload->ok()) {
            try {
                $stream = $this->streams->createStreamFromFile($upload->tmpName);
            } catch (\RuntimeException) {
                $error = UPLOAD_ERR_CANT_WRITE;
            }
        }

        return $this->uploads->createUploadedFile($stream ?? $this->streams->createStream(), $upload->size, $error, $upload->name, $upload->type);
    }

    /** @return array{class-string, class-string, class-string} */
    private static function find(): array
    {
        foreach (self::KNOWN as $classes) {
            if (class_exists($classes[0]) && class_exists($classes[1]) && class_exists($classes[2])) {
                return $classes;
            }
        }
        throw new \LogicException('no PSR-17 factories found: install nyholm/psr7 (or guzzlehttp/psr7, laminas/laminas-diactoros, slim/psr7), or give yours to the constructor');
    }
}
