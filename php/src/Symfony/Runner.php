<?php

declare(strict_types=1);

namespace RR\Symfony;

use RR\Http\HttpWorker;
use Symfony\Component\HttpKernel\HttpKernelInterface;
use Symfony\Component\Runtime\RunnerInterface;

/** Runs a kernel as a worker, for symfony/runtime. */
final class Runner implements RunnerInterface
{
    public function __construct(
        private readonly HttpKernelInterface $kernel,
        private readonly HttpWorker $http,
        private readonly string $reboot,
    ) {
    }

    public function run(): int
    {
        (new KernelWorker($this->kernel, $this->http, $this->reboot))->run();

        return 0;
    }
}
