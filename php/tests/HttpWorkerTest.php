<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Frame;
use RR\Http\Proto;

/** RR\Http\HttpWorker in a process of its own. */
final class HttpWorkerTest extends TestCase
{
    private Server $server;

    protected function setUp(): void
    {
        $this->server = new Server('http');
    }

    protected function tearDown(): void
    {
        unset($this->server);
    }

    /**
     * @param array<string, mixed> $context
     *
     * @return array{status: int|null, headers: array<string, list<string>>, body: string, stream: int}
     */
    private function get(string $path, array $context = [], string $body = ''): array
    {
        $this->server->request($context + ['uri' => "http://shop.local$path"], $body);

        return $this->server->response();
    }

    public function testResponse(): void
    {
        self::assertSame([
            'status' => 201,
            'headers' => ['X-Many' => ['a', 'b'], 'X-Number' => ['5'], 'Content-Type' => ['text/plain; charset=utf-8']],
            'body' => 'hello',
            'stream' => 0,
        ], $this->get('/'));
        self::assertSame(['status' => 200, 'headers' => ['Content-Type' => ['text/html; charset=utf-8']], 'body' => '<p>hello', 'stream' => 0], $this->get('/string'));
        self::assertSame(['status' => 204, 'headers' => [], 'body' => '', 'stream' => 0], $this->get('/empty'));
        self::assertSame(['status' => 303, 'headers' => ['Location' => ['/']], 'body' => '', 'stream' => 0], $this->get('/elsewhere'));
        $body = random_bytes(300000);
        self::assertTrue($this->get('/echo', [], $body)['body'] === $body);
        self::assertSame('6', (string) ($this->get('/served')['body'] + 1));
        self::assertSame(0, $this->server->stop());
        self::assertSame('', $this->server->stderr());
    }

    /** Header values that are no UTF-8 must not cost the response. */
    public function testHeaderBytes(): void
    {
        self::assertSame(['X-Latin' => ["caf\u{FFFD}"], 'X-Utf8' => ['café']], $this->get('/bytes')['headers']);
        $this->server->job("\x22\x17http://shop.local/bytes", '', Frame::PROTO);
        self::assertSame(Proto::response(200, ['X-Latin' => ["caf\xE9"], 'X-Utf8' => ['café']]), $this->server->frame()['context']);
    }

    public function testRequest(): void
    {
        $response = $this->get('/request?a=1&b[]=2', [
            'method' => 'POST',
            'headers' => ['X-Test' => ['1', '2'], '7' => ['seven']],
            'cookies' => ['sid' => 'x'],
            'rawQuery' => 'a=1&b[]=2',
            'parsed' => true,
            'uploads' => ['f' => ['name' => 'a.txt', 'mime' => 'text/plain', 'size' => 3, 'error' => 0, 'tmpName' => '/tmp/x']],
            'attributes' => ['user' => ['jane', 'joe'], 'plain' => 'p', 'ipAddress' => ['192.0.2.1']],
            'protocol' => 'HTTP/2.0',
        ], '{"title":"t","tags":{"":["x"]}}');
        self::assertSame([
            'method' => 'POST',
            'uri' => 'http://shop.local/request?a=1&b[]=2',
            'query' => ['a' => '1', 'b' => ['2']],
            'headers' => ['Host' => ['shop.local'], 'X-Test' => ['1', '2'], 7 => ['seven']],
            'cookies' => ['sid' => 'x'],
            'form' => ['title' => 't', 'tags' => ['' => ['x']]],
            'uploads' => ['f' => ['name' => 'a.txt', 'type' => 'text/plain', 'size' => 3, 'error' => 0, 'tmpName' => '/tmp/x']],
            'attributes' => ['user' => 'jane', 'plain' => 'p', 'ipAddress' => '192.0.2.1'],
            'remoteAddr' => '192.0.2.1',
            'protocol' => '2',
        ], json_decode($response['body'], true));
    }

