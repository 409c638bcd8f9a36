<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\Assert;

/** A real server, bin/rrd (make build), with a worker script, and a client for it. */
final class Daemon
{
    private const DEADLINE = 30.0;

    /** Folder of this server; the worker finds it in TEST_DIR. It is removed at the end. */
    public readonly string $dir;

    public readonly int $port;

    /** @var resource */
    private $process;

    /**
     * @param string $worker name of a script in tests/workers
     * @param array<string, string> $env of the worker
     * @param string $http more keys of the section http, as YAML flow: "max_request_size: 64"
     * @param string $options of PHP
     * @param array<string, mixed> $more sections of the configuration
     */
    public function __construct(string $worker, array $env = [], string $http = '', string $options = '', array $more = [], int $workers = 1)
    {
        $this->dir = sys_get_temp_dir() . '/rr-test-' . bin2hex(random_bytes(6));
        mkdir($this->dir);
        mkdir("$this->dir/sessions");
        $probe = stream_socket_server('tcp://127.0.0.1:0');
        $this->port = (int) substr(strrchr(stream_socket_get_name($probe, false), ':'), 1);
        fclose($probe);
        $command = \PHP_BINARY . " -d display_errors=0 -d log_errors=1 -d session.save_path=$this->dir/sessions " . ($options === '' ? '' : "$options ") . __DIR__ . "/workers/$worker.php";
        file_put_contents("$this->dir/rr.yaml", json_encode([
            'version' => '3',
            'server' => ['command' => $command, 'env' => ['TEST_DIR' => $this->dir] + $env],
            'rpc' => ['listen' => "unix://$this->dir/rpc.sock"],
            'logs' => ['level' => 'info'],
        ] + $more, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_PRETTY_PRINT));
        // JSON is YAML; the section http stays readable in the tests.
        file_put_contents("$this->dir/rr.yaml", preg_replace('/^\{/', "{\"http\": {address: \"127.0.0.1:$this->port\", pool: {num_workers: $workers}, uploads: {forbid: []}" . ($http === '' ? '' : ", $http") . '},', (string) file_get_contents("$this->dir/rr.yaml")));
        $log = fopen("$this->dir/log", 'ab');
        $this->process = proc_open([dirname(__DIR__, 2) . '/bin/rrd', '-c', "$this->dir/rr.yaml"], [['file', '/dev/null', 'r'], $log, $log], $pipes, $this->dir);
        $this->until(fn (): bool => ($socket = @stream_socket_client("tcp://127.0.0.1:$this->port")) !== false && fclose($socket), 'the server does not start');
    }

    public function __destruct()
    {
        proc_terminate($this->process);
        for ($end = microtime(true) + 20; proc_get_status($this->process)['running'] && microtime(true) < $end;) {
            usleep(2000);
        }
        proc_close($this->process);
        $files = new \RecursiveIteratorIterator(new \RecursiveDirectoryIterator($this->dir, \FilesystemIterator::SKIP_DOTS), \RecursiveIteratorIterator::CHILD_FIRST);
        foreach ($files as $file) {
            $file->isDir() ? rmdir((string) $file) : unlink((string) $file);
        }
        rmdir($this->dir);
    }

    /** @param callable(): bool $condition */
    public function until(callable $condition, string $complaint): void
    {
        for ($end = microtime(true) + self::DEADLINE; !$condition(); usleep(2000)) {
            if (microtime(true) > $end || !proc_get_status($this->process)['running']) {
                Assert::fail("$complaint\n" . $this->log());
            }
        }
    }

    public function log(): string
    {
        return (string) file_get_contents("$this->dir/log");
    }

    /**
     * One request on a connection of its own.
     *
     * @param list<string> $headers
     *
     * @return array{status: int, headers: array<string, list<string>>, body: string, raw: string, cookies: array<string, string>}
     *         names of headers in small letters
     */
    public function request(string $method, string $path, array $headers = [], string $body = ''): array
    {
        $socket = $this->open($method, $path, $headers, $body);
        $raw = (string) stream_get_contents($socket);
        Assert::assertFalse(stream_get_meta_data($socket)['timed_out'], "no answer to $method $path\n" . $this->log());
        $rest = $raw;
        do {
            [$head, $rest] = explode("\r\n\r\n", $rest, 2) + ['', ''];
        } while (preg_match('#^HTTP/1.1 1\d\d #', $head));
        Assert::assertMatchesRegularExpression('#^HTTP/1.1 \d{3}#', $head, $this->log());
        $fields = $cookies = [];
        foreach (array_slice(explode("\r\n", $head), 1) as $line) {
            [$name, $value] = explode(':', $line, 2);
            $fields[strtolower($name)][] = trim($value);
        }
        foreach ($fields['set-cookie'] ?? [] as $cookie) {
            [$name, $value] = explode('=', strtok($cookie, ';'), 2);
            $cookies[$name] = $value;
        }
        if (isset($fields['transfer-encoding'])) {
            $rest = self::dechunk($rest);
        }

        return ['status' => (int) substr($head, 9, 3), 'headers' => $fields, 'body' => $rest, 'raw' => $raw, 'cookies' => $cookies];
    }

    /**
     * @param list<string> $headers
     *
     * @return array{status: int, headers: array<string, list<string>>, body: string, raw: string, cookies: array<string, string>}
     */
    public function get(string $path, array $headers = []): array
    {
        return $this->request('GET', $path, $headers);
    }

    /**
     * Sends a request and leaves the answer to the caller.
     *
     * @param list<string> $headers
     *
     * @return resource
     */
    public function open(string $method, string $path, array $headers = [], string $body = '')
    {
        $socket = stream_socket_client("tcp://127.0.0.1:$this->port", $errno, $error, 10);
        stream_set_timeout($socket, (int) self::DEADLINE);
        $head = "$method $path HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n";
        foreach ($headers as $header) {
            $head .= "$header\r\n";
        }
        if ($body !== '' || $method !== 'GET') {
            $head .= 'Content-Length: ' . strlen($body) . "\r\n";
        }
        fwrite($socket, "$head\r\n");
        for ($done = 0; $done < strlen($body); $done += (int) $n) {
            $n = fwrite($socket, substr($body, $done, 1 << 20));
            Assert::assertGreaterThan(0, $n, 'the server does not read');
        }

        return $socket;
    }

    /**
     * A form with one file.
     *
     * @return array{list<string>, string} headers and body
     */
    public static function upload(string $field, string $name, string $content, string $type = 'application/octet-stream'): array
    {
        $body = "--frontier\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nthe title\r\n"
            . "--frontier\r\nContent-Disposition: form-data; name=\"$field\"; filename=\"$name\"\r\nContent-Type: $type\r\n\r\n$content\r\n--frontier--\r\n";

        return [['Content-Type: multipart/form-data; boundary=frontier'], $body];
    }

    private static function dechunk(string $body): string
    {
        $whole = '';
        while (preg_match('/^([0-9a-f]+)\r\n/i', $body, $match) && ($n = (int) hexdec($match[1])) > 0) {
            $whole .= substr($body, strlen($match[0]), $n);
            $body = substr($body, strlen($match[0]) + $n + 2);
        }

        return $whole;
    }
}
