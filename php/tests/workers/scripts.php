<?php

// Used by ScriptWorkerTest: the worker of the plain scripts in scripts/.

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

$setting = 'of the worker';
foreach (new RR\Http\ScriptWorker(__DIR__ . '/scripts') as $script) {
    try {
        require $script;
    } catch (Throwable $e) {
        RR\Http\ScriptWorker::failed($e);
    }
}
