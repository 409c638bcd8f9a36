<?php

// Writes a line for each request into the file seen, before it answers.

declare(strict_types=1);

require getenv('RR_PHP') . '/autoload.php';

use RR\Http\HttpWorker;
use RR\Http\Request;
use RR\Http\Response;

(new HttpWorker())->run(function (Request $request): Response {
    $path = $request->path();
    $length = strlen($request->body());
    file_put_contents('seen', sprintf("%s %s %d\n", $request->method(), $path, $length), FILE_APPEND);

    return match ($path) {
        '/big' => new Response(200, [], str_repeat('0123456789abcdef', 1 << 16)),
        '/echo' => new Response(200, [], $request->body()),
        default => Response::text("$path $length of a worker in PHP\n"),
    };
});
