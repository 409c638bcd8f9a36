<?php

// Answers what the body asks for. Used by WorkerTest.

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

if (getenv('EARLY')) {
    echo getenv('EARLY');
}
$worker = new RR\Worker();
echo 'echo after the constructor';
while ($payload = $worker->waitPayload()) {
    [$command, $argument] = explode(' ', $payload->body, 2) + ['', ''];
    switch ($command) {
        case 'print':
            echo 'echoed text';
            var_dump(['dumped' => 1]);
            print_r(['printed']);
            file_put_contents('php://stdout', 'php://stdout text');
            file_put_contents('php://output', 'php://output text');
            system('echo text of a child');
            fpassthru(fopen('data:,passed', 'r'));
            while (ob_get_level() > 0) {
                ob_end_clean();
            }
            echo 'without a buffer';
            trigger_error('a warning', E_USER_WARNING);
            $worker->respond('printed');
            break;
        case 'STDOUT':
            try {
                fwrite(STDOUT, 'to STDOUT');
                $worker->respond('written');
            } catch (TypeError) {
                $worker->respond('closed');
            }
            break;
        case 'stdin':
            $worker->respond((string) shell_exec('cat'));
            break;
        case 'level':
            $worker->respond((string) ob_get_level());
            break;
        case 'unbuffer':
            ob_end_clean();
            $worker->respond('');
            break;
        case 'header':
            header('X-Test: 1');
            $worker->respond(json_encode([headers_sent(), error_get_last()]));
            break;
        case 'memory':
            ini_set('memory_limit', '16M');
            $x = str_repeat('x', 1 << 30);
            break;
        case 'undefined':
            undefined_function();
            break;
        case 'exit':
            exit((int) $argument);
        case 'error':
            $worker->error($argument);
            break;
        case 'stop':
            $worker->stop();
            break;
        case 'chunks':
            foreach (explode(',', $argument) as $i => $size) {
                $worker->send(str_repeat(chr(65 + $i % 26), (int) $size), $i === 0 ? $payload->context : '');
            }
            $worker->respond('');
            break;
        case 'descriptors':
            $worker->respond((string) shell_exec('ls -l /proc/self/fd'));
            break;
        case 'environment':
            $worker->respond(json_encode([getenv('RR_IPC'), $_SERVER['RR_IPC'] ?? null, trim((string) shell_exec('echo $RR_IPC'))]));
            break;
        case 'half':
            $worker->send(str_repeat('x', 20000));
            exit(0);
        case 'stream':
            for ($i = 0; $i < (int) $argument && !$worker->stopRequested(); ++$i) {
                $worker->send("part $i");
            }
            $worker->respond("last $i");
            break;
        case 'endless':
            for ($i = 0; !$worker->stopRequested(); ++$i) {
                $worker->send("part $i$argument");
            }
            $worker->respond('');
            break;
        case 'codec':
            $worker->respond((string) $payload->codec, $payload->context, (int) $argument);
            break;
        case 'sum':
            $worker->respond(md5($payload->body) . ' ' . strlen($payload->body) . ' ' . md5($payload->context));
            break;
        case 'big':
            $worker->respond(str_repeat('0123456789abcdef', intdiv((int) $argument, 16)), $payload->context);
            break;
        default:
            $body = $payload->body;
            if ($payload->arriving) {
                while (($part = $worker->readBody()) !== '') {
                    $body .= $part;
                }
            }
            $worker->respond(strtoupper($body), $payload->context);
    }
}
exit(7);
