<?php

declare(strict_types=1);

namespace RR\Tests;

use GuzzleHttp\Psr7\HttpFactory;
use Nyholm\Psr7\Factory\Psr17Factory;
use PHPUnit\Framework\TestCase;
use RR\Frame;
use RR\Http\Psr7Factory;
use RR\Tests\Psr7\AnyFactory;
use RR\Tests\Psr7\Subject;

final class Psr7WorkerTest extends TestCase
{
    /** @return array<string, array{class-string}> */
    public static function factories(): array
    {
        return ['nyholm' => [Psr17Factory::class], 'guzzle' => [HttpFactory::class], 'any' => [AnyFactory::class]];
    }

    /**
     * @dataProvider factories
     *
     * @param class-string $factory
     */
    public function testRequest(string $factory): void
    {
        $request = Subject::build($factory, [
            'method' => 'PUT',
            'uri' => 'https://shop.local:8443/a/b?c=1&d[]=2',
            'rawQuery' => 'c=1&d[]=2',
            'headers' => ['X-Many' => ['a', 'b'], 'Content-Type' => ['text/plain'], '7' => ['seven']],
            'cookies' => ['sid' => 'x'],
            'protocol' => 'HTTP/2.0',
            'attributes' => ['user' => ['jane']],
        ], 'the body');
        self::assertSame('PUT', $request->getMethod());
        self::assertSame('https://shop.local:8443/a/b', strtok((string) $request->getUri(), '?'));
        self::assertSame(['c' => '1', 'd' => ['2']], $request->getQueryParams());
        self::assertSame(['Host' => ['shop.local:8443'], 'X-Many' => ['a', 'b'], 'Content-Type' => ['text/plain'], 7 => ['seven']], $request->getHeaders());
        self::assertSame(['sid' => 'x'], $request->getCookieParams());
        self::assertSame('2', $request->getProtocolVersion());
        self::assertSame(['user' => 'jane'], $request->getAttributes());
        self::assertSame('the body', $request->getBody()->getContents(), 'the body stands at its start');
        self::assertNull($request->getParsedBody());
        self::assertSame([], $request->getUploadedFiles());
        $server = $request->getServerParams();
        self::assertSame(['10.0.0.7', 'PUT', '/a/b?c=1&d[]=2', 'on'], [$server['REMOTE_ADDR'], $server['REQUEST_METHOD'], $server['REQUEST_URI'], $server['HTTPS']]);
    }

    /**
     * @dataProvider factories
     *
     * @param class-string $factory
     */
    public function testForm(string $factory): void
    {
        foreach (['{"a":{"b":"1"}}' => ['a' => ['b' => '1']], '' => []] as $body => $form) {
            $request = Subject::build($factory, ['method' => 'POST', 'parsed' => true], $body);
            self::assertSame($form, $request->getParsedBody());
            self::assertSame('', (string) $request->getBody());
        }
    }

    /**
     * @dataProvider factories
     *
     * @param class-string $factory
     */
    public function testUploads(string $factory): void
    {
        $path = tempnam(sys_get_temp_dir(), 'rr');
        file_put_contents($path, 'content');
        $file = ['name' => 'a.txt', 'mime' => 'text/plain', 'size' => 7, 'error' => 0, 'tmpName' => $path];
        $uploads = Subject::build($factory, ['parsed' => true, 'uploads' => [
            'one' => $file,
            'tree' => ['x' => [$file]],
            'refused' => ['name' => 'b.exe', 'mime' => '', 'size' => 0, 'error' => 8, 'tmpName' => ''],
            'gone' => ['tmpName' => '/nowhere'] + $file,
        ]])->getUploadedFiles();
        self::assertSame(['a.txt', 'text/plain', 7, 0, 'content'], [
            $uploads['one']->getClientFilename(), $uploads['one']->getClientMediaType(), $uploads['one']->getSize(), $uploads['one']->getError(), (string) $uploads['one']->getStream(),
        ]);
        self::assertSame('content', (string) $uploads['tree']['x'][0]->getStream());
        self::assertSame(UPLOAD_ERR_EXTENSION, $uploads['refused']->getError());
        try {
            $uploads['gone']->getStream();
            self::fail();
        } catch (\RuntimeException) {
        }
        $uploads['one']->moveTo("$path.moved");
        self::assertSame('content', file_get_contents("$path.moved"));
        array_map('unlink', glob("$path*"));
    }

    /**
     * HTTP/1.0 without Host.
     *
     * @dataProvider factories
     *
     * @param class-string $factory
     */
    public function testNoHost(string $factory): void
    {
        $request = Subject::build($factory, ['uri' => 'http:///a?b=1', 'rawQuery' => 'b=1', 'protocol' => 'HTTP/1.0']);
        self::assertSame(['/a?b=1', '1.0', false], [(string) $request->getUri(), $request->getProtocolVersion(), $request->hasHeader('Host')]);
    }

