<?php

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use RR\Http\{HttpWorker, Request, Response};

(new HttpWorker())->run(
    static fn (Request $request): Response => new Response(200, ['Content-Type' => 'text/plain'], 'Hello, World!'),
);
