<?php

// Used by ScriptWorkerTest: the worker of the plain scripts in scripts/.

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

$worker = new RR\Http\ScriptWorker(__DIR__ . '/scripts');
while ($script = $worker->next()) {
    try {
        require $script;
    } catch (Throwable $e) {
        $worker->fail($e);
    }
}
