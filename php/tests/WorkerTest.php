<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Frame;

/** RR\Worker in a process of its own. */
final class WorkerTest extends TestCase
{
    public function testAnswersInTheCodecOfThePayload(): void
    {
        $server = new Server('plain');
        foreach ([Frame::JSON, Frame::PROTO, Frame::RAW, 0] as $codec) {
            $server->job('{"a":1}', 'hello', $codec);
            self::assertSame(['flags' => $codec, 'stream' => 0, 'options' => 1, 'context' => '{"a":1}', 'body' => 'HELLO'], $server->frame());
        }
        $server->job('{}', 'codec ' . Frame::RAW, Frame::PROTO);
        self::assertSame(['flags' => Frame::RAW, 'stream' => 0, 'options' => 1, 'context' => '{}', 'body' => '128'], $server->frame());
        $server->quiet();
        self::assertSame(7, $server->stop());
    }

    public function testEmptyParts(): void
    {
        $server = new Server('plain');
        foreach ([['', 'x'], ['{}', ''], ['', '']] as [$context, $body]) {
            $server->job($context, $body);
            $frame = $server->frame();
            self::assertSame([$context, strtoupper($body)], [$frame['context'], $frame['body']]);
        }
    }

    /** However the bytes are cut into pieces, the frames are the same. */
    public function testShortReads(): void
    {
        $server = new Server('plain');
        $frame = Frame::head(Frame::JSON, 0, 9, 4) . '{  }hello';
        for ($i = 1; $i < strlen($frame); ++$i) {
            $server->write(substr($frame, 0, $i));
            usleep(300); // let the worker read what is there
            $server->write(substr($frame, $i));
            self::assertSame('HELLO', $server->frame()['body'], "cut at $i");
        }
    }

    public function testFramesThatArriveTogether(): void
    {
        $server = new Server('plain');
        $frame = Frame::head(Frame::JSON, 0, 7, 2) . '{}hello';
        $server->write(str_repeat($frame, 3) . substr($frame, 0, 14));
        for ($i = 0; $i < 3; ++$i) {
            self::assertSame('HELLO', $server->frame()['body']);
        }
        $server->write(substr($frame, 14));
        self::assertSame('HELLO', $server->frame()['body']);
    }

    /** @return array<string, array{int, int}> */
    public static function sizes(): array
    {
        $sizes = [];
        foreach ([10, 32768, 65536, 1 << 20, (1 << 22) + 3] as $body) {
            foreach ([2, 40000] as $context) {
                $sizes["context $context, body $body"] = [$context, $body];
            }
        }

        return $sizes;
    }

    /** @dataProvider sizes */
    public function testSizes(int $context, int $size): void
    {
        $server = new Server('plain');
        $context = str_pad('{', $context - 1) . '}';
        $body = 'sum ' . random_bytes($size);
        $server->job($context, $body);
        self::assertSame(md5($body) . ' ' . strlen($body) . ' ' . md5($context), $server->frame()['body']);
        $server->job($context, "big $size");
        $frame = $server->frame();
        self::assertSame($context, $frame['context']);
        self::assertSame(md5(str_repeat('0123456789abcdef', intdiv($size, 16))), md5($frame['body']));
        $server->job('{}', 'after');
        self::assertSame('AFTER', $server->frame()['body']);
    }

    /** @return array<string, array{list<string>}> */
    public static function options(): array
    {
        return [
            'with FFI' => [[]],
            'without FFI' => [['-d', 'ffi.enable=0', '-n']],
        ];
    }

    /**
     * @dataProvider options
     *
     * @param list<string> $options
     */
    public function testNothingPrintedReachesTheChannel(array $options): void
    {
        $server = new Server('plain', [], $options);
        $server->job('{}', 'print');
        self::assertSame('printed', $server->frame()['body']);
        $server->job('{}', 'hello');
        self::assertSame('HELLO', $server->frame()['body']);
        $server->quiet();
        self::assertSame(7, $server->stop());
        $log = $server->stderr();
        foreach (['echo after the constructor', 'echoed text', '["dumped"]', 'printed', 'php://stdout text', 'php://output text', 'text of a child', 'passed', 'without a buffer', 'a warning'] as $text) {
            self::assertStringContainsString($text, $log);
        }
        self::assertSame(1, substr_count($log, 'a warning'));
    }

