<?php

// The front controller of php-fpm and of rrd: with APP_RUNTIME=RR\Symfony\Runtime
// this same file is the worker.

use App\Kernel;

require_once dirname(__DIR__) . '/autoload_runtime.php';

return static fn (array $context): Kernel => new Kernel($context['APP_ENV'], (bool) $context['APP_DEBUG']);
