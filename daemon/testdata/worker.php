<?php

// The application of the daemon's tests. The path says what to do; files in the
// working folder are how it and a test wait for each other.

declare(strict_types=1);

require getenv('RR_PHP') . '/autoload.php';

use RR\Http\HttpWorker;
use RR\Http\Request;
use RR\Http\Response;

(new HttpWorker())->run(function (Request $request): Response {
    switch ($request->path()) {
        case '/pid':
            return Response::text((string) getmypid());
        case '/dir':
            return Response::text(getcwd());
        case '/env':
            return Response::json(getenv());
        case '/status':
            return Response::text(file_get_contents('/proc/self/status'));
        case '/tmp':
            return Response::text(sys_get_temp_dir());
        case '/write': // adds nothing to the file that the query names
            return Response::text(@file_put_contents(getcwd() . '/' . $request->queryString(), '', FILE_APPEND) === 0 ? 'written' : 'refused');
        case '/stderr':
            fwrite(STDERR, "line one\nline two\n");

            return Response::text('written');
        case '/shell': // runs the line in the file command
            return Response::text((string) shell_exec(file_get_contents('command')));
        case '/fail':
            exit(7);
        case '/slow': // ends when the test says go
            touch('slow');
            while (!file_exists('go')) {
                clearstatcache();
                usleep(2000);
            }

            return Response::text('slow answer');
        case '/hang':
            touch('hang');
            while (true) {
                usleep(10000);
            }
    }

    return Response::text('version one');
});
