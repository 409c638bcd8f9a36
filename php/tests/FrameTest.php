<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Frame;
use RR\ProtocolException;

final class FrameTest extends TestCase
{
    /**
     * Frames as RoadRunner and its PHP packages write them.
     *
     * @return array<string, array{string, string, int, int, list<int>}>
     */
    public static function vectors(): array
    {
        return [
            'pid request' => ['13090c0000005f0c46730000' . bin2hex('{"pid":1234}'), '{"pid":1234}', 0x09, 0, []],
            'pid answer' => ['13010c0000009e4736430000' . bin2hex('{"pid":5678}'), '{"pid":5678}', 0x01, 0, []],
            'worker stop' => ['13090d0000003a6bfacb0000' . bin2hex('{"stop":true}'), '{"stop":true}', 0x09, 0, []],
            'job' => ['140407000000577fd241000002000000' . bin2hex('{}hello'), '{}hello', Frame::RAW, 0, [2]],
            'stream and ping' => ['14000700000097d952b4050002000000' . bin2hex('{}hello'), '{}hello', 0, Frame::STREAM | Frame::PING, [2]],
            'stream stop' => ['13000000000096d180340200', '', 0, Frame::STOP, []],
            'pong' => ['13000000000096d180340800', '', 0, Frame::PONG, []],
            'error' => ['134004000000881e11e30000' . bin2hex('boom'), 'boom', Frame::ERROR, 0, []],
            'rpc request' => ['150811000000b0490c3a0000010000000d000000' . bin2hex('informer.Listtrue'), 'informer.Listtrue', Frame::JSON, 0, [1, 13]],
            'rpc answer' => ['150815000000e7de6eb50000010000000d000000' . bin2hex('informer.List["http"]'), 'informer.List["http"]', Frame::JSON, 0, [1, 13]],
            'rpc error' => ['1548240000006a190aa500000200000006000000' . bin2hex("nope.Xrpc: can't find service nope.X"), "nope.Xrpc: can't find service nope.X", Frame::JSON | Frame::ERROR, 0, [2, 6]],
        ];
    }

    /**
     * @dataProvider vectors
     *
     * @param list<int> $options
     */
    public function testVector(string $hex, string $payload, int $flags, int $stream, array $options): void
    {
        $bytes = hex2bin($hex);
        self::assertSame($hex, bin2hex(Frame::encode($payload, $flags, $stream, $options)));
        if (count($options) === 1) {
            self::assertSame(substr($hex, 0, 32), bin2hex(Frame::head($flags, $stream, strlen($payload), $options[0])));
        }
        $head = Frame::parse($bytes);
        self::assertSame(['head' => 12 + 4 * count($options), 'flags' => $flags, 'length' => strlen($payload), 'stream' => $stream], $head);
        self::assertSame($options, Frame::options($bytes, $head['head']));
    }

    /** @return array<string, array{string}> */
    public static function broken(): array
    {
        $frame = Frame::encode('x');

        return [
            'text' => ["PHP Warning:  something\n"],
            'version 2' => [chr(0x23) . substr($frame, 1)],
            'too long a header' => [hex2bin('1e0000000000') . pack('VV', crc32(hex2bin('1e0000000000')), 0)],
            'wrong length' => [substr_replace($frame, "\x02", 2, 1)],
            'wrong sum' => [substr_replace($frame, "\xFF", 6, 1)],
        ];
    }

    /** @dataProvider broken */
    public function testBroken(string $bytes): void
    {
        $this->expectException(ProtocolException::class);
        $this->expectExceptionMessage('not a goridge frame: "');
        Frame::parse($bytes);
    }

    public function testLengthsBelowThreeWordsAreThree(): void
    {
        $start = hex2bin('110000000000');
        self::assertSame(12, Frame::parse($start . pack('VV', crc32($start), 0))['head']);
    }
}
