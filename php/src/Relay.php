<?php

declare(strict_types=1);

namespace RR;

use RR\Ipc\Libc;

/**
 * Bytes to and from the server: the two pipes on descriptors 0 and 1, or a
 * socket. Reads and writes are not buffered by PHP, so that a frame costs one
 * system call in each direction.
 */
final class Relay
{
    /** Bytes asked for when the length is not known: more than a usual request, less than makes allocation slow. */
    public const CHUNK = 32768;

    /** What keeps descriptors 0 and 1 occupied after they were taken; not empty then. @var list<resource|null> */
    private static array $kept = [];

    /**
     * @param resource $in
     * @param resource $out the same as $in for a socket
     */
    public function __construct(
        private $in,
        private $out,
        private readonly string $name = 'pipes',
    ) {
        stream_set_read_buffer($in, 0);
        stream_set_write_buffer($out, 0);
    }

    /** The relay that the server announces in RR_RELAY: pipes (default), tcp://host:port or unix://path. */
    public static function fromEnv(): self
    {
        $address = (string) getenv('RR_RELAY');

        return $address === '' || $address === 'pipes' ? self::stdio() : self::connect($address);
    }

    /**
     * Takes the pipes on descriptors 0 and 1 away from the rest of the process:
     * the channel moves to descriptors that nobody else knows, descriptor 1
     * becomes a copy of stderr and descriptor 0 /dev/null. Whatever writes to
     * stdout later (a fatal error, a child process, a C library) reaches the
     * log and not the channel.
     */
    public static function stdio(): self
    {
        self::mayTake();
        if (!is_resource(STDOUT)) {
            throw new RelayException('cannot use the pipes: STDOUT is not open');
        }
        $in = Libc::stream(0, 'rb');
        $out = Libc::stream(1, 'wb');
        if ($in === null || $out === null) {
            throw new RelayException('cannot use the pipes: descriptor 0 or 1 is not open');
        }
        if (\PHP_OS_FAMILY === 'Linux') {
            self::$kept = [self::hideInput(), self::divertOutput()];
        }

        return new self($in, $out);
    }

    /**
     * The pipe on descriptor 0, taken away as by stdio(), and for the other
     * direction one of the worker's own; stdout stays what it is, ordinary
     * output. Null when the descriptor is no pipe.
     */
    public static function control(int $fd): ?self
    {
        self::mayTake();
        $out = Libc::stream($fd, 'wb');
        $in = Libc::stream(0, 'rb');
        if ($out === null || $in === null || (fstat($out)['mode'] & 0170000) !== 0010000) {
            return null;
        }
        Libc::close($fd);
        self::$kept = [self::hideInput()];

        return new self($in, $out);
    }

    private static function mayTake(): void
    {
        if (self::$kept !== []) {
            throw new RelayException('cannot use the pipes: another worker of this process has taken them already');
        }
        if (!defined('STDIN') || !is_resource(STDIN)) {
            throw new RelayException('cannot use the pipes: STDIN is not open (is this PHP CLI?)');
        }
    }

    /**
     * Puts /dev/null on descriptor 0.
     *
     * @return resource|null what must stay open for it
     */
    private static function hideInput()
    {
        $libc = Libc::get();
        if ($libc === null) {
            // The lowest free descriptor is the next one given out.
            fclose(STDIN);

            return fopen('/dev/null', 'r+b');
        }
        // STDIN stays a valid resource this way, which some libraries need.
        $null = $libc->open('/dev/null', 2);
        if ($null < 0 || $libc->dup2($null, 0) !== 0) {
            throw new RelayException('cannot put /dev/null on descriptor 0');
        }
        $libc->close($null);

        return null;
    }

    /**
     * Puts stderr on descriptor 1.
     *
     * @return resource|null what must stay open for it
     */
    private static function divertOutput()
    {
        if (Libc::get()?->dup2(2, 1) === 1) {
            return null;
        }
        fclose(STDOUT);

        return @fopen('php://fd/2', 'wb') ?: fopen('/dev/null', 'r+b');
    }

    /**
     * @param float $connect seconds to wait for the connection
     * @param float $timeout seconds that one read or write may take, 0 = no limit
     */
    public static function connect(string $address, float $connect = 10.0, float $timeout = 0.0): self
    {
        if (!preg_match('#^(?:tcp|unix)://.#', $address)) {
            throw new RelayException("cannot connect to \"$address\": want tcp://host:port or unix://path");
        }
        error_clear_last();
        $socket = @stream_socket_client($address, $errno, $error, $connect);
        if ($socket === false) {
            throw new RelayException("cannot connect to $address: " . ($error !== '' ? $error : error_get_last()['message'] ?? "error $errno"));
        }
        if ($address[0] === 't' && function_exists('socket_import_stream')) {
            socket_set_option(socket_import_stream($socket), SOL_TCP, TCP_NODELAY, 1);
        }
        // default_socket_timeout (60 s) would end a worker that had no request for a minute.
        $timeout = $timeout > 0 ? $timeout : 1e9;
        stream_set_timeout($socket, (int) $timeout, (int) (fmod($timeout, 1.0) * 1e6));

        return new self($socket, $socket, $address);
    }

    /**
     * What is there, at most $length bytes; waits for the first of them.
     * '' means that the server closed the connection.
     */
    public function read(int $length = self::CHUNK): string
    {
        for (;;) {
            $bytes = @fread($this->in, $length);
            if ($bytes !== '' && $bytes !== false) {
                return $bytes;
            }
            if (stream_get_meta_data($this->in)['timed_out']) {
                throw new RelayException("no answer on $this->name in time");
            }
            if ($bytes === false || feof($this->in)) {
                return '';
            }
            $this->ready(3600);
        }
    }

    /** Whether read() would return at once, waiting up to $seconds for it. */
    public function ready(int $seconds = 0): bool
    {
        $read = [$this->in];
        $none = null;

        return (bool) @stream_select($read, $none, $none, $seconds);
    }

    /** Writes all of $bytes. */
    public function write(string $bytes): void
    {
        $done = @fwrite($this->out, $bytes);
        if ($done === strlen($bytes)) {
            return;
        }
        $this->writeRest($bytes, (int) $done);
    }

    /** A short write: a signal came, or the descriptor does not block. */
    private function writeRest(string $bytes, int $done): void
    {
        error_clear_last();
        for ($length = strlen($bytes); $done < $length;) {
            $n = @fwrite($this->out, substr($bytes, $done, 1 << 20));
            if ($n === false) {
                // PHP reports EAGAIN as a short write of 0 and everything else as false with a notice.
                throw new RelayException("cannot write to $this->name: " . (error_get_last()['message'] ?? 'connection closed'));
            }
            if ($n === 0) {
                if (stream_get_meta_data($this->out)['timed_out'] || error_get_last() !== null) {
                    throw new RelayException("cannot write to $this->name: " . (error_get_last()['message'] ?? 'timed out'));
                }
                $write = [$this->out];
                $none = null;
                @stream_select($none, $write, $none, 60);
            }
            $done += $n;
        }
    }

    public function close(): void
    {
        foreach ([$this->in, $this->out] as $stream) {
            if (is_resource($stream)) {
                fclose($stream);
            }
        }
    }
}