    /** The same in protobuf, changing the codec from request to request. */
    public function testProtobuf(): void
    {
        $context = "\x0A\x0810.0.0.7\x12\x08HTTP/1.1\x1A\x03GET\x22\x1Dhttp://shop.local/request?a=1*\x10\x0A\x06Accept\x12\x06\x0A\x01a\x0A\x01b"
            . "2\x0A\x0A\x03sid\x12\x03\x0A\x01x" . ":\x03a=1" . "R\x0D\x0A\x04user\x12\x05\x0A\x03joe";
        foreach ([Frame::PROTO, 0] as $flags) {
            $this->server->job($context, '', $flags);
            $frame = $this->server->frame();
            self::assertSame([$flags, Proto::response(200, ['Content-Type' => ['application/json']])], [$frame['flags'], $frame['context']]);
            $request = json_decode($frame['body'], true);
            self::assertSame(['Host' => ['shop.local'], 'Accept' => ['a', 'b']], $request['headers']);
            self::assertSame([['sid' => 'x'], ['user' => 'joe'], ['a' => '1'], '10.0.0.7'], [$request['cookies'], $request['attributes'], $request['query'], $request['remoteAddr']]);
            self::assertSame(201, $this->get('/')['status']);
        }
    }

    /** A broken request is answered, and the worker lives. */
    public function testBrokenContext(): void
    {
        $this->server->job("\x22\x7Fhttp", '', Frame::PROTO);
        self::assertStringStartsWith("\x08\xF4\x03", $this->server->frame()['context'], 'status 500');
        $this->server->job('{"uri":', '');
        self::assertSame(500, $this->server->response()['status']);
        self::assertStringContainsString('the request context is not protobuf', $this->server->stderr());
        self::assertStringContainsString('the request context is not JSON: Syntax error', $this->server->stderr());
        self::assertSame(201, $this->get('/')['status']);
    }

    public function testExceptions(): void
    {
        foreach (['/throw' => 'secret reason', '/bad-status' => 'response status 42', '/nothing' => 'null', '/throw-early' => 'before the first chunk', '/hints-wrong' => '102..199'] as $path => $text) {
            $response = $this->get($path);
            self::assertSame([500, "Internal Server Error\n", 0], [$response['status'], $response['body'], $response['stream']], $path);
            self::assertStringContainsString($text, $this->server->stderr());
        }
        self::assertStringContainsString('http.php:', $this->server->stderr(), 'the trace');
        self::assertSame(201, $this->get('/')['status']);
    }

    public function testDetailsInDebugModeOnly(): void
    {
        foreach ([[['RR_DEBUG' => '1'], []], [[], ['-d', 'display_errors=1']], [[], ['-d', 'display_errors=On']]] as [$env, $options]) {
            $this->server = new Server('http', $env, $options);
            self::assertStringContainsString('DomainException: secret reason', $this->get('/throw')['body']);
        }
        foreach ([[['RR_DEBUG' => '0'], []], [['RR_DEBUG' => 'false'], []], [[], ['-d', 'display_errors=stderr']]] as [$env, $options]) {
            $this->server = new Server('http', $env, $options);
            self::assertSame("Internal Server Error\n", $this->get('/throw')['body']);
        }
    }

    /** @return array<string, array{string, list<string>, array<string, list<string>>}> */
    public static function streams(): array
    {
        return [
            'generator' => ['/generator', ['one', 'two', ''], ['X-Stream' => ['yes']]],
            'iterator' => ['/iterator', ['one', 'two', ''], []],
            'array' => ['/list', ['one', 'two', ''], []],
            'file' => ['/file', [(string) file_get_contents(__DIR__ . '/workers/http.php'), ''], []],
            'closure' => ['/closure', ['one', 'two', str_repeat('x', 9000), 'end', ''], []],
            'no chunk' => ['/no-chunk', [''], ['X-Stream' => ['yes']]],
        ];
    }

