<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Http\Request;
use RR\Http\Response;
use RR\Http\Upload;

final class RequestTest extends TestCase
{
    /** @param array<string, mixed> $context */
    private static function request(array $context, string $body = ''): Request
    {
        return new Request(json_encode($context + ['method' => 'GET', 'uri' => 'http://h/', 'headers' => []], JSON_THROW_ON_ERROR), $body);
    }

    /** @return array<string, array{string, string, string|null, string, string}> */
    public static function uris(): array
    {
        // URI, path, Host, SERVER_NAME, SERVER_PORT
        return [
            'usual' => ['http://shop.local/a/b?c=1', '/a/b', 'shop.local', 'shop.local', '80'],
            'port' => ['http://shop.local:8080/a', '/a', 'shop.local:8080', 'shop.local', '8080'],
            'https' => ['https://shop.local/', '/', 'shop.local', 'shop.local', '443'],
            'IPv6' => ['https://[::1]/a', '/a', '[::1]', '[::1]', '443'],
            'IPv6 and port' => ['http://[::1]:81/a', '/a', '[::1]:81', '[::1]', '81'],
            'no path' => ['http://shop.local', '/', 'shop.local', 'shop.local', '80'],
            'two slashes' => ['http://shop.local//evil/x', '//evil/x', 'shop.local', 'shop.local', '80'],
            'userinfo' => ['http://me:pw@shop.local/a', '/a', 'shop.local', 'shop.local', '80'],
            'no host' => ['http:///a?b', '/a', null, 'localhost', '80'],
            'connect' => ['//shop.local:443', '/', 'shop.local:443', 'shop.local', '443'],
            'encoded' => ['http://h/%C3%A4%2F?x', '/%C3%A4%2F', 'h', 'h', '80'],
            'bad port' => ['http://h:port/a', '/a', 'h:port', 'h:port', '80'],
            'query with a path' => ['http://h?a=/b', '/', 'h', 'h', '80'],
        ];
    }

    /** @dataProvider uris */
    public function testUri(string $uri, string $path, ?string $host, string $name, string $port): void
    {
        $request = self::request(['uri' => $uri]);
        self::assertSame($path, $request->path());
        self::assertSame($host, $request->header('Host'));
        self::assertSame([$name, $port], [$request->server()['SERVER_NAME'], $request->server()['SERVER_PORT']]);
    }

    public function testHeadersInAnyCase(): void
    {
        $request = self::request(['headers' => ['Content-Type' => ['text/plain'], 'X-Many' => ['a', 'b'], '' => ['c']]]);
        foreach (['Content-Type', 'content-type', 'CONTENT-TYPE'] as $name) {
            self::assertSame('text/plain', $request->header($name));
        }
        self::assertSame('a, b', $request->header('x-many'));
        self::assertNull($request->header('X-None'));
        self::assertSame(['Host', 'Content-Type', 'X-Many'], array_keys($request->headers()));
    }

    public function testForms(): void
    {
        self::assertSame(['a' => '1'], self::request(['parsed' => true], '{"a":"1"}')->form());
        self::assertSame([], self::request(['parsed' => true], '')->form());
        self::assertSame([], self::request([], 'a=1')->form());
        // http.raw_body: true
        $raw = self::request(['headers' => ['Content-Type' => ['application/x-www-form-urlencoded; charset=utf-8']]], 'a[b]=1&c=%20');
        self::assertSame([['a' => ['b' => '1'], 'c' => ' '], 'a[b]=1&c=%20'], [$raw->form(), $raw->body()]);
    }

    public function testJson(): void
    {
        self::assertSame(['a' => ['b' => 1]], self::request([], '{"a":{"b":1}}')->json());
        $this->expectException(\JsonException::class);
        self::request([], '{')->json();
    }

    public function testVersions(): void
    {
        foreach (['HTTP/1.0' => '1.0', 'HTTP/1.1' => '1.1', 'HTTP/2.0' => '2', 'HTTP/3.0' => '3', 'SPDY' => '1.1'] as $protocol => $version) {
            self::assertSame($version, self::request(['protocol' => $protocol])->protocolVersion());
        }
    }

    public function testUploads(): void
    {
        $path = tempnam(sys_get_temp_dir(), 'rr');
        file_put_contents($path, 'content');
        $file = ['name' => 'a.txt', 'mime' => 'text/plain', 'size' => 7, 'error' => 0, 'tmpName' => $path];
        $refused = ['name' => 'b.exe', 'mime' => '', 'size' => 0, 'error' => 8, 'tmpName' => ''];
        $request = self::request(['uploads' => ['f' => $file, 'list' => [$file, $refused], 'name' => ['name' => $file]]]);
        $uploads = $request->uploads();
        self::assertSame('content', $uploads['f']->contents());
        self::assertSame('b.exe', $uploads['list'][1]->name);
        self::assertInstanceOf(Upload::class, $uploads['name']['name']);
        self::assertSame($uploads, $request->uploads());

        $uploads['f']->moveTo("$path.moved");
        self::assertFileDoesNotExist($path);
        self::assertSame(0666 & ~umask(), fileperms("$path.moved") & 0777);
        unlink("$path.moved");
        foreach ([fn () => $uploads['list'][0]->contents(), fn () => $uploads['list'][0]->moveTo("$path.again")] as $gone) {
            try {
                $gone();
                self::fail();
            } catch (\RuntimeException $e) {
                self::assertStringContainsString('No such file', $e->getMessage());
            }
        }
        $this->expectExceptionMessage('cannot read the upload "b.exe": the server does not take files with this extension');
        $uploads['list'][1]->contents();
    }

    public function testResponses(): void
    {
        self::assertSame('{"a":"ü/","f":1.0}', Response::json(['a' => 'ü/', 'f' => 1.0])->body);
        self::assertSame(['Content-Type' => 'application/problem+json'], Response::json([], 400, ['Content-Type' => 'application/problem+json'])->headers);
        foreach ([fn () => new Response(99), fn () => new Response(600), fn () => new Response(103), fn () => new Response(200, [], 5), fn () => new Response(200, [], new \stdClass())] as $wrong) {
            try {
                $wrong();
                self::fail();
            } catch (\InvalidArgumentException) {
            }
        }
    }
}
