<?php

declare(strict_types=1);

namespace RR\Symfony;

use RR\Http\Globals;
use RR\Http\HttpWorker;
use RR\Http\Request as RawRequest;
use RR\ProtocolException;
use RR\RelayException;
use RR\Worker;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\RequestStack;
use Symfony\Component\HttpFoundation\StreamedResponse;
use Symfony\Component\HttpKernel\EventListener\StreamedResponseListener;
use Symfony\Component\HttpKernel\HttpCache\HttpCache;
use Symfony\Component\HttpKernel\HttpKernelInterface;
use Symfony\Component\HttpKernel\KernelEvents;
use Symfony\Component\HttpKernel\KernelInterface;
use Symfony\Component\HttpKernel\RebootableInterface;
use Symfony\Component\HttpKernel\TerminableInterface;

/**
 * Serves HTTP requests with a Symfony kernel:
 *
 *     (new RR\Symfony\KernelWorker(new App\Kernel('prod', false)))->run();
 *
 * The order of a request is that of php-fpm: handle, send, terminate, and then
 * what belongs to the request is thrown away: superglobals, session, the state
 * of the services (services_resetter).
 */
final class KernelWorker
{
    /** When the kernel is rebooted, that is: starts again with a new container. */
    public const REBOOT_NEVER = 'never';
    public const REBOOT_UNCAUGHT = 'uncaught';
    public const REBOOT_ALWAYS = 'always';

    private readonly HttpWorker $http;
    private readonly ResponseSender $sender;

    /** The kernel itself when HttpCache is around it. */
    private readonly ?KernelInterface $kernel;

    /** Where a streamed response looks for its request, if it is up to us to put it there. */
    private ?RequestStack $stack = null;

    /** framework.trusted_proxies when REMOTE_ADDR is among them. @var list<string> */
    private array $proxies = [];

    /**
     * @param string $reboot REBOOT_UNCAUGHT: after an exception that Symfony could
     *        not make a response of
     */
    public function __construct(
        private readonly HttpKernelInterface $application,
        ?HttpWorker $http = null,
        private readonly string $reboot = self::REBOOT_UNCAUGHT,
    ) {
        if (!in_array($reboot, [self::REBOOT_NEVER, self::REBOOT_UNCAUGHT, self::REBOOT_ALWAYS], true)) {
            throw new \InvalidArgumentException("kernel_reboot is \"$reboot\": want never, uncaught or always");
        }
        $this->http = $http ?? new HttpWorker();
        $this->sender = new ResponseSender($this->http);
        $inner = $application instanceof HttpCache ? $application->getKernel() : $application;
        $this->kernel = $inner instanceof KernelInterface ? $inner : null;
    }

    /** Serves until the server says stop. */
    public function run(): void
    {
        // Booted before the first request, so that nothing of it is taken for the process's own.
        if ($this->kernel !== null) {
            $this->kernel->boot();
            $this->booted();
        }
        while (($request = $this->http->waitRequest()) !== null) {
            $broken = !$this->serve($request);
            unset($request);
            $this->reset($broken);
        }
    }

    /** @return bool whether the kernel answered */
    private function serve(RawRequest $raw): bool
    {
        try {
            Globals::set($raw);
            $request = RequestFactory::create($raw, [HttpWorker::class => $this->http]);
            if ($this->proxies !== []) {
                // Symfony looks for REMOTE_ADDR once, at boot.
                Request::setTrustedProxies($this->proxies, Request::getTrustedHeaderSet());
            }
            $response = $this->application->handle($request);
        } catch (\Throwable $e) {
            $this->http->fail($e);

            return false;
        }
        try {
            if ($this->stack !== null && $response instanceof StreamedResponse) {
                $this->stack->push($request);
            }
            $this->sender->send($response);
        } catch (\Throwable $e) {
            $this->http->fail($e);
        } finally {
            $this->stack?->pop();
        }
        if ($this->application instanceof TerminableInterface) {
            try {
                $this->application->terminate($request, $response);
            } catch (ProtocolException | RelayException $e) {
                throw $e;
            } catch (\Throwable $e) {
                // The client has its answer.
                Worker::log("rr: uncaught in terminate() $e");
            }
        }

        return true;
    }

    private function reset(bool $broken): void
    {
        Globals::clear();
        if ($this->kernel === null) {
            return;
        }
        try {
            if (($this->reboot === self::REBOOT_ALWAYS || $broken && $this->reboot === self::REBOOT_UNCAUGHT) && $this->kernel instanceof RebootableInterface) {
                $this->kernel->reboot(null);
                $this->booted();
            } else {
                // Of a kernel that has booted it resets the services.
                $this->kernel->boot();
            }
        } catch (\Throwable $e) {
            // Services in an unknown state must not see another request.
            Worker::log("rr: cannot reset the services: the worker ends: $e");
            exit(1);
        }
    }

    /** What has to be known of, or changed in, a new container. */
    private function booted(): void
    {
        $container = $this->kernel->getContainer();
        $proxies = $container->hasParameter('kernel.trusted_proxies') ? $container->getParameter('kernel.trusted_proxies') : [];
        $proxies = array_map('trim', is_array($proxies) ? $proxies : explode(',', (string) $proxies));
        $this->proxies = in_array('REMOTE_ADDR', $proxies, true) ? $proxies : [];

        // Before 6.1 this listener prints a streamed response while the kernel is
        // still handling the request, which would end in the log.
        $this->stack = null;
        $dispatcher = $container->has('event_dispatcher') ? $container->get('event_dispatcher') : null;
        foreach ($dispatcher?->getListeners(KernelEvents::RESPONSE) ?? [] as $listener) {
            if (is_array($listener) && $listener[0] instanceof StreamedResponseListener) {
                $dispatcher->removeListener(KernelEvents::RESPONSE, $listener);
                $this->stack = $container->has('request_stack') ? $container->get('request_stack') : null;
            }
        }
    }
}
