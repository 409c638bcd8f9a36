<?php

declare(strict_types=1);

namespace RR\Laravel;

use Illuminate\Contracts\Http\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Http\Request;
use Illuminate\Http\UploadedFile;
use RR\Http\Globals;
use RR\Http\HttpWorker;
use RR\Http\Request as RawRequest;
use RR\ProtocolException;
use RR\RelayException;
use RR\Symfony\RequestFactory;
use RR\Symfony\ResponseSender;
use RR\Worker as Channel;

/**
 * Serves HTTP requests with a Laravel application that has booted once:
 *
 *     require __DIR__ . '/vendor/autoload.php';
 *     (new RR\Laravel\Worker(require __DIR__ . '/bootstrap/app.php'))->run();
 *
 * Each request gets a copy of the application (Sandbox), which is thrown away.
 */
final class Worker
{
    private readonly HttpWorker $http;
    private readonly ResponseSender $sender;

    public function __construct(private readonly Application $app, ?HttpWorker $http = null)
    {
        $this->http = $http ?? new HttpWorker();
        $this->sender = new ResponseSender($this->http);
        // The process is no console although it is PHP's CLI.
        $_ENV['APP_RUNNING_IN_CONSOLE'] = $_SERVER['APP_RUNNING_IN_CONSOLE'] = 'false';
        (function (): void {
            $this->isRunningInConsole = false;
        })->call($app);
    }

    /** Serves until the server says stop. */
    public function run(): void
    {
        $kernel = $this->app->make(Kernel::class);
        // Some providers ask for URLs while they boot.
        $this->app->instance('request', Request::create('http://localhost'));
        $kernel->bootstrap();
        $sandbox = new Sandbox($this->app, $kernel);
        while (($request = $this->http->waitRequest()) !== null) {
            $this->serve($request, $sandbox, $kernel);
            unset($request);
            Globals::clear();
            try {
                $sandbox->leave();
            } catch (\Throwable $e) {
                // What is left of this request must not see another one.
                Channel::log("rr: cannot reset the application: the worker ends: $e");
                exit(1);
            }
        }
    }

    private function serve(RawRequest $raw, Sandbox $sandbox, Kernel $kernel): void
    {
        try {
            Globals::set($raw);
            $request = self::request($raw, $this->http);
            $sandbox->enter($request);
            $response = $kernel->handle($request);
        } catch (\Throwable $e) {
            $this->http->fail($e);

            return;
        }
        try {
            $this->sender->send($response);
        } catch (\Throwable $e) {
            $this->http->fail($e);
        }
        try {
            $kernel->terminate($request, $response);
            // A route keeps its controller, and that what it was made with.
            $route = $request->route();
            if (is_object($route) && method_exists($route, 'flushController')) {
                $route->flushController();
            }
        } catch (ProtocolException | RelayException $e) {
            throw $e;
        } catch (\Throwable $e) {
            // The client has its answer.
            Channel::log("rr: uncaught in terminate() $e");
        }
    }

    private static function request(RawRequest $raw, HttpWorker $http): Request
    {
        $request = RequestFactory::create($raw, [HttpWorker::class => $http], Request::class, UploadedFile::class);
        if ($request->isJson()) {
            $request->request = $request->json();
        }

        return $request;
    }
}
