<?php

declare(strict_types=1);

require '/usr/share/php/RR/autoload.php';

use RR\Http\{HttpWorker, Request, Response};

(new HttpWorker())->run(function (Request $request): Response {
    if ($request->path() === '/slow') {
        usleep(300_000);
    }
    if ($request->path() === '/log') {
        fwrite(STDERR, "hello from the worker\n");
    }
    if ($request->path() === '/pid') {
        return new Response(200, [], (string) getmypid());
    }
    return new Response(200, ['Content-Type' => 'text/plain'], "release 1");
});
