<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;

/** RR\Symfony with Debian's Symfony, behind the real server; one worker serves all requests of a test. */
final class SymfonyTest extends TestCase
{
    private const HTTP = 'request_streaming: true';

    private static ?Daemon $shared = null;

    public static function tearDownAfterClass(): void
    {
        self::$shared = null;
    }

    private static function daemon(): Daemon
    {
        return self::$shared ??= new Daemon('symfony', [], self::HTTP);
    }

    public function testResponse(): void
    {
        $response = self::daemon()->get('/hello?name=Jane');
        self::assertSame([201, 'hello Jane'], [$response['status'], $response['body']]);
        self::assertSame([['a'], ['b', 'c']], [$response['headers']['x-one'], $response['headers']['x-many']]);
        self::assertSame(['first' => '1%202', 'second' => '2'], $response['cookies']);
        self::assertSame(['text/html; charset=UTF-8'], $response['headers']['content-type']);
        self::assertStringContainsString('printed by a controller', self::daemon()->log(), 'what is printed beside the response goes to the log');
        self::assertStringContainsString('printed while the application boots', self::daemon()->log());
        $head = self::daemon()->request('HEAD', '/hello');
        self::assertSame([201, ''], [$head['status'], $head['body']]);
        self::assertSame(404, self::daemon()->get('/nowhere')['status']);
    }

    public function testRequest(): void
    {
        $json = static fn (array $response): array => json_decode($response['body'], true, 512, JSON_THROW_ON_ERROR);
        $request = $json(self::daemon()->request('POST', '/request?a=1&b[]=2', ['Content-Type: application/x-www-form-urlencoded', 'Cookie: sid=x; c=d%20e', 'Authorization: Basic ' . base64_encode('jane:secret')], 'x[y]=z&u=%C3%BC'));
        self::assertSame('POST', $request['method']);
        self::assertSame('http://shop.local/request?a=1&b%5B0%5D=2', $request['uri']);
        self::assertSame(['/request', ''], [$request['path'], $request['base']]);
        self::assertSame(['a' => '1', 'b' => ['2']], $request['query']);
        self::assertSame(['x' => ['y' => 'z'], 'u' => 'ü'], $request['form']);
        self::assertSame(['sid' => 'x', 'c' => 'd e'], $request['cookies']);
        self::assertSame(['jane', '127.0.0.1'], [$request['user'], $request['ip']]);
        self::assertSame([['a' => '1', 'b' => ['2']], ['x' => ['y' => 'z'], 'u' => 'ü'], ['sid' => 'x', 'c' => 'd e'], '/request?a=1&b[]=2'], $request['globals']);

        $request = $json(self::daemon()->request('PUT', '/request', ['Content-Type: application/json'], '{"a":1}'));
        self::assertSame(['{"a":1}', [], [], null, [[], [], [], '/request']], [$request['content'], $request['form'], $request['cookies'], $request['user'], $request['globals']], 'and nothing of the request before');
        $request = $json(self::daemon()->request('PUT', '/request', ['Content-Type: application/x-www-form-urlencoded'], 'a=1'));
        self::assertSame(['a' => '1'], $request['form']);
    }

    public function testUploadOf20MiB(): void
    {
        $content = random_bytes(20 << 20);
        $result = json_decode(self::daemon()->request('POST', '/upload', ...Daemon::upload('doc', 'big.bin', $content))['body'], true);
        self::assertSame([
            'title' => 'the title', 'files' => ['doc' => 'big.bin'], 'name' => 'big.bin', 'type' => 'application/octet-stream',
            'valid' => true, 'error' => 0, 'size' => 20 << 20, 'sha1' => sha1($content),
        ], $result);
        // The same as a raw body, read while it arrives.
        self::assertSame([20 << 20, sha1($content)], json_decode(self::daemon()->request('POST', '/content', [], $content)['body'], true));
        self::assertSame([5, sha1('small')], json_decode(self::daemon()->request('POST', '/content', [], 'small')['body'], true));
        self::assertNull(json_decode(self::daemon()->request('POST', '/upload', ...Daemon::upload('doc', '', ''))['body'], true)['files']['doc'] ?? null, 'a field without a file');
    }