    /** The constant STDOUT stays usable where FFI is, and is closed where not. */
    public function testStdout(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'STDOUT');
        self::assertSame('written', $server->frame()['body']);
        self::assertStringContainsString('to STDOUT', $server->stderr());

        $server = new Server('plain', [], ['-n']);
        $server->job('{}', 'STDOUT');
        self::assertSame('closed', $server->frame()['body']);
    }

    /**
     * @dataProvider options
     *
     * @param list<string> $options
     */
    public function testChildrenDoNotReadTheChannel(array $options): void
    {
        $server = new Server('plain', [], $options);
        $server->job('{}', 'stdin');
        self::assertSame('', $server->frame()['body']);
    }

    public function testHeadersAreNotSentByEcho(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'header');
        self::assertSame('[false,null]', $server->frame()['body']);
        $server->job('{}', 'unbuffer');
        $server->frame();
        $server->job('{}', 'level');
        self::assertSame('1', $server->frame()['body'], 'a buffer that was removed comes back');
    }

    /** @return array<string, array{string, string, int}> */
    public static function deaths(): array
    {
        return [
            'out of memory' => ['memory', 'Allowed memory size', 255],
            'uncaught' => ['undefined', 'undefined_function', 255],
            'exit' => ['exit 3', 'the application called exit()', 3],
        ];
    }

    /** @dataProvider deaths */
    public function testDeathInThePayload(string $command, string $text, int $code): void
    {
        foreach ([[], ['-d', 'display_errors=1', '-d', 'log_errors=0']] as $options) {
            $server = new Server('plain', [], $options);
            $server->job('{}', $command);
            self::assertTrue($server->closed(), 'nothing must be sent');
            self::assertSame($code, $server->wait());
            self::assertStringContainsString('the worker ends in the middle of a request', $server->stderr());
            // PHP's own message, and ours with its place.
            self::assertSame($code === 255 ? 2 : 1, substr_count($server->stderr(), $text), $server->stderr());
            self::assertSame($code === 255 ? 1 : 0, preg_match('#in the middle of a request: fatal error: .*\(.*/plain.php:\d+\)\n#', $server->stderr()), $server->stderr());
        }
    }

    public function testError(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'error it went wrong');
        self::assertSame(['flags' => Frame::ERROR, 'stream' => 0, 'options' => 0, 'context' => '', 'body' => 'it went wrong'], $server->frame());
        $server->job('{}', 'hello');
        self::assertSame('HELLO', $server->frame()['body']);
    }

    public function testStopByTheWorker(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'stop', Frame::PROTO);
        $frame = $server->frame();
        self::assertSame(['{"stop":true}', ''], [$frame['context'], $frame['body']]);
    }

    public function testStopByTheServer(): void
    {
        self::assertSame(7, (new Server('plain'))->stop());
        self::assertSame(7, (new Server('plain'))->leave(), 'a server that is gone is a stop, too');
    }

    public function testServerDiesInTheMiddleOfAFrame(): void
    {
        $server = new Server('plain');
        $server->write(substr(Frame::head(Frame::JSON, 0, 100, 2), 0, 10));
        self::assertSame(255, $server->leave());
        self::assertStringContainsString('closed the channel after 10 bytes', $server->stderr());

        $server = new Server('plain');
        $server->write(Frame::head(Frame::JSON, 0, 100, 2) . '{}');
        self::assertSame(255, $server->leave());
        self::assertStringContainsString('98 bytes are missing', $server->stderr());
    }

    /** @return array<string, array{string, string}> */
    public static function nonsense(): array
    {
        return [
            'text' => ["hello, this is no frame\n", 'not a goridge frame'],
            'context beyond the payload' => [Frame::head(Frame::JSON, 0, 2, 3) . '{}', 'context of 3 bytes in a payload of 2 bytes'],
            'unknown control' => [Frame::encode('{"dance":true}', Frame::CONTROL), 'unknown control frame'],
            'error frame' => [Frame::encode('no', Frame::ERROR), 'the server sent an error: no'],
        ];
    }

    /** @dataProvider nonsense */
    public function testNonsenseFromTheServer(string $bytes, string $text): void
    {
        $server = new Server('plain');
        $server->write($bytes);
        self::assertSame(255, $server->wait());
        self::assertStringContainsString($text, $server->stderr());
    }

    public function testStream(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'stream 3');
        for ($i = 0; $i < 3; ++$i) {
            $frame = $server->frame();
            self::assertSame([Frame::STREAM, "part $i", Frame::JSON, 1], [$frame['stream'], $frame['body'], $frame['flags'], $frame['options']]);
        }
        $frame = $server->frame();
        self::assertSame([0, 'last 3'], [$frame['stream'], $frame['body']]);
    }

    public function testStreamIsStopped(): void
    {
        $server = new Server('plain');
        for ($round = 0; $round < 3; ++$round) {
            $server->job('{}', 'endless');
            $server->frame();
            $server->stream(Frame::PONG); // means nothing here
            $server->stream(Frame::STOP);
            while (($frame = $server->frame())['stream'] !== 0);
            self::assertSame('', $frame['body']);
        }
        $server->quiet();
    }

    /** A STOP or PONG that comes after the end of the stream is not for the next payload. */
    public function testLateStop(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'hello');
        self::assertSame('HELLO', $server->frame()['body']);
        $server->stream(Frame::STOP);
        $server->stream(Frame::PONG);
        $server->job('{}', 'stream 2');
        self::assertSame('part 0', $server->frame()['body']);
        self::assertSame('part 1', $server->frame()['body']);
        self::assertSame('last 2', $server->frame()['body']);
    }

    /** Streams without an end must not hold up the end of the worker. */
    public function testStopFrameEndsAStream(): void
    {
        $server = new Server('plain');
        $server->job('{}', 'endless');
        $server->frame();
        $server->write(Frame::encode('{"stop":true}', Frame::CONTROL | Frame::JSON));
        while (($frame = $server->frame())['stream'] !== 0);
        self::assertTrue($server->closed());
        self::assertSame(7, $server->wait());
    }

    /** @return array<string, array{string}> */
    public static function relays(): array
    {
        return ['tcp' => ['tcp://127.0.0.1:0'], 'unix' => ['unix://' . sys_get_temp_dir() . '/rr-test-' . getmypid() . '.sock']];
    }

    /** @dataProvider relays */
    public function testSocketRelay(string $address): void
    {
        $listener = stream_socket_server($address);
        $name = stream_socket_get_name($listener, false);
        $server = new Server('plain', ['RR_RELAY' => strtok($address, ':') . "://$name"], [], $listener);
        $body = 'sum ' . random_bytes(1 << 20);
        $server->job('{}', $body);
        self::assertSame(md5($body), strtok($server->frame()['body'], ' '));
        $server->job('{}', 'endless');
        $server->frame();
        $server->stream(Frame::STOP);
        while ($server->frame()['stream'] !== 0);
        $server->job('{}', 'print');
        self::assertSame('printed', $server->frame()['body']);
        self::assertSame(7, $server->stop());
        fclose($listener);
        @unlink($name);
    }

    public function testWrongRelay(): void
    {
        $server = new Server('plain', ['RR_RELAY' => 'carrier pigeon'], [], null, false);
        self::assertSame(255, $server->wait());
        self::assertStringContainsString('cannot connect to "carrier pigeon": want tcp://host:port or unix://path', $server->stderr());
        $server = new Server('plain', ['RR_RELAY' => 'unix:///nowhere/at/all'], [], null, false);
        self::assertSame(255, $server->wait());
        self::assertStringContainsString('cannot connect to unix:///nowhere/at/all: No such file', $server->stderr());
    }
}
