<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Frame;

/** RR\Worker with shared memory and a control pipe, in a process of its own. */
final class SharedMemoryTest extends TestCase
{
    /** Bytes that a half of 64 KiB holds. */
    private const ROOM = 65536 - 24;

    /** @return array<string, array{list<string>}> */
    public static function ways(): array
    {
        return ['mapped' => [[]], 'as a file' => [['-d', 'ffi.enable=0']], 'without the extension FFI' => [['-n']]];
    }

    /**
     * @dataProvider ways
     *
     * @param list<string> $options
     */
    public function testSizes(array $options): void
    {
        $server = new SharedServer('plain', 65536, [], $options);
        self::assertSame(['stop', 'body', 'shm'], $server->accepts);
        $threshold = $options === [] ? 8192 : 32768;
        $sizes = [1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 32767, 32768, self::ROOM - 1, self::ROOM, self::ROOM + 1, 65536, 2 * self::ROOM, 2 * self::ROOM + 1, 300000];
        foreach ($sizes as $size) {
            $body = random_bytes($size);
            foreach (['{"some":"context"}', '', str_repeat('x', 100000)] as $context) {
                $server->parts = 0;
                $server->share($context, $body, Frame::PROTO);
                $frame = $server->frame();
                self::assertSame([Frame::PROTO, 0, $context, $size], [$frame['flags'], $frame['stream'], $frame['context'], strlen($frame['body'])]);
                self::assertTrue($frame['body'] === strtoupper($body), "body of $size bytes");
                self::assertSame($size < $threshold ? 0 : (int) ceil($size / self::ROOM), $server->parts, "body of $size bytes");
                // Nothing of the body is left anywhere.
                $server->job('{}', 'after');
                self::assertSame('AFTER', $server->frame()['body']);
            }
        }
        $server->quiet();
        self::assertSame(7, $server->stop());
        self::assertSame('', $server->stdout());
    }

    public function testLargeBodies(): void
    {
        $body = 'sum ' . random_bytes(20 << 20);
        foreach ([[], ['-d', 'ffi.enable=0']] as $options) {
            $server = new SharedServer('plain', 1 << 20, ['USE_ZEND_ALLOC_HUGE_PAGES' => '1'], $options);
            $server->share('{}', $body);
            self::assertSame(md5($body) . ' ' . strlen($body) . ' ' . md5('{}'), $server->frame()['body']);
            self::assertSame(20, $server->questions);
            $server->job('{}', 'big ' . (20 << 20));
            self::assertTrue($server->frame()['body'] === str_repeat('0123456789abcdef', (20 << 20) / 16));
            self::assertSame(21, $server->parts);
        }
    }

    /**
     * @dataProvider ways
     *
     * @param list<string> $options
     */
    public function testStreams(array $options): void
    {
        $server = new SharedServer('plain', 65536, [], $options);
        $sizes = [1, 9000, 9000, 1, 200000, 65512, 65513, 8191, 8192];
        $server->job('{"head":1}', 'chunks ' . implode(',', $sizes));
        foreach ($sizes as $i => $size) {
            $frame = $server->frame();
            self::assertSame([Frame::STREAM, $i === 0 ? '{"head":1}' : ''], [$frame['stream'], $frame['context']]);
            self::assertTrue($frame['body'] === str_repeat(chr(65 + $i), $size), "chunk of $size bytes");
        }
        $last = $server->frame();
        self::assertSame([0, ''], [$last['stream'], $last['body']]);
    }

    /** STOP and a stop order come while a part of a body is awaited, or the half to be free. */
    public function testFramesInBetween(): void
    {
        $server = new SharedServer('plain', 65536);
        $server->between = Frame::encode('', 0, Frame::STOP);
        $server->share('{}', str_repeat('x', 200000));
        self::assertTrue($server->frame()['body'] === str_repeat('X', 200000));
        $server->job('{}', 'chunks 9000,9000,9000');
        foreach ([9000, 9000, 9000, 0] as $size) {
            self::assertSame($size, strlen($server->frame()['body']));
        }
        $server->between = Frame::encode('{"stop":true}', Frame::CONTROL | Frame::JSON);
        $server->job('{}', 'big 200000');
        self::assertSame(200000, strlen($server->frame()['body']));
        self::assertSame(7, $server->wait());
    }