    /** Users see their own session and nothing that a service remembers of another. */
    public function testUsersAreKeptApart(): void
    {
        $me = static fn (string $cookie): array => json_decode(self::daemon()->get('/me', $cookie === '' ? [] : ["Cookie: PHPSESSID=$cookie"])['body'], true);
        $nobody = ['session' => null, 'memory' => null, 'php' => null, 'stack' => true];
        $jane = self::daemon()->get('/login?user=jane')['cookies']['PHPSESSID'];
        self::assertSame($nobody, $me(''));
        $joe = self::daemon()->get('/login?user=joe')['cookies']['PHPSESSID'];
        self::assertNotSame($jane, $joe);
        for ($i = 0; $i < 5; ++$i) {
            self::assertSame(['session' => 'jane', 'memory' => null, 'php' => 'jane', 'stack' => true], $me($jane));
            self::assertSame($nobody, $me(''));
            self::assertSame(['session' => 'joe', 'memory' => null, 'php' => 'joe', 'stack' => true], $me($joe));
        }
        self::assertSame($nobody, $me('../../etc/passwd'));
        $forgotten = self::daemon()->get('/leave-open')['body'];
        self::assertSame($nobody, $me(''));
        self::assertSame('forgotten', $me($forgotten)['session'], 'a session that was left open is saved, as at the end of a request elsewhere');
        self::assertSame(500, self::daemon()->get('/throw', ["Cookie: PHPSESSID=$jane"])['status']);
        self::assertSame($nobody, $me(''));
    }

    public function testExceptions(): void
    {
        $response = self::daemon()->get('/throw');
        self::assertSame(500, $response['status']);
        self::assertStringContainsString('An Error Occurred: Internal Server Error', $response['body'], 'the error page of Symfony');
        self::assertStringNotContainsString('secret reason', $response['body']);
        self::assertStringContainsString('secret reason', self::daemon()->log());

        $boots = (int) self::daemon()->get('/boots')['body'];
        $response = self::daemon()->get('/escape');
        self::assertSame([500, "Internal Server Error\n"], [$response['status'], $response['body']]);
        self::assertStringContainsString('the error page itself is broken', self::daemon()->log());
        self::assertSame($boots + 1, (int) self::daemon()->get('/boots')['body'], 'the kernel has started again');
    }

    public function testOutputPastTheBuffers(): void
    {
        $cookie = ['Cookie: PHPSESSID=' . self::daemon()->get('/login?user=jane')['cookies']['PHPSESSID']];
        self::assertSame(200, self::daemon()->get('/unbuffered', $cookie)['status']);
        self::assertNull(json_decode(self::daemon()->get('/me')['body'], true)['session']);
        self::assertSame('jane', json_decode(self::daemon()->get('/me', $cookie)['body'], true)['session']);
        self::assertSame(1, substr_count(self::daemon()->log(), 'the worker is replaced'));
    }

    public function testFatalError(): void
    {
        self::assertSame(500, self::daemon()->get('/memory')['status']);
        self::assertSame(201, self::daemon()->get('/hello')['status']);
        self::assertStringContainsString('in the middle of a request: fatal error: Allowed memory size', self::daemon()->log());
        self::assertStringNotContainsString('<html', self::daemon()->log(), 'no error page in the log');
    }

    public function testRebootAlways(): void
    {
        $daemon = new Daemon('symfony', ['APP_KERNEL_REBOOT' => 'always']);
        self::assertSame(['1', '2'], [$daemon->get('/boots')['body'], $daemon->get('/boots')['body']]);
    }

    public function testStreamStopsWithItsClient(): void
    {
        $socket = self::daemon()->open('GET', '/stream');
        self::assertStringContainsString('200 OK', (string) fread($socket, 8192));
        fclose($socket);
        self::daemon()->until(static fn (): bool => str_contains(self::daemon()->log(), 'the stream was cleaned up'), 'the stream goes on without its client');
        self::assertSame(201, self::daemon()->get('/hello')['status']);
    }

    /** An event reaches its reader at once, not when 8 KiB have come together. */
    public function testEvents(): void
    {
        @unlink(self::daemon()->dir . '/go');
        $socket = self::daemon()->open('GET', '/events');
        for ($read = ''; !str_contains($read, 'data: one /events'); $read .= $more) {
            $more = fread($socket, 8192);
            self::assertNotSame('', (string) $more);
        }
        self::assertStringNotContainsString('data: two', $read);
        touch(self::daemon()->dir . '/go');
        self::assertStringContainsString('data: two', (string) stream_get_contents($socket));
        unlink(self::daemon()->dir . '/go');
    }

