<?php
// A worker on our own PHP package. The body of a job is a command, anything else
// is echoed with its context.

require __DIR__ . '/../../php/autoload.php';

$worker = new RR\Worker();
while ($job = $worker->waitPayload()) {
    [$command, $argument] = explode(' ', substr($job->body, 0, 1000), 2) + [1 => ''];
    switch ($command) {
        case 'pid':
            $worker->respond((string) getmypid());
            break;
        case 'transport':
            $worker->respond(implode(' ', [...array_filter(['rr', 'FFI'], 'extension_loaded'), (string) $job->codec]));
            break;
        case 'sleep':
            usleep((int) $argument);
            $worker->respond('slept');
            break;
        case 'wait': // for STOP
            touch($argument);
            while (!$worker->stopRequested()) {
                usleep(500);
            }
            $worker->respond('stopped');
            break;
        case 'stream':
            for ($i = 0; $i < (int) $argument && !$worker->stopRequested(); ++$i) {
                $worker->send(str_repeat(chr(65 + $i % 26), $i * 1000 % 20000 + 1), $i ? '' : 'head');
            }
            $worker->respond('');
            break;
        case 'error':
            $worker->error($argument);
            break;
        case 'twice':
            $worker->respond('first');
            $worker->respond('second');
            break;
        case 'exit':
            exit((int) $argument);
        case 'last':
            $worker->respond('last');
            exit(0);
        case 'print':
            fwrite(STDOUT, "printed\n");
            $worker->respond('');
            break;
        case 'orphan': // a process that holds all descriptors that it can
            exec('sleep 30 >/dev/null 2>&1 &');
            posix_kill(getmypid(), SIGKILL);
            break;
        default:
            $worker->respond($job->body, $job->context);
    }
}
