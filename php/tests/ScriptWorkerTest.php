<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;

/** Plain scripts behind the real server; one worker serves all requests. */
final class ScriptWorkerTest extends TestCase
{
    private static ?Daemon $shared = null;

    public static function tearDownAfterClass(): void
    {
        self::$shared = null;
    }

    private static function daemon(): Daemon
    {
        return self::$shared ??= new Daemon('scripts');
    }

    public function testHeadersAndVariables(): void
    {
        foreach (['/?name=a', '/index.php?name=b', '/anything/else?name=c'] as $path) {
            $response = self::daemon()->get($path);
            $name = substr($path, -1);
            self::assertSame([201, "index $name [false,null,\"scripts\",\"\/index.php\",null]"], [$response['status'], $response['body']], 'no variable is left of the request before');
            self::assertSame([['a'], ['b', 'c']], [$response['headers']['x-one'], $response['headers']['x-many']]);
            self::assertSame(['first' => '1%202'], $response['cookies']);
            self::assertSame(['text/html; charset=UTF-8'], $response['headers']['content-type']);
        }
    }

    /** Said once in the log, and the rest works. */
    public function testWithoutFfi(): void
    {
        $daemon = new Daemon('scripts', options: '-d ffi.enable=0');
        $response = $daemon->get('/?name=a');
        self::assertSame(201, $response['status']);
        self::assertStringStartsWith('index a', $response['body']);
        self::assertArrayNotHasKey('x-one', $response['headers']);
        self::assertStringContainsString('have no effect: they need PHP\'s extension FFI', $daemon->log());
    }

    public function testPaths(): void
    {
        $page = static fn (string $method, string $path, array $headers = [], string $body = ''): array => json_decode(self::daemon()->request($method, $path, $headers, $body)['body'], true, 512, JSON_THROW_ON_ERROR);
        self::assertSame(['/sub/page.php', '/sub/page.php/rest/of', '/rest/of', 'sub'], $page('GET', '/sub/page.php/rest/of?a=1')['script']);
        self::assertSame([['a' => '1'], [], '', null, ['Content-Type: application/json']], array_values(array_slice($page('GET', '/sub/page.php?a=1'), 1)), 'and no header of the request before');
        self::assertSame('{"a":1}', $page('POST', '/sub/page.php', ['Content-Type: application/json'], '{"a":1}')['input']);
        self::assertSame('', $page('GET', '/sub/page.php')['input']);
        $form = $page('POST', '/sub/page.php', ['Content-Type: application/x-www-form-urlencoded', 'Authorization: Basic ' . base64_encode('jane:x:y')], 'a=1&b=%26');
        self::assertSame([['a' => '1', 'b' => '&'], 'a=1&b=%26', 'jane'], [$form['post'], $form['input'], $form['user']]);
        self::assertStringStartsWith('index', self::daemon()->get('/sub/../../scripts.php')['body'], 'nothing outside of the folder');
        self::assertSame('nested buffers', self::daemon()->get('/buffers.php')['body']);
    }

    public function testExit(): void
    {
        for ($i = 0; $i < 3; ++$i) {
            $response = self::daemon()->get('/redirect.php');
            self::assertSame([302, 'moved', ['/index.php']], [$response['status'], $response['body'], $response['headers']['location']]);
            self::assertSame(201, self::daemon()->get('/')['status'], 'no request is lost with the worker');
        }
        self::assertStringNotContainsString('exit()', self::daemon()->log());
    }

    /** Shutdown functions and destructors print into the answer, and run before it is complete. */
    public function testEnd(): void
    {
        foreach (['' => ' destroyed', '?exit' => ' shut down later destroyed', '?stop' => ' shut down'] as $query => $end) {
            // The functions of one request would run at the end of the worker.
            $daemon = new Daemon('scripts');
            $response = $daemon->get("/shutdown.php$query");
            self::assertSame([200, "page$end"], [$response['status'], $response['body']]);
            self::assertSame(201, $daemon->get('/')['status']);
            self::assertStringNotContainsString('exit()', $daemon->log());
        }
    }

