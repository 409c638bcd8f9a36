<?php

declare(strict_types=1);

require '/usr/share/php/RR/autoload.php';

use RR\Http\{HttpWorker, Request, Response};

$kept = '';

(new HttpWorker())->run(function (Request $request) use (&$kept): Response {
    switch ($request->path()) {
        case '/oom': // takes memory until it is killed; unlike the limit, the step passes memory_high
            $hog = [];
            while (true) {
                $hog[] = str_repeat('x', 16 << 20);
            }
        case '/keep': // between memory_high and memory
            $kept = str_repeat('x', 50 << 20);
            return new Response(200, [], 'kept');
        case '/isolation':
            preg_match_all('/^(?:NoNewPrivs|Seccomp):\s*(\d)/m', file_get_contents('/proc/self/status'), $m);
            exec('unshare --user true 2>&1', $output, $code);
            return new Response(200, [], implode(' ', $m[1]) . " $code " . sys_get_temp_dir());
        case '/echo':
            return new Response(200, ['Content-Type' => 'application/octet-stream'], $request->body());
        case '/pid':
            return new Response(200, [], (string) getmypid());
        case '/forks': // as many as it gets
            for ($n = 0; $n < 1000; $n++) {
                $pid = @pcntl_fork();
                if ($pid < 0) {
                    break;
                }
                if ($pid === 0) {
                    pcntl_exec('/bin/sleep', ['4711']);
                }
            }
            return new Response(200, [], "$n forks");
        case '/bomb':
            shell_exec('b() { : bomb; b | b & sleep 4711; }; b');
            return new Response(200, [], 'it ended');
        case '/child': // leaves the worker's session and process group
            shell_exec('setsid sleep 4712 >/dev/null 2>&1 &');
            return new Response(200, [], 'started');
        case '/orphan':
            shell_exec('(sleep 0.1 &) >/dev/null 2>&1; (setsid sleep 0.1 &) >/dev/null 2>&1');
            return new Response(200, [], 'done');
        case '/segv':
            posix_kill(getmypid(), SIGSEGV);
            sleep(10);
        case '/hog':
            $end = microtime(true) + 4;
            while (microtime(true) < $end);
            $u = getrusage();
            $s = $u['ru_utime.tv_sec'] + $u['ru_stime.tv_sec'] + ($u['ru_utime.tv_usec'] + $u['ru_stime.tv_usec']) / 1e6;
            return new Response(200, [], round($s, 2) . ' of 4');
    }
    return new Response(200, ['Content-Type' => 'text/plain'], 'hello');
});
