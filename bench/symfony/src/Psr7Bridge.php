<?php

declare(strict_types=1);

namespace App;

use Nyholm\Psr7\Factory\Psr17Factory;
use Psr\Http\Message\ResponseInterface;
use Psr\Http\Message\ServerRequestInterface;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

/**
 * PSR-7 to HttpFoundation and back, step by step as symfony/psr-http-message-bridge
 * goes, without uploads.
 */
final class Psr7Bridge
{
    public function __construct(private readonly Psr17Factory $factory)
    {
    }

    public function request(ServerRequestInterface $psr): Request
    {
        $server = [];
        $uri = $psr->getUri();
        $server['SERVER_NAME'] = $uri->getHost();
        $server['SERVER_PORT'] = $uri->getPort() ?: ('https' === $uri->getScheme() ? 443 : 80);
        $server['REQUEST_URI'] = $uri->getPath();
        $server['QUERY_STRING'] = $uri->getQuery();
        if ('' !== $server['QUERY_STRING']) {
            $server['REQUEST_URI'] .= '?' . $server['QUERY_STRING'];
        }
        if ('https' === $uri->getScheme()) {
            $server['HTTPS'] = 'on';
        }
        $server['REQUEST_METHOD'] = $psr->getMethod();
        $server = array_replace($psr->getServerParams(), $server);
        $parsed = $psr->getParsedBody();
        $request = new Request($psr->getQueryParams(), is_array($parsed) ? $parsed : [], $psr->getAttributes(), $psr->getCookieParams(), [], $server, $psr->getBody()->__toString());
        $request->headers->add($psr->getHeaders());

        return $request;
    }

    public function response(Response $response): ResponseInterface
    {
        $psr = $this->factory->createResponse($response->getStatusCode(), Response::$statusTexts[$response->getStatusCode()] ?? '')
            ->withBody($this->factory->createStream($response->getContent()));
        $headers = $response->headers->all();
        if ([] !== $cookies = $response->headers->getCookies()) {
            $headers['Set-Cookie'] = array_map('strval', $cookies);
        }
        foreach ($headers as $name => $value) {
            $psr = $psr->withHeader($name, $value);
        }

        return $psr->withProtocolVersion($response->getProtocolVersion());
    }
}
