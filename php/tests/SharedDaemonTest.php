<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;

/** Shared memory with the real server. */
final class SharedDaemonTest extends TestCase
{
    /** Bytes that a half of 64 KiB holds. */
    private const ROOM = 65536 - 24;

    private const SMALL = ['ipc' => ['half' => '64K']];

    /** @return array<string, array{string, array<string, string>, string, array<string, mixed>}> */
    public static function ways(): array
    {
        return [
            'mapped' => ['shared', [], '', self::SMALL],
            'as a file' => ['shared', [], '-d ffi.enable=0', self::SMALL],
            'off' => ['shared', [], '', ['ipc' => ['shm' => 'off']]],
            'the relay for other packages' => ['goridge', ['HTTP' => '1'], '', self::SMALL],
        ];
    }

    /**
     * @dataProvider ways
     *
     * @param array<string, string> $env
     * @param array<string, mixed> $config
     */
    public function testBodies(string $worker, array $env, string $options, array $config): void
    {
        $daemon = new Daemon($worker, $env, 'max_request_size: 64', $options, $config);
        foreach ([1, 4095, 4096, 4097, 8191, 8192, 8193, self::ROOM, self::ROOM + 1, 2 * self::ROOM, 2 * self::ROOM + 1, 5000000] as $size) {
            // The relay's worker answers in capitals.
            $body = strtoupper(random_bytes($size));
            $response = $daemon->request('POST', '/echo', ['Content-Type: application/octet-stream'], $body);
            self::assertSame(200, $response['status']);
            self::assertTrue($response['body'] === $body, "a body of $size bytes");
        }
        // Not one of these exchanges has cost a worker.
        self::assertStringNotContainsString('worker stopped', $daemon->log());
    }

    /** With the halves that the server makes by itself. */
    public function testLargeBody(): void
    {
        $body = random_bytes(20 << 20);
        foreach (['', '-d ffi.enable=0'] as $options) {
            $daemon = new Daemon('shared', [], 'max_request_size: 64', $options);
            $response = $daemon->request('POST', '/echo', ['Content-Type: application/octet-stream'], $body);
            self::assertTrue($response['body'] === $body);
        }
    }

    /** @return array<string, array{string, array<string, mixed>}> */
    public static function ours(): array
    {
        return ['mapped' => ['', self::SMALL], 'as a file' => ['-d ffi.enable=0', self::SMALL], 'off' => ['', ['ipc' => ['shm' => 'off']]]];
    }

    /**
     * @dataProvider ours
     *
     * @param array<string, mixed> $config
     */
    public function testStreams(string $options, array $config): void
    {
        $daemon = new Daemon('shared', [], '', $options, $config);
        $sizes = [1, 9000, 9000, 1, 200000, self::ROOM, self::ROOM + 1, 8191, 8192];
        $expected = '';
        foreach ($sizes as $i => $size) {
            $expected .= str_repeat(chr(65 + $i), $size);
        }
        $response = $daemon->get('/chunks?sizes=' . implode(',', $sizes));
        self::assertTrue($response['body'] === $expected);
        $daemon->request('POST', '/echo', [], 'after');
        self::assertStringNotContainsString('worker stopped', $daemon->log());
    }

    /**
     * @dataProvider ours
     *
     * @param array<string, mixed> $config
     */
    public function testArrivingBody(string $options, array $config): void
    {
        $daemon = new Daemon('shared', [], 'request_streaming: true, max_request_size: 64', $options, $config);
        foreach ([70000, 2000000] as $size) {
            $body = random_bytes($size);
            $response = $daemon->request('POST', '/arriving', ['Content-Type: application/octet-stream'], $body);
            self::assertSame([true, hash('sha256', $body), true], json_decode($response['body'], true), $response['raw']);
        }
    }

    public function testOutputIsInTheLog(): void
    {
        foreach (['', '-d ffi.enable=0'] as $options) {
            $daemon = new Daemon('shared', [], '', $options);
            self::assertSame('printed', $daemon->get('/print')['body']);
            foreach (['printed before the worker exists', 'printed by echo', 'printed by a child', 'printed to STDOUT'] as $text) {
                $daemon->until(fn (): bool => str_contains($daemon->log(), $text), "\"$text\" is not in the log");
            }
            self::assertStringNotContainsString('worker stopped', $daemon->log());
        }
    }

    /** The client sees that something is missing, and the next request another worker. */
    public function testExitInTheAnswer(): void
    {
        foreach (['9000,200000', '9000', '1'] as $sizes) {
            $daemon = new Daemon('shared', [], '', '', self::SMALL);
            $raw = $daemon->get("/chunks?exit=1&sizes=$sizes")['raw'];
            self::assertStringEndsNotWith("\r\n0\r\n\r\n", $raw);
            $body = random_bytes(100000);
            self::assertTrue($daemon->request('POST', '/echo', ['Content-Type: application/octet-stream'], $body)['body'] === $body);
        }
    }

    /** Each worker has memory of its own, also one that takes the place of another. */
    public function testNoMemoryInCommon(): void
    {
        $daemon = new Daemon('shared', workers: 2);
        $seen = [];
        $daemon->until(function () use ($daemon, &$seen): bool {
            $sockets = [$daemon->open('GET', '/memory'), $daemon->open('GET', '/memory')];
            foreach ($sockets as $socket) {
                [$pid, $memory] = json_decode(explode("\r\n\r\n", (string) stream_get_contents($socket), 2)[1], true);
                self::assertNotNull($memory);
                self::assertSame($memory, $seen[$pid] ?? $memory);
                $seen[$pid] = $memory;
            }
            if (count($seen) === 2) {
                $daemon->get('/chunks?exit=1&sizes=1');
            }

            return count($seen) >= 3;
        }, 'there are no three workers');
        self::assertSame(array_values($seen), array_values(array_unique($seen)));
    }
}
