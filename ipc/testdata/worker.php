<?php
// A worker that speaks goridge v3 by hand, so that the tests depend on no PHP
// package. usage: php worker.php MODE [ARGUMENT]
declare(strict_types=1);

const CONTROL = 0x01, JSON = 0x08, ERROR = 0x40;
const STREAM = 0x01, STOP = 0x02, PING = 0x04, PONG = 0x08;

function frame(int $flags, int $stream, array $options, string $payload): string
{
    $head = pack('CCV', 0x10 | (3 + count($options)), $flags, strlen($payload));
    $head .= pack('V', crc32($head)) . chr($stream) . "\0";
    foreach ($options as $option) {
        $head .= pack('V', $option);
    }
    return $head . $payload;
}

function answer(string $context, string $body, int $stream = 0): string
{
    return frame(JSON, $stream, [strlen($context)], $context . $body);
}

function send(string $bytes): void
{
    while ($bytes !== '') {
        $n = fwrite(STDOUT, $bytes);
        if ($n === false || $n === 0) {
            exit(3);
        }
        $bytes = substr($bytes, $n);
    }
    fflush(STDOUT);
}

function readExactly(int $n): string
{
    $data = '';
    while (strlen($data) < $n) {
        $part = fread(STDIN, $n - strlen($data));
        if ($part === false || $part === '') {
            exit(0); // the daemon has closed the channel
        }
        $data .= $part;
    }
    return $data;
}

// Returns [flags, stream, context, body].
function receive(): array
{
    // As PHP's official pipe relay does: one fread must give the whole header.
    $head = fread(STDIN, 12);
    if ($head === false || $head === '') {
        exit(0);
    }
    if (strlen($head) !== 12) {
        fwrite(STDERR, 'short header: ' . strlen($head) . " bytes\n");
        exit(2);
    }
    $h = unpack('Cversion/Cflags/Vlength/Vcrc/Cstream', $head);
    if ($h['crc'] !== crc32(substr($head, 0, 6))) {
        fwrite(STDERR, "bad crc\n");
        exit(2);
    }
    $options = ($h['version'] & 0x0f) - 3;
    $contextLength = $options > 0 ? unpack('V', readExactly(4 * $options))[1] : $h['length'];
    $payload = $h['length'] > 0 ? readExactly($h['length']) : '';
    return [$h['flags'], $h['stream'], substr($payload, 0, $contextLength), substr($payload, $contextLength)];
}

// Waits for a job; answers the pid request and obeys the stop order.
function job(): array
{
    while (true) {
        [$flags, $stream, $context, $body] = receive();
        if ($flags & CONTROL) {
            $order = json_decode($context, true);
            if (!empty($order['stop'])) {
                exit(0);
            }
            send(frame(CONTROL, 0, [], '{"pid":' . getmypid() . '}'));
        } elseif ($stream === 0) {
            return [$context, $body];
        }
    }
}

$mode = $argv[1] ?? 'echo';
$argument = (int) ($argv[2] ?? 0);

if ($mode === 'echo-before-start') {
    echo "hello from the application\n";
}
if ($mode === 'fatal-before-start') {
    throw new RuntimeException('boom at start');
}
if ($mode === 'warning-before-start') {
    echo $undefined;
}
if ($mode === 'silent') {
    sleep(60);
}

while (true) {
    [$context, $body] = job();
    switch ($mode) {
        case 'echo':
            send(answer($context, $body));
            break;
        case 'error':
            send(frame(ERROR, 0, [], $body));
            break;
        case 'stop-me':
            send(answer('{"stop":true}', ''));
            break;
        case 'die-after': // n bytes of the answer
            send(substr(answer('{"status":200}', 'hello'), 0, $argument));
            exit(0);
        case 'die-midway': // of reading the payload: nothing is left to do here
            exit(1);
        case 'echo-in-handler':
            echo "debug output\n";
            send(answer($context, $body));
            break;
        case 'twice':
            send(answer($context, $body) . answer($context, 'one too many'));
            break;
        case 'stream': // n frames, a PING on every second one, stops when told
            $sent = 0;
            while (++$sent < $argument) {
                $ping = $sent > 1 && $sent % 2 === 0;
                send(answer($sent === 1 ? $context : '', "chunk $sent", STREAM | ($ping ? PING : 0)));
                if ($ping) {
                    [, $bits] = receive();
                    if ($bits & STOP) {
                        break;
                    }
                    if (!($bits & PONG)) {
                        fwrite(STDERR, "no PONG but $bits\n");
                        exit(2);
                    }
                }
            }
            send(answer('', ''));
            break;
        case 'announce': // a length of 4 GiB - 1, then nothing
            $head = pack('CCV', 0x14, JSON, 0xffffffff);
            send($head . pack('V', crc32($head)) . "\0\0" . pack('V', 0));
            sleep(60);
            break;
    }
}