    public function testFiles(): void
    {
        file_put_contents(self::daemon()->dir . '/file.bin', $content = random_bytes(300000));
        $this->files(self::daemon(), $content);
        $response = self::daemon()->get('/once');
        self::assertSame([200, 'once only', false], [$response['status'], $response['body'], is_file(self::daemon()->dir . '/once')]);
        self::assertStringNotContainsString('X-Sendfile', self::daemon()->get('/file')['raw']);
    }

    /** With the server's middleware the file does not pass through PHP. */
    public function testFilesThroughTheServer(): void
    {
        $daemon = new Daemon('symfony', [], 'middleware: [sendfile]');
        file_put_contents("$daemon->dir/file.bin", $content = random_bytes(300000));
        $this->files($daemon, $content);
        $outside = $daemon->get('/file?outside=1');
        self::assertSame([200, file_get_contents(__DIR__ . '/workers/symfony.php')], [$outside['status'], $outside['body']], 'a file outside of http.sendfile.roots goes through PHP');
        self::assertSame('once only', $daemon->get('/once')['body']);
    }

    private function files(Daemon $daemon, string $content): void
    {
        $whole = $daemon->get('/file');
        self::assertSame([200, '300000', 'application/x-test'], [$whole['status'], $whole['headers']['content-length'][0], $whole['headers']['content-type'][0]]);
        self::assertSame('attachment; filename=size.bin; filename*=utf-8\'\'gr%C3%B6%C3%9Fe.bin', $whole['headers']['content-disposition'][0]);
        self::assertTrue($whole['body'] === $content);
        foreach (['bytes=100-299' => [100, 200], 'bytes=299990-' => [299990, 10], 'bytes=-7' => [299993, 7], 'bytes=1000-200000' => [1000, 199001]] as $range => [$from, $length]) {
            $part = $daemon->get('/file', ["Range: $range"]);
            self::assertSame([206, sprintf('bytes %d-%d/300000', $from, $from + $length - 1), (string) $length], [$part['status'], $part['headers']['content-range'][0], $part['headers']['content-length'][0]]);
            self::assertTrue($part['body'] === substr($content, $from, $length), $range);
        }
        self::assertSame(200, $daemon->get('/file', ['Range: bytes=0-9', 'If-Range: "other"'])['status']);
        self::assertSame(206, $daemon->get('/file', ['Range: bytes=0-9', 'If-Range: ' . $whole['headers']['etag'][0]])['status']);
        $head = $daemon->request('HEAD', '/file');
        self::assertSame([200, ''], [$head['status'], $head['body']]);
    }

    /** The client has its answer before terminate() has ended. */
    public function testTerminate(): void
    {
        $daemon = self::daemon();
        @unlink("$daemon->dir/go");
        self::assertSame('before terminate', $daemon->get('/terminate')['body']);
        self::assertFileDoesNotExist("$daemon->dir/done");
        touch("$daemon->dir/go");
        $daemon->until(static fn (): bool => is_file("$daemon->dir/done"), 'terminate() did not run');
        unlink("$daemon->dir/go");

        self::assertSame('before terminate', $daemon->get('/terminate-throws')['body']);
        self::assertSame(201, $daemon->get('/hello')['status']);
        self::assertStringContainsString('uncaught in terminate() DomainException: from terminate', $daemon->log());
    }

    public function testTrustedProxies(): void
    {
        $forwarded = ['X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: https'];
        self::assertSame('127.0.0.1 http', self::daemon()->get('/ip', $forwarded)['body'], 'not from 10.0.0.1');
        $daemon = new Daemon('symfony', ['TRUSTED' => '10.0.0.1,REMOTE_ADDR']);
        self::assertSame('192.0.2.7 https', $daemon->get('/ip', $forwarded)['body']);
        self::assertSame('127.0.0.1 http', $daemon->get('/ip')['body']);
    }

    public function testEarlyHintsAndTrailers(): void
    {
        $response = self::daemon()->get('/hints');
        self::assertStringStartsWith("HTTP/1.1 103 Early Hints\r\nLink: </app.css>; rel=preload; as=style\r\n\r\nHTTP/1.1 200 OK", $response['raw']);
        self::assertSame('hinted', $response['body']);
        $response = self::daemon()->get('/trailers', ['TE: trailers']);
        self::assertStringContainsString("\r\n0\r\nX-Sum: abc\r\n", $response['raw']);
    }
}
