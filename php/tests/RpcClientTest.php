<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Frame;
use RR\Log;
use RR\ProtocolException;
use RR\RelayException;
use RR\Rpc\Client;
use RR\Rpc\ServiceException;

/** RR\Rpc\Client against a server in a process of its own. */
final class RpcClientTest extends TestCase
{
    /** @var resource|null */
    private $process = null;

    /** @var resource */
    private $stderr;

    /** The server prints a line when it listens and after it closed a connection. @var resource */
    private $stdout;

    private string $address;

    protected function setUp(): void
    {
        $this->serve('unix://' . sys_get_temp_dir() . '/rr-rpc-' . getmypid() . '.sock');
    }

    protected function tearDown(): void
    {
        $this->kill();
    }

    private function serve(string $address): void
    {
        $this->stderr = tmpfile();
        $this->process = proc_open([\PHP_BINARY, __DIR__ . '/workers/rpc.php', $address], [1 => ['pipe', 'w'], 2 => $this->stderr], $pipes);
        $this->address = strtok($address, ':') . '://' . trim((string) fgets($pipes[1]));
        $this->stdout = $pipes[1];
    }

    private function kill(): void
    {
        if ($this->process !== null) {
            proc_terminate($this->process, 9);
            proc_close($this->process);
            $this->process = null;
        }
        @unlink(substr($this->address, 7));
    }

    public function testCalls(): void
    {
        foreach (['unix', 'tcp'] as $scheme) {
            if ($scheme === 'tcp') {
                $this->kill();
                $this->serve('tcp://127.0.0.1:0');
            }
            $client = new Client($this->address);
            foreach ([true, null, 'text', 7, 1.5, ['a' => ['b' => []]], ['ü', str_repeat('x', 300000)]] as $value) {
                self::assertSame($value, $client->call('test.Echo', $value));
            }
            self::assertSame(Frame::JSON, $client->call('test.Flags'));
            self::assertSame(1, $client->call('test.Connection'), 'one connection for all');
            self::assertSame(str_repeat('x', 100), $client->call('test.Slowly'));
        }
    }

    public function testCodecs(): void
    {
        $client = new Client($this->address);
        foreach ([Frame::RAW, Frame::PROTO] as $codec) {
            self::assertSame("\x00\xFF{", $client->call('test.Echo', "\x00\xFF{", $codec));
            self::assertSame((string) $codec, $client->call('test.Flags', '', $codec));
        }
        self::assertSame('', $client->call('test.Echo', '', Frame::RAW));
        foreach ([[['a'], Frame::RAW], ['', Frame::GOB]] as [$argument, $codec]) {
            try {
                $client->call('test.Echo', $argument, $codec);
                self::fail();
            } catch (\InvalidArgumentException) {
                self::assertSame(1, $client->call('test.Connection'));
            }
        }
        if (function_exists('msgpack_pack')) {
            self::assertSame(['a' => 1], $client->call('test.Echo', ['a' => 1], Frame::MSGPACK));
        } else {
            $this->expectExceptionMessage('the msgpack codec needs the PHP extension msgpack');
            $client->call('test.Echo', ['a' => 1], Frame::MSGPACK);
        }
    }

    public function testServiceError(): void
    {
        $client = new Client($this->address);
        try {
            $client->call('nope.X');
            self::fail();
        } catch (ServiceException $e) {
            self::assertSame(["rpc: can't find service nope.X", 'nope.X'], [$e->getMessage(), $e->method]);
        }
        self::assertSame(1, $client->call('test.Connection'), 'the connection is kept');
    }

    /** @return array<string, array{string, class-string<\Throwable>, string}> */
    public static function failures(): array
    {
        return [
            'closed' => ['test.Close', RelayException::class, 'closed the connection before the answer; the call may have been executed'],
            'too late' => ['test.Hang', RelayException::class, 'test.Hang failed: no answer on unix://'],
            'wrong number' => ['test.Sequence', ProtocolException::class, 'test.Sequence failed: the answer has number 2, expected 1'],
            'not RPC' => ['test.Noise', ProtocolException::class, 'not a goridge frame: "HTTP/1.1 400'],
            'no options' => ['test.NoOptions', ProtocolException::class, 'test.NoOptions failed: the answer is no RPC frame'],
        ];
    }

    /**
     * After a failure the next call makes a new connection.
     *
     * @dataProvider failures
     *
     * @param class-string<\Throwable> $class
     */
    public function testFailure(string $method, string $class, string $text): void
    {
        $client = new Client($this->address, Frame::JSON, 0.2);
        try {
            $client->call($method);
            self::fail();
        } catch (RelayException | ProtocolException $e) {
            self::assertInstanceOf($class, $e);
            self::assertStringContainsString($text, $e->getMessage());
        }
        self::assertSame(2, $client->call('test.Connection'));
    }

    public function testWrongJson(): void
    {
        $client = new Client($this->address);
        try {
            $client->call('test.NoJson');
            self::fail();
        } catch (\JsonException) {
            self::assertSame(1, $client->call('test.Connection'));
        }
    }

    /** A connection that the server closed between two calls is made again without a word. */
    public function testReconnect(): void
    {
        $client = new Client($this->address);
        self::assertTrue($client->call('test.CloseAfter'));
        self::assertSame("closed\n", fgets($this->stdout));
        self::assertSame(2, $client->call('test.Connection'));
        $this->kill();
        try {
            $client->call('test.Connection');
            self::fail();
        } catch (RelayException $e) {
            self::assertStringContainsString("cannot connect to $this->address: ", $e->getMessage());
        }
        $this->serve($this->address);
        self::assertSame(1, $client->call('test.Connection'));
    }

    public function testAddress(): void
    {
        putenv("RR_RPC=$this->address");
        try {
            self::assertSame(1, (new Client())->call('test.Connection'));
        } finally {
            putenv('RR_RPC');
        }
        $this->kill();
        $this->serve('tcp://127.0.0.1:0');
        self::assertSame(1, (new Client(str_replace('127.0.0.1', '', $this->address)))->call('test.Connection'), 'tcp://:6001');
        $this->expectExceptionMessage('cannot connect to "127.0.0.1:6001": want tcp://host:port or unix://path');
        (new Client('127.0.0.1:6001'))->call('test.Connection');
    }

    public function testLog(): void
    {
        $log = new Log(new Client($this->address));
        $log->error('an error');
        $log->warning('a "warning"');
        $log->info('stock is low', ['article' => 'A-17', 'left' => 3, 'ok' => false, 'list' => [1]]);
        $log->debug('ä');
        $log->raw("raw\n");
        rewind($this->stderr);
        self::assertSame(
            "app.Error \"an error\"\napp.Warning \"a \\\"warning\\\"\"\n"
            . 'app.InfoWithContext {"message":"stock is low","log_attrs":[{"key":"article","value":"A-17"},{"key":"left","value":"3"},{"key":"ok","value":"false"},{"key":"list","value":"[1]"}]}'
            . "\napp.Debug \"ä\"\napp.Log \"raw\\n\"\n",
            stream_get_contents($this->stderr),
        );
    }
}