    /** A factory for requests alone is completed by what is installed. */
    public function testFactories(): void
    {
        self::assertSame('Nyholm\Psr7\ServerRequest', (new Psr7Factory())->request(new \RR\Http\Request('{"uri":"http://h/"}', 'x'))::class);
        $factory = $this->createMock(\Psr\Http\Message\ServerRequestFactoryInterface::class);
        $factory->method('createServerRequest')->willReturnCallback(static fn ($method, $uri, $server) => new \GuzzleHttp\Psr7\ServerRequest($method, $uri, [], null, '1.1', $server));
        $request = (new Psr7Factory($factory))->request(new \RR\Http\Request('{"uri":"http://h/"}', 'x'));
        self::assertSame(['GuzzleHttp\Psr7\ServerRequest', 'x'], [$request::class, (string) $request->getBody()]);
        self::assertInstanceOf(\Nyholm\Psr7\Stream::class, $request->getBody());
    }

    /** @return array<string, array{string, string, array<string, string>}> */
    public static function workers(): array
    {
        return [
            'nyholm' => ['Nyholm/Psr7', 'Nyholm\Psr7\ServerRequest', []],
            'guzzle' => ['GuzzleHttp/Psr7', 'GuzzleHttp\Psr7\ServerRequest', []],
            'PSR-15' => ['Nyholm/Psr7', 'Nyholm\Psr7\ServerRequest', ['PSR15' => '1']],
        ];
    }

    /**
     * @dataProvider workers
     *
     * @param array<string, string> $env
     */
    public function testWorker(string $implementation, string $class, array $env): void
    {
        $server = new Server('psr7', $env + ['PSR7' => $implementation]);
        $get = static function (string $path, array $context = [], string $body = '') use ($server): array {
            $server->request($context + ['uri' => "http://shop.local$path"], $body);

            return $server->response();
        };
        self::assertSame(['status' => 200, 'headers' => [], 'body' => $class, 'stream' => 0], $get('/class'));
        self::assertSame(['status' => 404, 'headers' => ['Set-Cookie' => ['a=1', 'b=2']], 'body' => '', 'stream' => 0], $get('/cookies'));
        self::assertSame('the body', $get('/echo', [], 'the body')['body']);
        self::assertSame('{"a":"1"}', $get('/form', ['parsed' => true], '{"a":"1"}')['body']);
        self::assertSame((string) file_get_contents(__FILE__), $get('/upload', ['uploads' => ['f' => ['name' => 'a', 'mime' => '', 'size' => filesize(__FILE__), 'error' => 0, 'tmpName' => __FILE__]]])['body']);

        $large = '';
        $part = $get('/large');
        self::assertSame([200, ['X-Large' => ['yes']], Frame::STREAM], [$part['status'], $part['headers'], $part['stream']]);
        for (; $part['stream'] !== 0; $part = $server->response()) {
            self::assertLessThanOrEqual(65536, strlen($part['body']));
            $large .= $part['body'];
        }
        self::assertTrue($large === str_repeat('0123456789abcdef', 1 << 17));

        self::assertSame(['piped', Frame::STREAM], [($part = $get('/pipe'))['body'], $part['stream']]);
        self::assertSame(['', 0], [($part = $server->response())['body'], $part['stream']]);

        self::assertSame('', $server->stderr());
        self::assertSame([500, "Internal Server Error\n"], [($part = $get('/throw'))['status'], $part['body']]);
        self::assertStringContainsString('DomainException: secret reason', $server->stderr());
        self::assertSame([400, "Bad Request\n"], [($part = $get('', ['uri' => 'http://h:port/']))['status'], $part['body']]);
        self::assertStringContainsString('bad request GET http://h:port/: ', $server->stderr());
        self::assertSame($class, $get('/class')['body']);
        self::assertSame(0, $server->stop());
    }

    /** Behind the real server: nothing of a request is left, large uploads, files, and clients that leave. */
    public function testBehindTheServer(): void
    {
        $daemon = new Daemon('psr7', ['PSR7' => 'Nyholm/Psr7'], 'middleware: [sendfile]');
        $who = static fn (string $method, string $path, array $headers = [], string $body = ''): array => json_decode($daemon->request($method, $path, $headers, $body)['body'], true);
        self::assertSame([['sid' => 'jane'], ['a' => '1'], ['b' => '2'], [], 'jane'], $who('POST', '/who?a=1', ['Cookie: sid=jane', 'X-User: jane', 'Content-Type: application/x-www-form-urlencoded'], 'b=2'));
        self::assertSame([[], [], null, [], null], $who('GET', '/who'));

        $content = random_bytes(20 << 20);
        self::assertSame(sha1($content), $daemon->request('POST', '/move', ...Daemon::upload('doc', 'big.bin', $content))['body']);

        file_put_contents("$daemon->dir/file.bin", '0123456789');
        $part = $daemon->get('/file', ['Range: bytes=2-4']);
        self::assertSame([206, '234'], [$part['status'], $part['body']]);

        self::assertSame(500, $daemon->get('/throw')['status']);
        $socket = $daemon->open('GET', '/endless');
        self::assertStringContainsString('200 OK', (string) fread($socket, 8192));
        fclose($socket);
        self::assertSame('Nyholm\Psr7\ServerRequest', $daemon->get('/class')['body']);
    }
}
