<?php
// A worker that speaks the protocol by hand. The body of a job is a command:
// see the switch. The context is echoed.

ini_set('display_errors', 'stderr');

function readn(int $n): string
{
    $s = '';
    while (strlen($s) < $n) {
        $part = fread(STDIN, $n - strlen($s));
        if ($part === false || $part === '') {
            exit(0);
        }
        $s .= $part;
    }
    return $s;
}

function frame(int $flags, string $context, string $body, int $stream = 0, bool $option = true): string
{
    $payload = $context . $body;
    $head = pack('CCV', $option ? 0x14 : 0x13, $flags, strlen($payload));
    $head .= pack('V', crc32($head)) . chr($stream) . "\0";
    return $head . ($option ? pack('V', strlen($context)) : '') . $payload;
}

function send(string $bytes): void
{
    for ($done = 0; $done < strlen($bytes);) {
        $n = fwrite(STDOUT, $done ? substr($bytes, $done) : $bytes);
        if (!$n) {
            exit(1);
        }
        $done += $n;
    }
}

function receive(): array
{
    $h = unpack('Cver/Cflags/Vlen/Vcrc/Cstream', readn(12));
    $options = ($h['ver'] & 15) - 3;
    $option = $options > 0 ? unpack('V', readn(4 * $options))[1] : 0;
    $payload = readn($h['len']);
    return [$h['flags'], $h['stream'], substr($payload, 0, $option), substr($payload, $option)];
}

$mode = $argv[1] ?? '';
switch ($mode) {
    case 'exit': fwrite(STDERR, "cannot boot\n"); exit((int) ($argv[2] ?? 3));
    case 'hang': sleep(3600);
    case 'print': echo "PHP Warning: something is wrong\n"; sleep(3600);
    case 'fatal': undefined_function();
    case 'slowboot': usleep(1000 * (int) $argv[2]); break;
    case 'await': // boots when the file $argv[2] is there
        while (!file_exists($argv[2])) {
            usleep(5000);
            clearstatcache();
        }
        break;
    case 'meet': // boots when $argv[3] processes boot at the same time
        touch("{$argv[2]}/" . getmypid());
        for ($i = 0; count(scandir($argv[2])) - 2 < (int) $argv[3]; $i++) {
            if ($i > 6000) {
                fwrite(STDERR, "nobody else boots\n");
                exit(1);
            }
            usleep(10000);
        }
        break;
    case 'once': // boots only while the file exists
        if (!file_exists($argv[2])) {
            fwrite(STDERR, "no {$argv[2]}\n");
            exit(1);
        }
        break;
    case 'term': // does not mind SIGTERM
        pcntl_async_signals(false);
        pcntl_signal(SIGTERM, SIG_IGN);
        break;
}
$release = getcwd();
$hog = '';

while (true) {
    [$flags, $stream, $context, $body] = receive();
    if ($flags & 1) {
        $c = json_decode($body, true);
        if (!empty($c['stop'])) {
            if ($mode === 'deaf') {
                sleep(3600);
            }
            if ($mode === 'slowexit') {
                usleep(1000 * (int) $argv[2]);
            }
            exit(0);
        }
        send(frame(1, '', json_encode(['pid' => getmypid()]), 0, false));
        if ($mode === 'crash') {
            usleep(1000 * (int) ($argv[2] ?? 0));
            exit(4);
        }
        continue;
    }
    if ($stream) {
        continue; // STOP or PONG too late
    }
    [$cmd, $arg] = explode(' ', $body, 2) + ['', ''];
    switch ($cmd) {
        case 'eval': send(frame(4, $context, (string) eval($arg))); break;
        case 'pid': send(frame(4, $context, (string) getmypid())); break;
        case 'release': send(frame(4, $context, $release)); break;
        case 'env': send(frame(4, $context, json_encode(getenv()))); break;
        case 'id': send(frame(4, $context, posix_getuid() . ':' . posix_getgid() . ':' . implode(',', posix_getgroups()))); break;
        case 'sleep': usleep(1000 * (int) $arg); send(frame(4, $context, $body)); break;
        case 'until': // answers when the file is there
            while (!file_exists($arg)) {
                usleep(2000);
                clearstatcache();
            }
            send(frame(4, $context, $body));
            break;
        case 'error': send(frame(0x40, '', $arg, 0, false)); break;
        case 'stop': send(frame(4, '{"stop":true}', '')); exit(0);
        case 'stopfile': // asks to be stopped once, then serves
            if (@unlink($arg)) {
                send(frame(4, '{"stop":true}', ''));
                exit(0);
            }
            send(frame(4, $context, (string) getmypid()));
            break;
        case 'exit': fwrite(STDERR, "last words\n"); exit((int) $arg);
        case 'segv': posix_kill(getmypid(), SIGSEGV); sleep(10); break;
        case 'answerexit': send(frame(4, $context, $body)); exit(0);
        case 'garbage': echo "Fatal error: Allowed memory size exhausted"; exit(255);
        case 'nooption': send(frame(4, '', $body, 0, false)); break;
        case 'twice': send(frame(4, $context, 'one') . frame(4, $context, 'two')); break;
        case 'stderr': fwrite(STDERR, $arg . "\n"); send(frame(4, $context, '')); break;
        case 'memory': $hog = str_repeat('x', (int) $arg << 20); send(frame(4, $context, (string) strlen($hog))); break;
        case 'child': // leaves a child behind that holds all descriptors
            if (pcntl_fork() === 0) { sleep(3600); exit; }
            exit(5);
        case 'stream':
            [$n, $pause] = explode(' ', $arg) + [0, 0];
            for ($i = 1; $i <= $n; $i++) {
                if ($i > 1 && $i % 2 === 0 && $i < $n) { // ask whether to stop
                    send(frame(4, '', "chunk $i;", 1 | 4));
                    [, $bits] = receive();
                    if ($bits & 2) {
                        receive(); // the PONG behind the STOP
                        send(frame(4, '', '', 0));
                        continue 3;
                    }
                    continue;
                }
                usleep(1000 * (int) $pause);
                send(frame(4, $i === 1 ? $context : '', "chunk $i;", $i < $n ? 1 : 0));
            }
            break;
        case 'flood': while (true) { send(frame(4, '', 'more', 1)); } // never ends
        default: send(frame(4, $context, $body));
    }
}
