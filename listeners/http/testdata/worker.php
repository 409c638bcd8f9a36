<?php
// An HTTP worker that speaks the protocol by hand and JSON, as the official
// packages do. The request's path says what it does.

ini_set('display_errors', 'stderr');

function receive(): ?array
{
    $n = static function (int $n): string {
        for ($s = ''; strlen($s) < $n; $s .= $part) {
            $part = fread(STDIN, $n - strlen($s));
            if ($part === false || $part === '') {
                exit(0);
            }
        }
        return $s;
    };
    $h = unpack('Cver/Cflags/Vlen/Vcrc/Cstream', $n(12));
    $options = ($h['ver'] & 15) - 3;
    $contextLen = $options > 0 ? unpack('V', $n(4 * $options))[1] : 0;
    $payload = $n($h['len']);
    return [$h['flags'], substr($payload, 0, $contextLen), substr($payload, $contextLen)];
}

function send(int $flags, string $context, string $body, int $stream = 0): void
{
    $head = pack('CCV', $flags & 0x40 ? 0x13 : 0x14, $flags, strlen($context . $body));
    $head .= pack('V', crc32($head)) . chr($stream) . "\0";
    $bytes = $head . ($flags & 0x40 ? '' : pack('V', strlen($context))) . $context . $body;
    for ($done = 0; $done < strlen($bytes); $done += $n) {
        $n = fwrite(STDOUT, $done ? substr($bytes, $done) : $bytes);
        if (!$n) {
            exit(1);
        }
    }
}

function answer(int $status, array $headers, string $body, int $stream = 0): void
{
    send(0x08, json_encode(['status' => $status, 'headers' => (object) $headers]), $body, $stream);
}

function contents(mixed $tree): mixed
{
    if (isset($tree['tmpName']) && is_string($tree['tmpName'])) {
        return md5_file($tree['tmpName']) . ' ' . $tree['size'] . ' ' . $tree['name'];
    }
    return is_array($tree) ? array_map('contents', $tree) : $tree;
}

while (true) {
    [$flags, $context, $body] = receive();
    if ($flags & 1) { // control: the handshake or the order to stop
        if (isset(json_decode($context . $body, true)['stop'])) {
            exit(0);
        }
        send(0x09, '', json_encode(['pid' => getmypid()]));
        continue;
    }
    $r = json_decode($context, true, 512, JSON_THROW_ON_ERROR);
    switch (parse_url($r['uri'], PHP_URL_PATH)) {
        case '/hello':
            answer(200, ['Content-Type' => ['text/plain'], 'Set-Cookie' => ['a=1', 'b=2']], 'hello');
            break;
        case '/echo':
            answer(200, ['X-Id' => ['1']], $body);
            break;
        case '/show':
            $r['body'] = $r['parsed'] && $body !== '' ? json_decode($body, true, 512, JSON_THROW_ON_ERROR) : $body;
            $r['uploads'] = contents($r['uploads']);
            answer(201, ['Content-Type' => ['application/json']], json_encode($r, JSON_THROW_ON_ERROR));
            break;
        case '/stream':
            answer(103, ['Link' => ['</a.css>']], '', 1);
            for ($i = 0; $i < 5; $i++) {
                answer(200, [], "part $i\n", 1);
            }
            answer(200, [], 'end');
            break;
        case '/stream-die':
            answer(200, [], 'part', 1);
            exit(1);
        case '/sendfile':
            answer(200, ['X-Sendfile' => [$r['rawQuery']]], 'dropped');
            break;
        case '/die':
            exit(3);
        case '/error':
            send(0x40, '', "boom <b>\n");
            break;
        case '/slow':
            usleep(100000);
            answer(200, [], 'slow');
            break;
        case '/until': // answers when the file is there
            $file = substr($r['rawQuery'], strlen('file='));
            touch("$file.begun");
            while (!file_exists($file)) {
                usleep(2000);
                clearstatcache();
            }
            answer(200, [], 'there');
            break;
        case '/hang':
            sleep(60);
            // no break
        default:
            answer(404, [], '');
    }
}
