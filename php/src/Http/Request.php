<?php

declare(strict_types=1);

namespace RR\Http;

use RR\Worker;

/**
 * One request. Nothing is decoded before somebody asks for it; what has been
 * asked for once is kept.
 */
final class Request
{
    /** The decoded context. @var array<string, mixed>|null */
    private ?array $context = null;

    /** @var array<int|string, mixed>|null */
    private ?array $query = null;

    /** @var array<string, Upload|array<mixed>>|null */
    private ?array $uploads = null;

    private mixed $form = null;

    /** @var array<string, int|float|string>|null */
    private ?array $server = null;

    private readonly float $time;

    /** @var resource|null */
    private $stream = null;

    /**
     * @param bool $json whether $raw is JSON; protobuf otherwise
     * @param Worker|null $arriving where the body comes from, instead of $body
     */
    public function __construct(
        private readonly string $raw,
        private string $body,
        private readonly bool $json = true,
        private ?Worker $arriving = null,
    ) {
        $this->time = microtime(true);
    }

    /** The method as received, usually in capitals. */
    public function method(): string
    {
        return ($this->context ??= $this->decode())['method'];
    }

    /** The absolute URI, e.g. http://example.com/path?query */
    public function uri(): string
    {
        return ($this->context ??= $this->decode())['uri'];
    }

    /** The path as in the URI (not percent-decoded), at least "/". */
    public function path(): string
    {
        $uri = $this->uri();
        $authority = strpos($uri, '//');
        $start = $authority === false ? 0 : $authority + 2 + strcspn($uri, '/?#', $authority + 2);
        $path = substr($uri, $start, strcspn($uri, '?#', $start));

        return $path === '' ? '/' : $path;
    }

    /** The query string without "?". */
    public function queryString(): string
    {
        return (string) (($this->context ??= $this->decode())['rawQuery'] ?? '');
    }

    /**
     * The parameters of the query string, parsed as PHP does.
     *
     * @return array<int|string, mixed>
     */
    public function query(): array
    {
        if ($this->query === null) {
            $this->query = [];
            if (($string = $this->queryString()) !== '') {
                parse_str($string, $this->query);
            }
        }

        return $this->query;
    }

    /**
     * All headers, by their canonical names (Content-Type). Host is among them.
     *
     * @return array<string, list<string>>
     */
    public function headers(): array
    {
        return ($this->context ??= $this->decode())['headers'];
    }

    /** A header's values joined by ", "; null when it was not sent. The name's case does not matter. */
    public function header(string $name): ?string
    {
        $headers = $this->headers();
        $values = $headers[$name] ?? $headers[ucwords(strtolower($name), '-')] ?? null;

        return $values === null ? null : implode(', ', $values);
    }

    /** @return array<string, string> */
    public function cookies(): array
    {
        return ($this->context ??= $this->decode())['cookies'] ?? [];
    }

    public function cookie(string $name): ?string
    {
        return $this->cookies()[$name] ?? null;
    }

    /** The raw body. Of a form that the server has parsed, it is the server's JSON; see form(). */
    public function body(): string
    {
        if ($this->arriving !== null) {
            $this->body = (string) stream_get_contents($this->stream());
            $this->arriving = null;
        }

        return $this->body;
    }

    /**
     * The raw body to read from. With http.request_streaming it may still be
     * arriving: reads then wait for the client, and throw RequestAborted when the
     * rest will not come. Use this or body(), which reads all there is.
     *
     * @return resource always the same
     */
    public function stream()
    {
        if ($this->stream === null) {
            if ($this->arriving !== null) {
                $this->stream = BodyStream::open($this->arriving);
            } else {
                $this->stream = fopen('php://memory', 'w+b');
                fwrite($this->stream, $this->body);
                rewind($this->stream);
            }
        }

        return $this->stream;
    }

    /** Whether the body is read while it arrives. */
    public function isArriving(): bool
    {
        return $this->arriving !== null;
    }

    /** Whether the server has parsed the body as a form. */
    public function isForm(): bool
    {
        return (bool) (($this->context ??= $this->decode())['parsed'] ?? false);
    }

    /**
     * The fields of a form (urlencoded or multipart), without its files.
     *
     * @return array<int|string, mixed> empty when the body is no form
     */
    public function form(): array
    {
        if ($this->form === null) {
            $this->form = [];
            if ($this->body === '' && $this->arriving === null) {
                return [];
            }
            if ($this->isForm()) {
                $form = json_decode($this->body(), true);
                $this->form = is_array($form) ? $form : [];
            } elseif (str_starts_with(strtolower((string) $this->header('Content-Type')), 'application/x-www-form-urlencoded')) {
                // http.raw_body: true
                parse_str($this->body(), $this->form);
            }
        }

        return $this->form;
    }

