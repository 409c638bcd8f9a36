<?php

// The worker as RoadRunner's users write it: PSR-7 in between. symfony/
// psr-http-message-bridge is not in Debian; App\Psr7Bridge does the same work.

declare(strict_types=1);

require __DIR__ . '/autoload.php';
require '/usr/share/php/Nyholm/Psr7/autoload.php';

$kernel = new App\Kernel('prod', false);
$bridge = new App\Psr7Bridge(new Nyholm\Psr7\Factory\Psr17Factory());
$worker = new RR\Http\Psr7Worker();
while ($psr = $worker->waitRequest()) {
    try {
        $request = $bridge->request($psr);
        $response = $kernel->handle($request);
        $worker->respond($bridge->response($response));
        $kernel->terminate($request, $response);
    } catch (Throwable $e) {
        $worker->http->fail($e);
    }
}
