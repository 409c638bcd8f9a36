<?php

declare(strict_types=1);

namespace RR\Laravel;

use Illuminate\Cache\ArrayStore;
use Illuminate\Container\Container;
use Illuminate\Contracts\Http\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Http\Request;
use Illuminate\Pagination\PaginationState;
use Illuminate\Support\Facades\Facade;

/**
 * The application of one request: a copy of the one that has booted. What a
 * request resolves for the first time, binds or configures stays in the copy and
 * ends with it. Services that the boot has resolved already are shared; they are
 * pointed to the copy and lose what they remember of a request.
 */
final class Sandbox
{
    /**
     * Shared services that know their application, by the names they have in the
     * container.
     */
    private const SHARED = [
        'auth', 'cache', 'db', 'events', 'filesystem', 'log', 'mail.manager', 'queue', 'router', 'session', 'validator', 'view',
        \Illuminate\Broadcasting\BroadcastManager::class,
        \Illuminate\Contracts\Auth\Access\Gate::class,
        \Illuminate\Contracts\Debug\ExceptionHandler::class,
        \Illuminate\Contracts\Pipeline\Hub::class,
        \Illuminate\Notifications\ChannelManager::class,
    ];

    /** What is made from the services of one request, and made again for the next. */
    private const MADE_AGAIN = [
        'auth.driver', 'session.store', 'redirect', \Illuminate\Contracts\Routing\ResponseFactory::class, 'cache.store', 'mailer',
    ];

    /** Resolved before the first request, so that connections, compiled views and the like are kept. */
    private const WARM = ['auth', 'cache', 'config', 'cookie', 'db', 'encrypter', 'events', 'files', 'hash', 'log', 'router', 'session', 'translator', 'url', 'validator', 'view'];

    /** Data that views share after the boot. @var array<string, mixed> */
    private readonly array $viewData;

    /** The URL that links lead to when there is no request. */
    private readonly string $home;

    private readonly string $locale;
    private readonly string $fallbackLocale;

    /** Sets a service's application. */
    private readonly \Closure $point;

    public function __construct(private readonly Application $app, private readonly Kernel $kernel)
    {
        foreach (self::WARM as $name) {
            if ($app->bound($name)) {
                $app->make($name);
            }
        }
        $this->viewData = $app->resolved('view') ? $app->make('view')->getShared() : [];
        $this->home = $app->make('config')->get('app.url') ?: 'http://localhost';
        $this->locale = $app->make('config')->get('app.locale', 'en');
        $this->fallbackLocale = $app->make('config')->get('app.fallback_locale', $this->locale);
        $this->point = function (Application $app): void {
            foreach (['app', 'container'] as $name) {
                if (($this->$name ?? null) instanceof Application) {
                    $this->$name = $app;
                }
            }
            if (($this->config ?? null) instanceof \Illuminate\Contracts\Config\Repository) {
                $this->config = $app->make('config');
            }
        };
    }

    public function enter(Request $request): void
    {
        $sandbox = clone $this->app;
        $sandbox->instance('app', $sandbox);
        $sandbox->instance(Container::class, $sandbox);
        $sandbox->instance('config', clone $this->app->make('config'));
        if ($this->app->resolved('url')) {
            $sandbox->instance('url', clone $this->app->make('url'));
        }
        foreach (self::MADE_AGAIN as $name) {
            $sandbox->forgetInstance($name);
        }
        if (method_exists($sandbox, 'forgetScopedInstances')) {
            $sandbox->forgetScopedInstances();
        }
        $this->use($sandbox);
        // Closures made at boot know the first application only.
        $this->app->instance('request', $request);
        $sandbox->instance('request', $request);
    }

    /** Ends the request: nothing may refer to it or to its application any more. */
    public function leave(): void
    {
        $this->forget();
        $this->app->instance('request', Request::create($this->home));
        $this->use($this->app);
    }

    private function use(Application $app): void
    {
        Container::setInstance($app);
        Facade::clearResolvedInstances();
        Facade::setFacadeApplication($app);
        foreach (self::SHARED as $name) {
            if ($this->app->resolved($name)) {
                $service = $this->app->make($name);
                $this->point->bindTo($service, $service)($app);
            }
        }
        $this->point->bindTo($this->kernel, $this->kernel)($app);
        if ($this->app->resolved('view')) {
            $app->make('view')->share('app', $app);
        }
        if (class_exists(PaginationState::class)) {
            PaginationState::resolveUsing($app);
        }
    }

    /** Makes the shared services forget what they know of the request. */
    private function forget(): void
    {
        $each = function (string $name, callable $forget): void {
            if ($this->app->resolved($name)) {
                $forget($this->app->make($name));
            }
        };
        $each('auth', static fn ($auth) => $auth->forgetGuards());
        $each('session', static fn ($session) => $session->forgetDrivers());
        $each('cookie', static fn ($cookies) => $cookies->flushQueuedCookies());
        $each('mail.manager', static fn ($mail) => $mail->forgetMailers());
        $each(\Illuminate\Notifications\ChannelManager::class, static fn ($channels) => $channels->forgetDrivers());
        $each('translator', function ($translator): void {
            if ($translator->getLocale() !== $this->locale) {
                // With its event, to which the calendar listens.
                $this->app->setLocale($this->locale);
            }
            $translator->setFallback($this->fallbackLocale);
        });
        $each('view', function ($view): void {
            $data = $this->viewData;
            (function () use ($data): void {
                $this->shared = $data;
            })->bindTo($view, $view)();
            $view->flushState();
        });
        $each('router', static fn ($router) => (function (): void {
            $this->current = $this->currentRequest = null;
        })->bindTo($router, $router)());
        $each('db', static function ($db): void {
            foreach ($db->getConnections() as $connection) {
                if ($connection->transactionLevel() > 0) {
                    \RR\Worker::log('rr: a transaction was left open: it is rolled back');
                    $connection->rollBack(0);
                }
                $connection->flushQueryLog();
                if (method_exists($connection, 'forgetRecordModificationState')) {
                    $connection->forgetRecordModificationState();
                }
            }
        });
        $each('cache', static fn ($cache) => (function (): void {
            foreach ($this->stores as $store) {
                if ($store->getStore() instanceof ArrayStore) {
                    $store->flush();
                }
            }
        })->bindTo($cache, $cache)());
        $each('log', static function ($log): void {
            if (method_exists($log, 'flushSharedContext')) {
                $log->flushSharedContext();
            }
            foreach ((fn (): array => $this->channels)->bindTo($log, $log)() as $channel) {
                if (method_exists($channel, 'withoutContext')) {
                    $channel->withoutContext();
                }
            }
        });
    }
}
