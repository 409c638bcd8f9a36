<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;

/** RR\Laravel with Debian's Laravel, behind the real server; one worker serves all requests. */
final class LaravelTest extends TestCase
{
    private static ?Daemon $shared = null;

    public static function tearDownAfterClass(): void
    {
        self::$shared = null;
    }

    private static function daemon(): Daemon
    {
        return self::$shared ??= new Daemon('laravel', [], 'middleware: [sendfile]');
    }

    /**
     * @param list<string> $headers
     *
     * @return array<string, mixed>
     */
    private static function json(string $method, string $path, array $headers = [], string $body = ''): array
    {
        $response = self::daemon()->request($method, $path, $headers, $body);
        self::assertSame(200, $response['status'], $response['body']);

        return json_decode($response['body'], true, 512, JSON_THROW_ON_ERROR);
    }

    public function testResponse(): void
    {
        $response = self::daemon()->get('/hello?name=Jane');
        self::assertSame([201, 'hello Jane', ['a']], [$response['status'], $response['body'], $response['headers']['x-one']]);
        self::assertArrayHasKey('first', $response['cookies']);
        self::assertSame('The shop: &lt;b&gt; nobody', self::daemon()->get('/view')['body']);
        self::assertSame(404, self::daemon()->get('/nowhere')['status']);
    }

    public function testRequest(): void
    {
        self::assertSame([
            'method' => 'POST', 'url' => 'http://shop.local/request?a=1&b%5B0%5D=2', 'input' => ['x' => ['y' => 'z'], 'a' => '1', 'b' => ['2']], 'content' => '',
            'ip' => '127.0.0.1', 'globals' => [['a' => '1', 'b' => ['2']], ['x' => ['y' => 'z']]], 'same' => true, 'console' => false,
        ], self::json('POST', '/request?a=1&b[]=2', ['Content-Type: application/x-www-form-urlencoded'], 'x[y]=z'));
        $request = self::json('PUT', '/request', ['Content-Type: application/json'], '{"deep":{"a":1}}');
        self::assertSame([['deep' => ['a' => 1]], '{"deep":{"a":1}}', [[], []]], [$request['input'], $request['content'], $request['globals']]);
        $request = self::json('POST', '/request', ['Content-Type: application/x-www-form-urlencoded'], '_method=DELETE');
        self::assertSame('DELETE', $request['method']);
    }

    public function testUploadOf20MiB(): void
    {
        $content = random_bytes(20 << 20);
        self::assertSame(
            ['title' => 'the title', 'name' => 'big.bin', 'valid' => true, 'size' => 20 << 20, 'sha1' => sha1($content)],
            self::json('POST', '/upload', ...Daemon::upload('doc', 'big.bin', $content)),
        );
    }

    /** What one request binds, configures, shares or remembers is unknown to the next. */
    public function testUsersAreKeptApart(): void
    {
        $nobody = [
            'auth' => null, 'check' => false, 'basket' => null, 'items' => [], 'scoped' => [], 'name' => 'shop', 'locale' => 'en', 'trans' => 'en',
            'url' => 'http://shop.local/x', 'shared' => ['shop'], 'app' => true, 'bound' => false, 'cached' => null,
        ];
        $cookies = [];
        foreach (['7', '8'] as $id) {
            $response = self::daemon()->get("/login/$id");
            self::assertSame('welcome', $response['body'], self::daemon()->log());
            self::assertArrayHasKey('queued', $response['cookies']);
            $cookies[$id] = 'Cookie: laravel=' . $response['cookies']['laravel'];
            self::assertSame($nobody, self::json('GET', '/me'));
            self::assertArrayNotHasKey('queued', self::daemon()->get('/me')['cookies']);
        }
        for ($i = 0; $i < 3; ++$i) {
            foreach ($cookies as $id => $cookie) {
                self::assertSame(['auth' => "user $id", 'check' => true, 'basket' => "of $id"] + $nobody, self::json('GET', '/me', [$cookie]));
                self::assertSame($nobody, self::json('GET', '/me'));
            }
        }
        self::assertSame('The shop: &lt;b&gt; nobody', self::daemon()->get('/view')['body']);
        foreach (['a', 'b'] as $name) {
            self::assertSame(['seen' => [$name], 'made' => true], self::json('GET', "/seen?name=$name"), 'a controller of its own');
        }
    }

    public function testExceptions(): void
    {
        $response = self::daemon()->get('/throw');
        self::assertSame(500, $response['status']);
        self::assertStringContainsString('Server Error', $response['body'], 'the error page of Laravel');
        self::assertStringNotContainsString('secret reason', $response['body']);
        self::assertStringContainsString('secret reason', self::daemon()->log());
        self::assertSame(404, self::daemon()->get('/missing')['status']);
        self::assertSame(201, self::daemon()->get('/hello')['status']);
    }

    public function testStreams(): void
    {
        $daemon = self::daemon();
        $socket = $daemon->open('GET', '/stream');
        self::assertStringContainsString('200 OK', (string) fread($socket, 8192));
        fclose($socket);
        $daemon->until(static fn (): bool => str_contains($daemon->log(), 'the stream was cleaned up'), 'the stream goes on without its client');

        $socket = $daemon->open('GET', '/events');
        for ($read = ''; !str_contains($read, 'data: one'); $read .= $more) {
            $more = fread($socket, 8192);
            self::assertNotSame('', (string) $more);
        }
        self::assertStringNotContainsString('data: two', $read);
        touch("$daemon->dir/go");
        self::assertStringContainsString('data: two', (string) stream_get_contents($socket));
        unlink("$daemon->dir/go");
    }

    public function testFile(): void
    {
        file_put_contents(self::daemon()->dir . '/file.bin', $content = random_bytes(300000));
        $whole = self::daemon()->get('/file');
        self::assertSame([200, true, 'attachment; filename=data.bin'], [$whole['status'], $whole['body'] === $content, $whole['headers']['content-disposition'][0]]);
        $part = self::daemon()->get('/file', ['Range: bytes=100-299']);
        self::assertSame([206, 'bytes 100-299/300000', true], [$part['status'], $part['headers']['content-range'][0], $part['body'] === substr($content, 100, 200)]);
    }

    public function testTerminate(): void
    {
        $daemon = self::daemon();
        self::assertSame('before terminate', $daemon->get('/late')['body']);
        self::assertFileDoesNotExist("$daemon->dir/done");
        touch("$daemon->dir/go");
        $daemon->until(static fn (): bool => is_file("$daemon->dir/done"), 'terminate() did not run');
        unlink("$daemon->dir/go");
        self::assertSame('before terminate', $daemon->get('/late-throws')['body']);
        self::assertSame(201, $daemon->get('/hello')['status']);
        self::assertStringContainsString('uncaught in terminate() DomainException: from terminate', $daemon->log());
    }
}