    /**
     * @dataProvider streams
     *
     * @param list<string> $chunks
     * @param array<string, list<string>> $headers
     */
    public function testStream(string $path, array $chunks, array $headers): void
    {
        $last = array_pop($chunks);
        foreach ([...$chunks, $last] as $i => $chunk) {
            $response = $i === 0 ? $this->get($path) : $this->server->response();
            self::assertSame($chunk, $response['body']);
            self::assertSame($i === count($chunks) ? 0 : Frame::STREAM, $response['stream']);
            self::assertSame($i === 0 ? [200, $headers] : [null, []], [$response['status'], $response['headers']]);
        }
        $this->server->quiet();
        self::assertSame(201, $this->get('/')['status']);
        self::assertSame('', $this->server->stderr());
    }

    public function testExceptionInAStream(): void
    {
        foreach (['/throw-late' => 'after the first chunk', '/throw-closure' => 'from the closure'] as $path => $text) {
            self::assertSame('one', $this->get($path)['body']);
            $frame = $this->server->frame();
            self::assertSame([Frame::ERROR, 0, "stream ended by DomainException: $text"], [$frame['flags'], $frame['stream'], $frame['body']]);
            self::assertStringContainsString($text, $this->server->stderr());
            self::assertSame(201, $this->get('/')['status']);
        }
    }

    /** @return array<string, array{string, string}> */
    public static function endless(): array
    {
        return [
            'generator' => ['/endless', "stopped: the client closed the connection\ncleaned up\n"],
            'generator without a catch' => ['/endless-uncaught', ''],
            'iterator' => ['/endless-list', ''],
            'closure' => ['/endless-closure', "closure cleaned up\n"],
        ];
    }

    /** @dataProvider endless */
    public function testClientGoesAway(string $path, string $log): void
    {
        self::assertSame(Frame::STREAM, $this->get($path)['stream']);
        $this->server->stream(Frame::STOP);
        while (($response = $this->server->response())['stream'] !== 0);
        self::assertSame('', $response['body']);
        self::assertSame(201, $this->get('/')['status']);
        $this->server->quiet();
        self::assertSame($log, $this->server->stderr());
    }

    public function testTrailers(): void
    {
        $response = $this->get('/trailers');
        self::assertSame(['Trailer' => ['X-Sum, X-Other'], 'X-Sum' => ['abc'], 'X-Other' => ['d']], $response['headers']);
        self::assertSame('body', $response['body']);
    }

    public function testEarlyHints(): void
    {
        self::assertSame(['status' => 103, 'headers' => ['Link' => ['</app.css>; rel=preload']], 'body' => '', 'stream' => Frame::STREAM], $this->get('/hints'));
        self::assertSame(['status' => 103, 'headers' => ['Link' => ['</a.js>', '</b.js>']], 'body' => '', 'stream' => Frame::STREAM], $this->server->response());
        self::assertSame([200, 'hello', 0], [($r = $this->server->response())['status'], $r['body'], $r['stream']]);
    }