    public function testStoppedStream(): void
    {
        $server = new SharedServer('plain', 65536);
        $server->job('{}', 'endless ' . str_repeat('x', 20000));
        $server->frame();
        $server->stream(Frame::STOP);
        while ($server->frame()['stream'] !== 0);
        $server->job('{}', 'after');
        self::assertSame('AFTER', $server->frame()['body']);
    }

    public function testBodyThatBreaksOff(): void
    {
        $server = new SharedServer('plain', 65536);
        $server->break = true;
        $server->share('{}', str_repeat('x', 100000));
        $frame = $server->frame();
        self::assertSame([Frame::ERROR, "the rest of the request's body will not come"], [$frame['flags'], $frame['body']]);
        $server->job('{}', 'after');
        self::assertSame('AFTER', $server->frame()['body']);
    }

    public function testArrivingBody(): void
    {
        $server = new SharedServer('plain', 65536);
        foreach ([true, false] as $shared) {
            $server->write(Frame::encode('{}', Frame::JSON, Frame::BODY, [2]));
            foreach (['one ', str_repeat('x', 65000), ' two', ''] as $part) {
                $server->arrive($part, $shared);
            }
            self::assertTrue($server->frame()['body'] === 'ONE ' . str_repeat('X', 65000) . ' TWO');
        }
    }

    /**
     * @dataProvider ways
     *
     * @param list<string> $options
     */
    public function testOutputIsHarmless(array $options): void
    {
        // Bytes that begin as a frame does are output too.
        $early = "text before the worker\n" . Frame::encode('{"pid":1}', Frame::CONTROL);
        $server = new SharedServer('plain', 65536, ['EARLY' => strtr($early, ["\0" => 'n'])], $options);
        $server->job('{}', 'print');
        self::assertSame('printed', $server->frame()['body']);
        $server->job('{}', 'STDOUT');
        self::assertSame('written', $server->frame()['body']);
        $server->job('{}', 'stdin');
        self::assertSame('', $server->frame()['body']);
        $server->quiet();
        self::assertSame(7, $server->stop());
        $out = $server->stdout();
        foreach (['text before the worker', 'php://stdout text', 'to STDOUT'] as $text) {
            self::assertStringContainsString($text, $out);
        }
        $log = $server->stderr();
        foreach (['echo after the constructor', 'echoed text', 'php://output text', 'text of a child', 'a warning'] as $text) {
            self::assertStringContainsString($text, $log);
        }
        self::assertSame(1, substr_count($log . $out, 'a warning'));
    }

    public function testDeathInTheAnswer(): void
    {
        $server = new SharedServer('plain', 65536);
        $server->job('{}', 'half');
        self::assertSame(20000, strlen($server->frame()['body']));
        self::assertTrue($server->closed());
        self::assertSame(0, $server->wait());
        self::assertStringContainsString('in the middle of a request: the application called exit()', $server->stderr());
    }

    /** A child sees neither the channel nor the memory, and is not told of them. */
    public function testChildren(): void
    {
        $server = new SharedServer('plain');
        $server->job('{}', 'environment');
        self::assertSame('[false,null,""]', $server->frame()['body']);
        $server->job('{}', 'descriptors');
        $descriptors = $server->frame()['body'];
        self::assertStringContainsString('/dev/null', $descriptors);
        foreach ($server->channel() as $name) {
            self::assertStringNotContainsString($name, $descriptors);
        }
    }

