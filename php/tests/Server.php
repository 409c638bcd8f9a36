<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\Assert;
use RR\Frame;

/** Plays the server for a real worker process, over pipes or a socket. */
class Server
{
    private const DEADLINE = 10.0;

    /** @var resource */
    private $process;

    /** @var resource */
    protected $in;

    /** Where the worker's frames come from. @var resource */
    protected $out;

    /** @var resource */
    private $stderr;

    protected string $rest = '';

    /** The descriptor on which the worker answers. */
    protected int $answers = 1;

    /** What the worker has named in its pid answer. @var list<string> */
    public array $accepts = [];

    private ?int $exit = null;

    /**
     * @param string $worker name of a script in tests/workers
     * @param array<string, string> $env
     * @param list<string> $options of PHP
     * @param resource|null $listener the worker connects here instead of using pipes
     */
    public function __construct(string $worker, array $env = [], array $options = [], $listener = null, bool $handshake = true)
    {
        $this->stderr = tmpfile();
        $env += ['PATH' => (string) getenv('PATH')];
        $this->process = proc_open(
            [\PHP_BINARY, '-d', 'display_errors=0', '-d', 'log_errors=1', ...$options, __DIR__ . "/workers/$worker.php"],
            $this->descriptors() + [['pipe', 'r'], ['pipe', 'w'], $this->stderr],
            $pipes,
            null,
            $env,
        );
        $this->in = $pipes[0];
        $this->out = $pipes[$this->answers];
        if ($listener !== null) {
            $this->in = $this->out = stream_socket_accept($listener, self::DEADLINE);
        }
        stream_set_read_buffer($this->out, 0);
        if ($handshake) {
            Assert::assertSame(proc_get_status($this->process)['pid'], $this->handshake());
        }
    }

    public function __destruct()
    {
        if ($this->exit === null) {
            proc_terminate($this->process, 9);
            proc_close($this->process);
        }
    }

    /**
     * What the process gets beyond the usual standard descriptors.
     *
     * @return array<int, resource|array<string>>
     */
    protected function descriptors(): array
    {
        return [];
    }

    /** The worker's answer to the pid request. */
    public function handshake(): int
    {
        $this->write(Frame::encode('{"pid":1}', Frame::CONTROL | Frame::JSON));
        $frame = $this->frame();
        Assert::assertSame(Frame::CONTROL, $frame['flags']);

        $answer = json_decode($frame['body'], true, 512, JSON_THROW_ON_ERROR);
        $this->accepts = $answer['accepts'] ?? [];

        return $answer['pid'];
    }

    public function write(string $bytes): void
    {
        for ($done = 0; $done < strlen($bytes); $done += $n) {
            $n = fwrite($this->in, substr($bytes, $done));
            Assert::assertGreaterThan(0, $n, 'the worker does not read');
        }
    }

    public function job(string $context, string $body = '', int $flags = Frame::JSON): void
    {
        $this->write(Frame::head($flags, 0, strlen($context) + strlen($body), strlen($context)) . $context . $body);
    }

    public function stream(int $bits): void
    {
        $this->write(Frame::encode('', 0, $bits));
    }

    /**
     * Sends an HTTP request.
     *
     * @param array<string, mixed> $context differences from a plain GET
     */
    public function request(array $context = [], string $body = ''): void
    {
        $this->job(json_encode($context + [
            'remoteAddr' => '10.0.0.7',
            'protocol' => 'HTTP/1.1',
            'method' => 'GET',
            'uri' => 'http://shop.local/',
            'headers' => new \stdClass(),
            'cookies' => new \stdClass(),
            'rawQuery' => '',
            'parsed' => false,
            'uploads' => null,
            'attributes' => null,
        ], JSON_THROW_ON_ERROR), $body);
    }

    /**
     * The next frame of the worker.
     *
     * @return array{flags: int, stream: int, options: int, context: string, body: string}
     */
    public function frame(): array
    {
        $this->fill(Frame::HEADER);
        ['head' => $head, 'flags' => $flags, 'length' => $length, 'stream' => $stream] = Frame::parse($this->rest);
        $this->fill($head + $length);
        $options = Frame::options($this->rest, $head);
        $context = $options[0] ?? 0;
        $frame = [
            'flags' => $flags,
            'stream' => $stream,
            'options' => count($options),
            'context' => substr($this->rest, $head, $context),
            'body' => substr($this->rest, $head + $context, $length - $context),
        ];
        $this->rest = substr($this->rest, $head + $length);

        return $frame;
    }

    /**
     * The next frame as an HTTP response in JSON.
     *
     * @return array{status: int|null, headers: array<string, list<string>>, body: string, stream: int}
     */
    public function response(): array
    {
        $frame = $this->frame();
        Assert::assertSame(Frame::JSON, $frame['flags'], $frame['body']);
        Assert::assertSame(1, $frame['options']);
        $head = $frame['context'] === '' ? [] : json_decode($frame['context'], true, 512, JSON_THROW_ON_ERROR);

        return ['status' => $head['status'] ?? null, 'headers' => $head['headers'] ?? [], 'body' => $frame['body'], 'stream' => $frame['stream']];
    }

    /** No further byte may come from the worker. */
    public function quiet(): void
    {
        Assert::assertSame('', $this->rest);
        $read = [$this->out];
        $none = null;
        Assert::assertSame(0, stream_select($read, $none, $none, 0), 'the worker sent more than it should');
    }

    /** Whether the worker has closed its end without another byte. */
    public function closed(): bool
    {
        return $this->rest === '' && $this->read() === '';
    }

    /** Sends the stop frame and returns the exit code. */
    public function stop(): int
    {
        $this->write(Frame::encode('{"stop":true}', Frame::CONTROL | Frame::JSON));

        return $this->wait();
    }

    /** Closes the pipe to the worker, as a server that died. */
    public function leave(): int
    {
        fclose($this->in);

        return $this->wait();
    }

    /** Waits for the end of the worker; its exit code. */
    public function wait(): int
    {
        for ($end = microtime(true) + self::DEADLINE; ($status = proc_get_status($this->process))['running'];) {
            Assert::assertLessThan($end, microtime(true), "the worker does not end\n" . $this->stderr());
            usleep(1000);
        }
        $this->exit = $status['exitcode'];
        proc_close($this->process);

        return $this->exit;
    }

    /** What the worker has written to stderr until now. */
    public function stderr(): string
    {
        // Not through the same descriptor: the worker writes at its position.
        return (string) file_get_contents(stream_get_meta_data($this->stderr)['uri']);
    }

    protected function fill(int $length): void
    {
        while (strlen($this->rest) < $length) {
            $bytes = $this->read();
            Assert::assertNotSame('', $bytes, "the worker closed the channel\n" . $this->stderr());
            $this->rest .= $bytes;
        }
    }

    private function read(): string
    {
        $read = [$this->out];
        $none = null;
        Assert::assertSame(1, stream_select($read, $none, $none, (int) self::DEADLINE), "the worker does not answer\n" . $this->stderr());

        return (string) fread($this->out, 1 << 16);
    }
}
