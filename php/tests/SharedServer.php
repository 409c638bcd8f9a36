<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\Assert;
use RR\Frame;
use RR\Ipc\Libc;

/**
 * Plays rrd for a worker that has a control pipe and a segment of shared memory.
 */
final class SharedServer extends Server
{
    private const MFD_ALLOW_SEALING = 2;
    private const F_ADD_SEALS = 1033;
    private const SHRINK_GROW_SEAL = 7;

    /** @var resource */
    private $memory;

    private readonly int $size;

    /** @var resource */
    private $stdout;

    protected int $answers = 3;

    /** Length of the first part of a job's body in shared memory; null: as much as fits. */
    public ?int $part = null;

    /** How many parts of the worker's bodies came through shared memory, and how many questions. */
    public int $parts = 0;

    public int $questions = 0;

    /** Bytes that the worker gets before each answer to a question or a PING. */
    public string $between = '';

    /** Questions for more of a body that was announced are answered with STOP. */
    public bool $break = false;

    /**
     * @param array<string, string> $env
     * @param list<string> $options
     * @param string|null $announce RR_IPC; null: what is there
     */
    public function __construct(string $worker, private readonly int $half = 65536, array $env = [], array $options = [], ?string $announce = null, ?int $size = null)
    {
        $this->size = $size ?? 4096 + 2 * $half;
        parent::__construct($worker, ['RR_IPC' => $announce ?? "v=1,later=x,ctl=3,shm=4,half=$half"] + $env, $options);
    }

    protected function descriptors(): array
    {
        $libc = \FFI::cdef('int memfd_create(const char *name, unsigned flags); int ftruncate(int fd, long size); int fcntl(int fd, int command, int argument); int close(int fd);');
        $fd = $libc->memfd_create('test', self::MFD_ALLOW_SEALING);
        Assert::assertSame(0, $libc->ftruncate($fd, $this->size));
        Assert::assertSame(0, $libc->fcntl($fd, self::F_ADD_SEALS, self::SHRINK_GROW_SEAL));
        $this->memory = Libc::stream($fd, 'r+b');
        $libc->close($fd);
        stream_set_read_buffer($this->memory, 0);
        stream_set_write_buffer($this->memory, 0);

        $this->stdout = tmpfile();

        return [1 => $this->stdout, 3 => ['pipe', 'w'], 4 => $this->memory];
    }

    /** What the worker has written to stdout until now. */
    public function stdout(): string
    {
        return (string) file_get_contents(stream_get_meta_data($this->stdout)['uri']);
    }

    /**
     * The names that the channel's descriptors have in /proc.
     *
     * @return list<string>
     */
    public function channel(): array
    {
        return ['pipe:[' . fstat($this->in)['ino'] . ']', 'pipe:[' . fstat($this->out)['ino'] . ']', 'memfd:'];
    }

    /** A job whose body is in shared memory. */
    public function share(string $context, string $body, int $flags = Frame::JSON): void
    {
        $part = min(strlen($body), $this->part ?? $this->half - 24);
        $this->put(substr($body, 0, $part));
        $this->write(Frame::shared($context, $flags, Frame::SHM, $part, strlen($body) - $part));
        for ($at = $part; $at < strlen($body); $at += $part) {
            $this->question();
            if ($this->break) {
                $this->write(Frame::encode('', 0, Frame::BODY | Frame::STOP, [0]));

                return;
            }
            $part = min(strlen($body) - $at, $this->half - 24);
            $this->put(substr($body, $at, $part));
            $this->write(Frame::shared('', 0, Frame::BODY | Frame::SHM, $part, strlen($body) - $at - $part));
        }
    }

    /** Answers the next question for a body that arrives; '' = the end. */
    public function arrive(string $part, bool $shared): void
    {
        $this->question();
        if ($part === '' || !$shared) {
            $this->write(Frame::encode($part, 0, Frame::BODY | ($part === '' ? 0 : Frame::STREAM), [0]));
        } else {
            $this->put($part);
            $this->write(Frame::shared('', 0, Frame::BODY | Frame::STREAM | Frame::SHM, strlen($part), 0));
        }
    }

    private function question(): void
    {
        ++$this->questions;
        $frame = parent::frame();
        $this->write($this->between);
        Assert::assertSame([0, Frame::BODY | Frame::SHM, 1, ''], [$frame['flags'], $frame['stream'], $frame['options'], $frame['body']]);
    }

    public function frame(): array
    {
        $this->fill(Frame::HEADER);
        if (!(ord($this->rest[10]) & Frame::SHM)) {
            return parent::frame();
        }
        $frame = $this->part();
        $ping = $frame['stream'] & Frame::PING;
        for ($left = $frame['left']; $left > 0; $left = $more['left']) {
            $more = $this->part();
            Assert::assertSame($left, strlen($more['body']) + $more['left']);
            Assert::assertSame(['', $frame['stream'] & Frame::STREAM], [$more['context'], $more['stream'] & Frame::STREAM]);
            $frame['body'] .= $more['body'];
            $ping = $more['stream'] & Frame::PING;
        }
        Assert::assertSame($frame['stream'] & Frame::STREAM ? Frame::PING : 0, $ping, 'no PING where nothing follows');
        $frame['stream'] &= Frame::STREAM;
        unset($frame['left']);

        return ['options' => 1] + $frame;
    }

    /** @return array{flags: int, stream: int, context: string, body: string, left: int} */
    private function part(): array
    {
        ++$this->parts;
        $this->fill(Frame::HEADER);
        ['head' => $head, 'flags' => $flags, 'length' => $length, 'stream' => $stream] = Frame::parse($this->rest);
        Assert::assertNotSame(0, $stream & Frame::SHM);
        $this->fill($head + $length);
        [$context, $part, $left] = Frame::options($this->rest, $head);
        Assert::assertSame($length, $context);
        Assert::assertLessThanOrEqual($this->half - 24, $part);
        $frame = ['flags' => $flags, 'stream' => $stream, 'context' => substr($this->rest, $head, $length), 'body' => $this->get($part), 'left' => $left];
        $this->rest = substr($this->rest, $head + $length);
        if ($stream & Frame::PING) {
            // What the worker writes before PONG would be seen here.
            Assert::assertSame($frame['body'], $this->get($part));
            fseek($this->memory, 4096 + $this->half);
            fwrite($this->memory, str_repeat('#', $this->half));
            // The worker may be dead already.
            @fwrite($this->in, $this->between . Frame::encode('', 0, Frame::PONG));
        }

        return $frame;
    }

    private function put(string $bytes): void
    {
        fseek($this->memory, 4096 + 24);
        Assert::assertSame(strlen($bytes), fwrite($this->memory, $bytes));
    }

    private function get(int $length): string
    {
        fseek($this->memory, 4096 + $this->half + 24);
        $bytes = $length > 0 ? fread($this->memory, $length) : '';
        Assert::assertSame($length, strlen($bytes));

        return $bytes;
    }
}