    /** @return array<string, array{string|null, list<string>, int|null}> */
    public static function announcements(): array
    {
        return [
            'everything' => [null, ['stop', 'body', 'shm'], null],
            'ipc.shm: off' => ['v=1,ctl=3', ['stop', 'body'], null],
            'no size' => ['v=1,ctl=3,shm=4', ['stop', 'body'], null],
            'another size' => ['v=1,ctl=3,shm=4,half=65537', ['stop', 'body'], null],
            'a size too small' => ['v=1,ctl=3,shm=4,half=24', ['stop', 'body'], 4096 + 48],
            'not open' => ['v=1,ctl=3,shm=77,half=65536', ['stop', 'body'], null],
            'no memory' => ['v=1,ctl=3,shm=0,half=65536', ['stop', 'body'], null],
        ];
    }

    /**
     * @dataProvider announcements
     *
     * @param list<string> $accepts
     */
    public function testAnnouncements(?string $announce, array $accepts, ?int $size): void
    {
        foreach ([[], ['-n']] as $options) {
            $server = new SharedServer('plain', 65536, [], $options, $announce, $size);
            self::assertSame($accepts, $server->accepts);
            $server->job('{}', 'big 200000');
            self::assertSame(200000, strlen($server->frame()['body']));
            self::assertSame(in_array('shm', $accepts, true), $server->parts > 0);
        }
    }

    /** The worker answers on stdout, as one that has never heard of more. */
    public function testNoControlPipe(): void
    {
        foreach (['v=2,ctl=3', 'ctl=3', 'v=1', 'v=1,ctl=77', 'v=1,ctl=x', 'v=1,ctl=2', 'nonsense'] as $announce) {
            foreach ([[], ['-n']] as $options) {
                $server = new Server('plain', ['RR_IPC' => $announce], $options);
                self::assertSame(['stop', 'body'], $server->accepts);
                $server->job('{}', 'hello');
                self::assertSame('HELLO', $server->frame()['body']);
            }
        }
    }

    /** @return array<string, array{string, string}> */
    public static function nonsense(): array
    {
        return [
            'more than a half' => [Frame::shared('{}', 0, Frame::SHM, 65513, 0), 'a part of 65513 bytes in shared memory'],
            'one option' => [Frame::encode('{}', 0, Frame::SHM, [2]), '1 options'],
            'a body beside' => [Frame::encode('{}body', 0, Frame::SHM, [2, 1, 0]), 'a payload of 6 bytes'],
            'a part too long' => [Frame::shared('{}', 0, Frame::SHM, 5, 5) . Frame::shared('', 0, Frame::BODY | Frame::SHM, 6, 0), 'does not fit: 5 bytes are missing'],
            'a part too short' => [Frame::shared('{}', 0, Frame::SHM, 5, 5) . Frame::shared('', 0, Frame::BODY | Frame::SHM, 4, 0), 'does not fit: 5 bytes are missing'],
            'an empty part' => [Frame::shared('{}', 0, Frame::SHM, 5, 5) . Frame::shared('', 0, Frame::BODY | Frame::SHM, 0, 5), 'does not fit: 5 bytes are missing'],
            'a part in the pipe' => [Frame::shared('{}', 0, Frame::SHM, 5, 5) . Frame::encode('12345', 0, Frame::BODY, [0]), 'does not fit: 5 bytes are missing'],
        ];
    }

    /** @dataProvider nonsense */
    public function testNonsenseFromTheServer(string $bytes, string $text): void
    {
        $server = new SharedServer('plain');
        $server->write($bytes);
        self::assertSame(255, $server->wait());
        self::assertStringContainsString($text, $server->stderr());
    }

    /** To a worker that has not accepted shared memory. */
    public function testUnacceptedMemory(): void
    {
        $server = new SharedServer('plain', 65536, [], [], 'v=1,ctl=3');
        $server->write(Frame::shared('{}', 0, Frame::SHM, 5, 0));
        self::assertSame(255, $server->wait());
        self::assertStringContainsString('which this worker has not accepted', $server->stderr());
    }

    public function testServerLeaves(): void
    {
        foreach ([Frame::shared('{}', 0, Frame::SHM, 5, 5) => 255, '' => 7] as $bytes => $code) {
            $server = new SharedServer('plain');
            $server->write($bytes);
            self::assertSame($code, $server->leave());
        }
    }
}
