<?php

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';
require __DIR__ . '/application.php';

use RR\Http\{HttpWorker, Request, Response};

(new HttpWorker())->run(static function (Request $request): Response {
    [$fields, $body] = application(
        $request->path(),
        ['accept-language' => $request->header('accept-language') ?? ''],
        $request->cookies(),
        static fn (): string => $request->body(),
    );

    return new Response(200, $fields, $body);
});