    public function testGlobals(): void
    {
        $this->server = new Server('http', ['HTTP_PROXY' => 'http://evil', 'APP_ENV' => 'test']);
        $file = ['name' => 'a.txt', 'mime' => 'text/plain', 'size' => 3, 'error' => 0, 'tmpName' => '/tmp/x'];
        $globals = json_decode($this->get('/globals?a=1&b[]=2', [
            'method' => 'POST',
            'uri' => 'https://shop.local:8443/globals?a=1&b[]=2',
            'rawQuery' => 'a=1&b[]=2',
            'headers' => ['Content-Type' => ['multipart/form-data'], 'Content-Length' => ['5'], 'X-Forwarded-For' => ['1.1.1.1', '2.2.2.2'], 'User-Agent' => ['test']],
            'cookies' => ['sid' => 'x'],
            'parsed' => true,
            'uploads' => ['one' => $file, 'many' => [$file, $file], 'deep' => ['x' => ['y' => $file]]],
        ], '{"a":"post"}')['body'], true);
        self::assertSame(['a' => '1', 'b' => ['2']], $globals['get']);
        self::assertSame(['a' => 'post'], $globals['post']);
        self::assertSame(['a' => 'post', 'b' => ['2']], $globals['request']);
        self::assertSame(['sid' => 'x'], $globals['cookie']);
        self::assertSame(['name' => 'a.txt', 'full_path' => 'a.txt', 'type' => 'text/plain', 'tmp_name' => '/tmp/x', 'error' => 0, 'size' => 3], $globals['files']['one']);
        self::assertSame(['/tmp/x', '/tmp/x'], $globals['files']['many']['tmp_name']);
        self::assertSame(['x' => ['y' => 3]], $globals['files']['deep']['size']);
        $s = $globals['server'];
        foreach ([
            'REQUEST_METHOD' => 'POST', 'REQUEST_URI' => '/globals?a=1&b[]=2', 'QUERY_STRING' => 'a=1&b[]=2', 'REQUEST_SCHEME' => 'https', 'HTTPS' => 'on',
            'SERVER_NAME' => 'shop.local', 'SERVER_PORT' => '8443', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'REMOTE_ADDR' => '10.0.0.7', 'HTTP_HOST' => 'shop.local:8443',
            'CONTENT_TYPE' => 'multipart/form-data', 'CONTENT_LENGTH' => '5', 'HTTP_X_FORWARDED_FOR' => '1.1.1.1, 2.2.2.2', 'HTTP_USER_AGENT' => 'test',
            'APP_ENV' => 'test', 'SCRIPT_NAME' => '/http.php', 'PHP_SELF' => '/http.php', 'DOCUMENT_ROOT' => __DIR__ . '/workers', 'SCRIPT_FILENAME' => __DIR__ . '/workers/http.php',
        ] as $name => $value) {
            self::assertSame($value, $s[$name] ?? null, $name);
        }
        self::assertArrayNotHasKey('HTTP_PROXY', $s, 'CVE-2016-5385');
        self::assertEqualsWithDelta(microtime(true), $s['REQUEST_TIME_FLOAT'], 10);

        self::assertSame('[false,false]', $this->get('/session')['body'], 'nothing is left of the request before');
        $globals = json_decode($this->get('/globals')['body'], true);
        self::assertSame([[], [], [], [], []], [$globals['get'], $globals['post'], $globals['cookie'], $globals['files'], $globals['request']]);
        self::assertArrayNotHasKey('HTTPS', $globals['server']);
        self::assertArrayNotHasKey('HTTP_X_FORWARDED_FOR', $globals['server']);
    }

    /** A session belongs to its cookie and to no other request of the process. */
    /** After output past the buffers PHP can keep no sessions apart: no other request may come to this process. */
    public function testOutputPastTheBuffers(): void
    {
        self::assertSame('printed', $this->get('/unbuffered')['body']);
        $this->server->request(['uri' => 'http://shop.local/']);
        self::assertSame('{"stop":true}', $this->server->frame()['context'], 'another worker gets this request');
        self::assertSame(0, $this->server->wait());
        self::assertSame(1, substr_count($this->server->stderr(), 'rr: output after the removal of all output buffers (' . __DIR__ . '/workers/http.php:'));
    }

    /** A worker that replaces another would print the same again. */
    public function testOutputBeforeTheFirstRequest(): void
    {
        $this->server = new Server('http', ['UNBUFFERED' => '1']);
        self::assertSame(201, $this->get('/')['status']);
        self::assertSame(201, $this->get('/')['status']);
        self::assertSame(1, substr_count($this->server->stderr(), 'rr: output before the first request (' . __DIR__ . '/workers/http.php:'));
    }