    public function testFatalError(): void
    {
        $response = self::daemon()->get('/fatal.php');
        self::assertSame(500, $response['status']);
        self::assertStringNotContainsString('half a page', $response['body']);
        $log = self::daemon()->log();
        self::assertStringContainsString('rr: the worker ends in the middle of a request: fatal error: Allowed memory size of 16777216 bytes exhausted', $log);
        self::assertStringNotContainsString('half a page', $log);
        self::assertStringNotContainsString('an error page', $log);
        self::assertSame(201, self::daemon()->get('/')['status']);
    }

    /** Nothing that a script does to a variable or to the environment reaches the next one. */
    public function testNothingIsLeft(): void
    {
        for ($i = 0; $i < 2; ++$i) {
            self::assertSame([null, null, 'of the worker', null, false, 'set'], json_decode(self::daemon()->get('/variables.php')['body'], true));
        }
    }

    public function testOutputPastTheBuffers(): void
    {
        $cookie = ['Cookie: PHPSESSID=' . self::daemon()->get('/login.php?user=jane')['cookies']['PHPSESSID']];
        for ($i = 1; $i <= 2; ++$i) {
            self::assertSame(200, self::daemon()->get('/unbuffered.php', $cookie)['status']);
            self::assertNull(json_decode(self::daemon()->get('/login.php')['body'])[0]);
            self::assertSame('jane', json_decode(self::daemon()->get('/login.php', $cookie)['body'])[0]);
            self::assertSame($i, substr_count(self::daemon()->log(), 'the worker is replaced'));
        }
    }

    public function testSessions(): void
    {
        $visit = static fn (string $query, string $cookie = ''): array => self::daemon()->get("/login.php$query", $cookie === '' ? [] : ["Cookie: PHPSESSID=$cookie"]);
        $jane = $visit('?user=jane')['cookies']['PHPSESSID'];
        $joe = $visit('?user=joe')['cookies']['PHPSESSID'];
        self::assertNotSame($jane, $joe);
        for ($i = 0; $i < 3; ++$i) {
            self::assertSame(['jane', $jane], json_decode($visit('?user=x', $jane)['body']));
            self::assertNull(json_decode($visit('')['body'])[0]);
            self::assertSame(['joe', $joe], json_decode($visit('?user=x', $joe)['body']));
        }
        self::assertSame(['no-store, no-cache, must-revalidate'], $visit('', $joe)['headers']['cache-control']);
    }

    public function testUploadOf20MiB(): void
    {
        $content = random_bytes(20 << 20);
        self::assertSame(['the title', 'big.bin', 20 << 20, sha1($content)], json_decode(self::daemon()->request('POST', '/upload.php', ...Daemon::upload('doc', 'big.bin', $content))['body']));
    }

    public function testStreams(): void
    {
        $daemon = self::daemon();
        $socket = $daemon->open('GET', '/events.php');
        for ($read = ''; !str_contains($read, 'data: one'); $read .= $more) {
            $more = fread($socket, 8192);
            self::assertNotSame('', (string) $more);
        }
        self::assertStringNotContainsString('data: two', $read);
        self::assertStringContainsString("text/event-stream", $read);
        touch("$daemon->dir/go");
        self::assertStringContainsString('data: two', (string) stream_get_contents($socket));
        unlink("$daemon->dir/go");

        $socket = $daemon->open('GET', '/endless.php');
        self::assertStringContainsString('200 OK', (string) fread($socket, 8192));
        fclose($socket);
        $daemon->until(static fn (): bool => str_contains($daemon->log(), 'the script was cleaned up'), 'the script goes on without its client');
        self::assertSame(201, $daemon->get('/')['status']);
        self::assertStringNotContainsString('xxxx', $daemon->log());
    }

    public function testExceptions(): void
    {
        $response = self::daemon()->get('/throw.php');
        self::assertSame([500, "Internal Server Error\n"], [$response['status'], $response['body']]);
        self::assertArrayNotHasKey('x-left', $response['headers']);
        self::assertStringContainsString('DomainException: secret reason', self::daemon()->log());
        $response = self::daemon()->get('/throw-late.php');
        self::assertSame(200, $response['status']);
        self::assertStringEndsNotWith("0\r\n\r\n", $response['raw'], 'the client can tell that something is missing');
        self::assertSame(201, self::daemon()->get('/')['status']);
    }
}
