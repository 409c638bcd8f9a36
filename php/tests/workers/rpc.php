<?php

// A small RPC server for RpcClientTest: argument 1 is the address to listen on.
// It prints a line when it listens and after it has closed a connection.

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

use RR\Frame;

$listener = stream_socket_server($argv[1], $errno, $error) ?: exit($error);
echo stream_socket_get_name($listener, false), "\n";

for ($connection = 1; $socket = stream_socket_accept($listener, 60); ++$connection) {
    while (true) {
        $bytes = stream_get_contents($socket, 20);
        if (strlen($bytes) < 20) {
            break;
        }
        $head = Frame::parse($bytes);
        [$sequence, $length] = Frame::options($bytes, $head['head']);
        $payload = stream_get_contents($socket, $head['length']);
        $method = substr($payload, 0, $length);
        $argument = substr($payload, $length);
        $answer = static fn (string $result, int $flags = 0, int $seq = 0) => Frame::encode($method . $result, $head['flags'] | $flags, 0, [$sequence + $seq, $length]);
        switch ($method) {
            case 'test.Echo':
                fwrite($socket, $answer($argument));
                break;
            case 'test.Flags':
                fwrite($socket, $answer((string) $head['flags']));
                break;
            case 'test.Connection':
                fwrite($socket, $answer((string) $connection));
                break;
            case 'test.Slowly':
                foreach (str_split($answer('"' . str_repeat('x', 100) . '"'), 7) as $piece) {
                    fwrite($socket, $piece);
                    usleep(200);
                }
                break;
            case 'test.Hang':
                break;
            case 'test.Close':
                break 2;
            case 'test.CloseAfter':
                fwrite($socket, $answer('true'));
                break 2;
            case 'test.Sequence':
                fwrite($socket, $answer('true', 0, 1));
                break;
            case 'test.Noise':
                fwrite($socket, "HTTP/1.1 400 Bad Request\r\n\r\n");
                break;
            case 'test.NoOptions':
                fwrite($socket, Frame::encode('true', $head['flags']));
                break;
            case 'test.NoJson':
                fwrite($socket, $answer('{'));
                break;
            default:
                if (str_starts_with($method, 'app.')) {
                    fwrite(STDERR, "$method $argument\n");
                    fwrite($socket, $answer('false'));
                    break;
                }
                fwrite($socket, $answer("rpc: can't find service $method", Frame::ERROR));
        }
    }
    fclose($socket);
    echo "closed\n";
}