    /** Whatever PHP refuses to change, the id of another visitor is never seen. */
    public function testSessionsAfterOutput(): void
    {
        foreach ([['1', 500], ['0', 200]] as [$cookies, $status]) {
            $this->server = new Server('http', ['UNBUFFERED' => 'session'], ['-d', "session.use_cookies=$cookies", '-d', 'session.cache_limiter=']);
            $response = $this->get('/session-id');
            self::assertSame($status, $response['status']);
            self::assertStringNotContainsString('jane', $response['body']);
            self::assertStringNotContainsString('jane', $this->get('/session-id', ['cookies' => ['PHPSESSID' => 'joe']])['body']);
        }
    }

    public function testSessions(): void
    {
        $folder = sys_get_temp_dir() . '/rr-sessions-' . bin2hex(random_bytes(4));
        mkdir($folder);
        try {
            $this->server = new Server('http', [], ['-d', "session.save_path=$folder", '-d', 'session.use_strict_mode=1']);
            $visit = fn (string $query, array $cookies = []): array => json_decode(
                $this->get("/php-session?$query", ['rawQuery' => $query, 'cookies' => (object) $cookies])['body'],
                true,
            );
            [$first, $visits] = $visit('close=1');
            self::assertSame(1, $visits);
            self::assertSame([$first, 2], $visit('close=1', ['PHPSESSID' => $first]));
            [$second, $visits] = $visit('close=1');
            self::assertSame(1, $visits);
            self::assertNotSame($first, $second);
            $visit('');
            self::assertSame([$first, 3], $visit('close=1', ['PHPSESSID' => $first]), 'after a session that was left open');
            self::assertSame(1, $visit('close=1', ['PHPSESSID' => '../../etc/passwd'])[1]);
            self::assertSame(1, $visit('close=1', ['PHPSESSID' => 'made-up-by-the-client'])[1]);
            self::assertSame('', $this->server->stderr());
        } finally {
            array_map('unlink', glob("$folder/*"));
            rmdir($folder);
        }
    }

    /** The question for a part of the body, and its answer. */
    private function part(string $bytes, int $stream): void
    {
        $question = $this->server->frame();
        self::assertSame([0, Frame::BODY, 1, '', ''], [$question['flags'], $question['stream'], $question['options'], $question['context'], $question['body']]);
        $this->server->write(Frame::encode($bytes, 0, Frame::BODY | $stream, [0]));
    }

    private function arriving(string $path): void
    {
        $context = json_encode(['uri' => "http://shop.local$path", 'method' => 'POST', 'protocol' => 'HTTP/1.1']);
        $this->server->write(Frame::encode($context, Frame::JSON, Frame::BODY, [strlen($context)]));
    }

    public function testBodyInParts(): void
    {
        $this->arriving('/arriving');
        $this->part('abcdef', Frame::STREAM);
        $this->server->stream(Frame::PONG);
        $this->part('gh', Frame::STREAM);
        $this->part('', 0);
        self::assertSame('[true,["abcd","efgh",""],true]', $this->server->response()['body']);
        $this->arriving('/arriving-whole');
        $this->part('abc', Frame::STREAM);
        $this->part('def', Frame::STREAM);
        $this->part('', 0);
        self::assertSame('abcdef|abcdef', $this->server->response()['body']);
        // The rest does not come: an error, no trace in the log, and the next request.
        $this->arriving('/arriving');
        $this->part('abc', Frame::STREAM);
        $this->part('', Frame::STOP);
        self::assertSame([Frame::ERROR, 'the body of the request broke off'], [($frame = $this->server->frame())['flags'], $frame['body']]);
        self::assertSame('hello', $this->get('/')['body']);
        self::assertSame('[false,["abcd","e"],true]', $this->get('/arriving', ['method' => 'POST'], 'abcde')['body']);
        self::assertSame(0, $this->server->stop());
        self::assertSame('', $this->server->stderr());
    }

    public function testAborted(): void
    {
        $this->server->request(['uri' => 'http://shop.local/aborted']);
        $this->server->stream(Frame::STOP);
        self::assertSame('nobody reads this', $this->server->response()['body']);
        $this->server->stream(Frame::STOP); // it may cross the answer
        self::assertSame('hello', $this->get('/')['body']);
    }
}