    /**
     * The body decoded as JSON, objects as arrays.
     *
     * @throws \JsonException
     */
    public function json(): mixed
    {
        return json_decode($this->body(), true, 512, JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
    }

    /**
     * Uploaded files: field name to Upload, or to a tree of them for names like docs[].
     *
     * @return array<string, Upload|array<mixed>>
     */
    public function uploads(): array
    {
        return $this->uploads ??= self::tree($this->rawUploads());
    }

    /**
     * The files as the server describes them: name, mime, size, error, tmpName.
     *
     * @return array<string, mixed>
     */
    public function rawUploads(): array
    {
        return ($this->context ??= $this->decode())['uploads'] ?? [];
    }

    /**
     * What the server's middleware adds to a request; of several values the first.
     *
     * @return array<string, mixed>
     */
    public function attributes(): array
    {
        $attributes = ($this->context ??= $this->decode())['attributes'] ?? [];
        foreach ($attributes as $name => $value) {
            if (is_array($value)) {
                $attributes[$name] = $value[0] ?? '';
            }
        }

        return $attributes;
    }

    /** The client's address, without a port. */
    public function remoteAddr(): string
    {
        return (string) ($this->attributes()['ipAddress'] ?? $this->context['remoteAddr'] ?? '');
    }

    /** The protocol's version: 1.0, 1.1, 2 or 3. */
    public function protocolVersion(): string
    {
        return match ($this->protocol()) {
            'HTTP/1.0' => '1.0',
            'HTTP/2.0', 'HTTP/2' => '2',
            'HTTP/3.0', 'HTTP/3' => '3',
            default => '1.1',
        };
    }

    /** The protocol as the server names it, e.g. HTTP/2.0. */
    public function protocol(): string
    {
        return (string) (($this->context ??= $this->decode())['protocol'] ?? 'HTTP/1.1');
    }

    /**
     * The entries that $_SERVER has for a request.
     *
     * @return array<string, int|float|string>
     */
    public function server(): array
    {
        if ($this->server !== null) {
            return $this->server;
        }
        $https = str_starts_with($this->uri(), 'https://');
        $host = $this->headers()['Host'][0] ?? 'localhost';
        $colon = preg_match('/:\d+$/', $host) ? strrpos($host, ':') : false;
        $query = $this->queryString();
        $server = [
            'REQUEST_METHOD' => $this->method(),
            'REQUEST_URI' => $this->path() . ($query === '' ? '' : "?$query"),
            'QUERY_STRING' => $query,
            'REQUEST_TIME' => (int) $this->time,
            'REQUEST_TIME_FLOAT' => $this->time,
            'REQUEST_SCHEME' => $https ? 'https' : 'http',
            'SERVER_PROTOCOL' => $this->protocol(),
            'SERVER_NAME' => $colon === false ? $host : substr($host, 0, $colon),
            'SERVER_PORT' => $colon === false ? ($https ? '443' : '80') : substr($host, $colon + 1),
            'REMOTE_ADDR' => $this->remoteAddr(),
            'GATEWAY_INTERFACE' => 'CGI/1.1',
        ];
        if ($https) {
            $server['HTTPS'] = 'on';
        }
        /** Names of headers seen before, as variables. @var array<string, string> */
        static $names = [];
        if (count($names) > 500) {
            // The names are the clients' choice.
            $names = [];
        }
        foreach ($this->headers() as $name => $values) {
            $variable = $names[$name] ??= self::variable((string) $name);
            $server[$variable] = implode($variable === 'HTTP_COOKIE' ? '; ' : ', ', $values);
        }

        if (isset($server['HTTP_AUTHORIZATION'])) {
            $server += self::credentials($server['HTTP_AUTHORIZATION']);
        }

        return $this->server = $server;
    }

    /** Seconds since the epoch when the request reached the worker. */
    public function time(): float
    {
        return $this->time;
    }

    /**
     * @return array<string, string>
     */
    private static function credentials(string $authorization): array
    {
        if (strncasecmp($authorization, 'Basic ', 6) === 0) {
            $pair = explode(':', (string) base64_decode(substr($authorization, 6)), 2);

            return isset($pair[1]) ? ['PHP_AUTH_USER' => $pair[0], 'PHP_AUTH_PW' => $pair[1]] : [];
        }

        return strncasecmp($authorization, 'Digest ', 7) === 0 ? ['PHP_AUTH_DIGEST' => substr($authorization, 7)] : [];
    }

    private static function variable(string $header): string
    {
        $name = strtr(strtoupper($header), '-', '_');

        return $name === 'CONTENT_TYPE' || $name === 'CONTENT_LENGTH' ? $name : "HTTP_$name";
    }

    /** @return array<string, mixed> */
    private function decode(): array
    {
        $context = Codec::request($this->raw, $this->json);
        // Host is not among the headers that the server sends.
        $headers = $context['headers'] ?? [];
        unset($headers['']);
        if (!isset($headers['Host']) && preg_match('#^(?:[a-z]+:)?//(?:[^/?\#@]*@)?([^/?\#]+)#i', $context['uri'] ??= '', $match)) {
            $headers = ['Host' => [$match[1]]] + $headers;
        }
        $context['headers'] = $headers;
        $context['method'] ??= 'GET';

        return $context;
    }

    /**
     * @param array<mixed> $files
     *
     * @return array<mixed>
     */
    private static function tree(array $files): array
    {
        foreach ($files as $name => $file) {
            if (is_array($file)) {
                $files[$name] = self::isFile($file)
                    ? new Upload($file['name'], $file['mime'], $file['size'], $file['error'], $file['tmpName'])
                    : self::tree($file);
            }
        }

        return $files;
    }

    /**
     * Whether a node of the upload tree is a file and not a folder of fields.
     *
     * @internal
     *
     * @param array<mixed> $node
     */
    public static function isFile(array $node): bool
    {
        return isset($node['tmpName'], $node['name'], $node['mime'], $node['size'], $node['error']) && is_string($node['tmpName']);
    }
}
