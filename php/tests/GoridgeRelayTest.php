<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Frame;

/** The relay for the official packages. */
final class GoridgeRelayTest extends TestCase
{
    public function testSharedMemory(): void
    {
        $server = new SharedServer('goridge');
        self::assertSame(['shm'], $server->accepts);
        foreach ([1, 5000, 9000, 65512, 65513, 300000] as $size) {
            $body = random_bytes($size);
            foreach (['{"a":1}', ''] as $context) {
                $server->parts = 0;
                $server->share($context, $body);
                $frame = $server->frame();
                self::assertSame([0, 0, $context], [$frame['flags'], $frame['stream'], $frame['context']]);
                self::assertTrue($frame['body'] === strtoupper($body));
                self::assertSame($size < 8192, $server->parts === 0);
                $server->job($context, 'through the pipe');
                self::assertSame('THROUGH THE PIPE', $server->frame()['body']);
            }
        }
        $server->job('{}', 'error boom');
        self::assertSame([Frame::ERROR, 'boom'], array_values(array_intersect_key($server->frame(), ['flags' => 0, 'body' => 0])));
        self::assertSame(0, $server->stop());
        self::assertSame("text before the relay\n", $server->stdout());
        self::assertStringContainsString('end: {"stop":true}', $server->stderr());
    }

    /** Another server, or an older worker: the handshake is theirs. */
    public function testOtherServers(): void
    {
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        $server = new Server('goridge', ['RR_RELAY' => 'tcp://' . stream_socket_get_name($listener, false)], [], $listener);
        self::assertSame([], $server->accepts);
        $server->job('{}', 'hello');
        self::assertSame('HELLO', $server->frame()['body']);
        self::assertSame(0, $server->stop());
    }

    /** @dataProvider sizes */
    public function testStreamThatNobodyWants(int $size): void
    {
        $server = new SharedServer('goridge', 65536, ['STREAMS' => '1']);
        $server->job('{"head":1}', "stream $size");
        self::assertSame('{"head":1}', $server->frame()['context']);
        $server->stream(Frame::STOP);
        while (($frame = $server->frame())['stream'] !== 0) {
            self::assertSame($size, strlen($frame['body']));
        }
        $server->stream(Frame::STOP);
        $server->job('{}', 'after');
        self::assertSame('AFTER', $server->frame()['body']);
        self::assertSame(0, $server->leave());
        foreach (['got 2', 'late STOP', 'end: {"stop":true}'] as $text) {
            self::assertStringContainsString($text, $server->stderr());
        }
    }

    /** @return list<array{int}> */
    public static function sizes(): array
    {
        return [[10], [20000]];
    }

    /** A worker package that has no streams must not take STOP or PONG for a payload. */
    public function testStopForAnOldWorker(): void
    {
        $server = new SharedServer('goridge');
        $server->stream(Frame::STOP);
        $server->stream(Frame::PONG);
        $server->job('{}', 'after');
        self::assertSame('AFTER', $server->frame()['body']);
        self::assertSame(0, $server->stop());
        self::assertStringNotContainsString('late STOP', $server->stderr());
    }
}
