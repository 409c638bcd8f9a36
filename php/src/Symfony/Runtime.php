<?php

declare(strict_types=1);

namespace RR\Symfony;

use RR\Http\HttpWorker;
use Symfony\Component\HttpKernel\HttpKernelInterface;
use Symfony\Component\Runtime\RunnerInterface;
use Symfony\Component\Runtime\SymfonyRuntime;

/**
 * The runtime for symfony/runtime: with APP_RUNTIME=RR\Symfony\Runtime the
 * application's public/index.php, unchanged, is a worker. Started otherwise (a
 * web server, bin/console) it is Symfony's own runtime.
 *
 * Options beside Symfony's: "kernel_reboot" (never, uncaught, always; or the
 * variable APP_KERNEL_REBOOT), see KernelWorker.
 */
class Runtime extends SymfonyRuntime
{
    private readonly ?HttpWorker $http;

    /** @param array<string, mixed> $options */
    public function __construct(array $options = [])
    {
        // First of all, so that nothing that the application prints at its start
        // damages the channel.
        $this->http = \PHP_SAPI === 'cli' && getenv('RR_MODE') === 'http' ? new HttpWorker() : null;
        if ($this->http !== null) {
            // Symfony 6.4 and later: errors are shown as pages, not as text for a terminal.
            $_SERVER['APP_RUNTIME_MODE'] ??= $_ENV['APP_RUNTIME_MODE'] ??= 'web=1&worker=1';
        }
        $options['kernel_reboot'] ??= $_SERVER['APP_KERNEL_REBOOT'] ?? $_ENV['APP_KERNEL_REBOOT'] ?? KernelWorker::REBOOT_UNCAUGHT;
        parent::__construct($options);
    }

    public function getRunner(?object $application): RunnerInterface
    {
        if ($this->http !== null && $application instanceof HttpKernelInterface) {
            return new Runner($application, $this->http, $this->options['kernel_reboot']);
        }

        return parent::getRunner($application);
    }
}
