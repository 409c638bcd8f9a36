<?php
// An application on our own PHP package. The path says what it does, ?file= is
// how it and a test tell each other something.

declare(strict_types=1);

require __DIR__ . '/../../../php/autoload.php';

use RR\Http\HttpWorker;
use RR\Http\Request;
use RR\Http\RequestAborted;
use RR\Http\Response;
use RR\Http\StreamStopped;

(new HttpWorker())->run(function (Request $request, HttpWorker $http): Response {
    $file = $request->query()['file'] ?? '';
    $mib = (int) ($request->query()['mib'] ?? 1);
    switch ($request->path()) {
        case '/wait': // until nobody waits for the answer
            touch("$file.begun");
            while (!$http->aborted()) {
                usleep(1000);
            }
            touch($file);

            return Response::text('too late');
        case '/poll': // long polling
            touch("$file.begun");
            while (!file_exists($file)) {
                clearstatcache();
                usleep(1000);
            }

            return Response::text(file_get_contents($file));
        case '/events':
            return new Response(200, ['Content-Type' => 'text/event-stream'], (function () use ($file) {
                try {
                    for ($i = 0; ; ++$i) {
                        yield $i % 2 ? ": heartbeat\n\n" : "data: $i\n\n";
                        usleep(5000);
                    }
                } catch (StreamStopped) {
                    touch($file);
                }
            })());
        case '/stream-die':
            return new Response(200, [], (function () {
                yield str_repeat('x', 1000);
                exit(3);
            })());
        case '/die-once':
            if ($file !== '' && !file_exists($file)) {
                touch($file);
                exit(3);
            }

            return Response::text('second try ' . strlen($request->body()));
        case '/md5':
            return Response::text(md5($request->body()) . ' ' . strlen($request->body()));
        case '/big':
            return new Response(200, ['X-Pid' => (string) getmypid()], str_repeat("0123456789abcdef", $mib << 16));
        case '/big-die': // in the middle of one frame
            if (function_exists('pcntl_fork')) {
                $pid = getmypid();
                if (pcntl_fork() === 0) {
                    usleep(200000);
                    posix_kill($pid, 9);
                    posix_kill(getmypid(), 9);
                }
            }

            return new Response(200, [], str_repeat("0123456789abcdef", $mib << 16));
        case '/big-stream':
            return new Response(200, [], (function () use ($mib) {
                for ($i = 0; $i < $mib * 16; ++$i) {
                    yield str_repeat("0123456789abcdef", 4096);
                }
            })());
        case '/upload': // says what it has when it has it
            $stream = $request->stream();
            if ($request->isArriving()) {
                touch("$file.begun");
            }
            $first = fread($stream, 5);
            file_put_contents($file, $first);
            $hash = hash_init('md5');
            hash_update($hash, $first);
            $length = strlen($first);
            while (!feof($stream)) {
                $length += strlen($bytes = (string) fread($stream, 1 << 20));
                hash_update($hash, $bytes);
            }

            return Response::text(hash_final($hash) . " $length " . var_export($request->isArriving(), true));
        case '/upload-echo':
            $stream = $request->stream();

            return new Response(200, [], (function () use ($stream) {
                while (!feof($stream)) {
                    yield (string) fread($stream, 1 << 20);
                }
            })());
        case '/upload-late': // reads when its client has left
            return new Response(200, [], (function () use ($request, $file) {
                try {
                    for (;;) {
                        yield "begun\n";
                        usleep(1000);
                    }
                } catch (StreamStopped) {
                }
                while (!file_exists($file)) {
                    clearstatcache();
                    usleep(1000);
                }
                try {
                    stream_get_contents($request->stream());
                } catch (RequestAborted) {
                    touch("$file.aborted");
                }
            })());
        case '/upload-abort':
            try {
                touch("$file.begun");
                stream_get_contents($request->stream());
            } catch (RequestAborted $aborted) {
                touch($file);
                throw $aborted;
            }

            return Response::text('whole');
        case '/upload-early':
            return Response::text('no, thanks', 403);
    }

    return Response::text('hello');
});
