<?php

// Used by LaravelTest: a small application as laravel/laravel lays it out, in one
// file, its folders in TEST_DIR.

declare(strict_types=1);

namespace RR\Tests\Laravel;

use Illuminate\Auth\GenericUser;
use Illuminate\Contracts\Auth\Authenticatable;
use Illuminate\Contracts\Auth\UserProvider;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Http\Kernel as HttpKernel;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\App;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Facades\Cookie;
use Illuminate\Support\Facades\Route;
use Illuminate\Support\Facades\URL;
use Illuminate\Support\Facades\View;
use Illuminate\Support\ServiceProvider;
use RR\Worker as Channel;

// Debian's packages find each other through the include path; some of them are
// older than PHP 8.2 and are deprecated here and there.
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
require __DIR__ . '/../../autoload.php';
require '/usr/share/php/Illuminate/autoload.php';

/** A service that remembers. */
final class Basket
{
    /** @var list<string> */
    public array $items = [];
}

final class Users implements UserProvider
{
    public function retrieveById($identifier)
    {
        return new GenericUser(['id' => $identifier, 'name' => "user $identifier", 'password' => '', 'remember_token' => null]);
    }

    public function retrieveByToken($identifier, $token)
    {
        return null;
    }

    public function updateRememberToken(Authenticatable $user, $token)
    {
    }

    public function retrieveByCredentials(array $credentials)
    {
        return null;
    }

    public function validateCredentials(Authenticatable $user, array $credentials)
    {
        return false;
    }
}

final class AppServiceProvider extends ServiceProvider
{
    public function register(): void
    {
        $this->app->singleton(Basket::class);
        $this->app->scoped('scoped.basket', static fn () => new Basket());
    }

    public function boot(): void
    {
        Auth::provider('plain', static fn () => new Users());
        View::share('shop', 'The shop');
    }
}

final class Controller
{
    /** @var list<string> */
    private array $seen = [];

    public function __construct(private Request $made)
    {
    }

    public function seen(Request $request)
    {
        $this->seen[] = $request->query('name', '');

        return ['seen' => $this->seen, 'made' => $this->made === $request];
    }
}

final class Late
{
    public function handle($request, $next)
    {
        return $next($request);
    }

    public function terminate($request, $response): void
    {
        if ($request->is('late')) {
            while (!is_file(getenv('TEST_DIR') . '/go')) {
                usleep(1000);
            }
            touch(getenv('TEST_DIR') . '/done');
        }
        if ($request->is('late-throws')) {
            throw new \DomainException('from terminate');
        }
    }
}

final class Kernel extends HttpKernel
{
    protected $middleware = [Late::class];
    protected $middlewareGroups = ['web' => [
        \Illuminate\Cookie\Middleware\EncryptCookies::class,
        \Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
        \Illuminate\Session\Middleware\StartSession::class,
        \Illuminate\View\Middleware\ShareErrorsFromSession::class,
    ]];
}

final class Routes extends ServiceProvider
{
    public function boot(): void
    {
        Route::middleware('web')->group(static function (): void {
            Route::get('/hello', static fn (Request $request) => response("hello {$request->query('name')}", 201, ['X-One' => 'a'])->cookie('first', '1'));
            Route::any('/request', static fn (Request $request) => [
                'method' => $request->method(), 'url' => $request->fullUrl(), 'input' => $request->all(), 'content' => $request->getContent(),
                'ip' => $request->ip(), 'globals' => [$_GET, $_POST], 'same' => request() === $request && app('request') === $request, 'console' => app()->runningInConsole(),
            ]);
            Route::post('/upload', static function (Request $request) {
                $file = $request->file('doc');
                $result = ['title' => $request->input('title'), 'name' => $file->getClientOriginalName(), 'valid' => $file->isValid()];
                $moved = $file->move(getenv('TEST_DIR') . '/moved', 'doc.bin');

                return $result + ['size' => $moved->getSize(), 'sha1' => sha1_file($moved->getPathname())];
            });
            Route::get('/login/{id}', static function (string $id) {
                Auth::loginUsingId($id);
                session(['basket' => "of $id"]);
                app(Basket::class)->items[] = $id;
                app('scoped.basket')->items[] = $id;
                config(['app.name' => "shop of $id"]);
                App::setLocale('fr');
                URL::forceRootUrl('http://other.local');
                View::share('user', $id);
                Cookie::queue('queued', $id);
                app()->instance('left.over', $id);
                \Illuminate\Support\Facades\Cache::store('array')->put('left', $id);

                return 'welcome';
            });
            Route::get('/me', static fn () => [
                'auth' => Auth::user()?->name, 'check' => Auth::check(), 'basket' => session('basket'), 'items' => app(Basket::class)->items, 'scoped' => app('scoped.basket')->items,
                'name' => config('app.name'), 'locale' => App::getLocale(), 'trans' => app('translator')->getLocale(), 'url' => url('/x'), 'shared' => array_keys(array_diff_key(View::getShared(), ['__env' => 1, 'app' => 1, 'errors' => 1])),
                'app' => View::getShared()['app'] === app() && app() === app('app') && Auth::getFacadeApplication() === app(),
                'bound' => app()->bound('left.over'), 'cached' => \Illuminate\Support\Facades\Cache::store('array')->get('left'),
            ]);
            Route::get('/seen', [Controller::class, 'seen']);
            Route::get('/view', static fn () => view('page', ['name' => '<b>']));
            Route::get('/stream', static fn () => response()->stream(static function (): void {
                try {
                    while (true) {
                        echo str_repeat('x', 1000);
                    }
                } finally {
                    Channel::log('the stream was cleaned up');
                }
            }));
            Route::get('/events', static fn () => response()->stream(static function (): void {
                echo "data: one\n\n";
                while (!is_file(getenv('TEST_DIR') . '/go')) {
                    usleep(1000);
                }
                echo "data: two\n\n";
            }, 200, ['Content-Type' => 'text/event-stream']));
            Route::get('/file', static fn () => response()->download(getenv('TEST_DIR') . '/file.bin', 'data.bin'));
            Route::get('/throw', static fn () => throw new \DomainException('secret reason'));
            Route::get('/missing', static fn () => abort(404));
            Route::get('/late', static fn () => 'before terminate');
            Route::get('/late-throws', static fn () => 'before terminate');
        });
    }
}

$dir = getenv('TEST_DIR');
foreach (['config', 'bootstrap/cache', 'storage/framework/views', 'storage/framework/sessions', 'storage/logs', 'resources/views', 'lang'] as $folder) {
    is_dir("$dir/$folder") || mkdir("$dir/$folder", 0777, true);
}
$config = static fn (string $name, array $value): int|false => file_put_contents("$dir/config/$name.php", '<?php return ' . var_export($value, true) . ';');
$config('app', [
    'name' => 'shop', 'env' => 'production', 'debug' => false, 'url' => 'http://shop.local', 'timezone' => 'UTC', 'locale' => 'en', 'fallback_locale' => 'en',
    'key' => str_repeat('k', 32), 'cipher' => 'AES-256-CBC', 'aliases' => [],
    'providers' => [
        \Illuminate\Auth\AuthServiceProvider::class, \Illuminate\Cache\CacheServiceProvider::class, \Illuminate\Cookie\CookieServiceProvider::class,
        \Illuminate\Encryption\EncryptionServiceProvider::class, \Illuminate\Filesystem\FilesystemServiceProvider::class, \Illuminate\Foundation\Providers\FoundationServiceProvider::class,
        \Illuminate\Hashing\HashServiceProvider::class, \Illuminate\Pagination\PaginationServiceProvider::class, \Illuminate\Pipeline\PipelineServiceProvider::class,
        \Illuminate\Session\SessionServiceProvider::class, \Illuminate\Translation\TranslationServiceProvider::class, \Illuminate\Validation\ValidationServiceProvider::class,
        \Illuminate\View\ViewServiceProvider::class, AppServiceProvider::class, Routes::class,
    ],
]);
$config('auth', ['defaults' => ['guard' => 'web', 'passwords' => 'users'], 'guards' => ['web' => ['driver' => 'session', 'provider' => 'users']], 'providers' => ['users' => ['driver' => 'plain']]]);
$config('session', ['driver' => 'file', 'lifetime' => 120, 'expire_on_close' => false, 'encrypt' => false, 'files' => "$dir/storage/framework/sessions", 'lottery' => [0, 100], 'cookie' => 'laravel', 'path' => '/', 'domain' => null, 'secure' => false, 'http_only' => true, 'same_site' => 'lax']);
$config('cache', ['default' => 'array', 'stores' => ['array' => ['driver' => 'array']], 'prefix' => 't']);
$config('view', ['paths' => ["$dir/resources/views"], 'compiled' => "$dir/storage/framework/views"]);
$config('logging', ['default' => 'stderr', 'channels' => ['stderr' => ['driver' => 'monolog', 'handler' => \Monolog\Handler\StreamHandler::class, 'with' => ['stream' => 'php://stderr']]]]);
file_put_contents("$dir/resources/views/page.blade.php", '{{ $shop }}: {{ $name }} {{ isset($user) ? $user : "nobody" }}');

$app = new Application($dir);
$app->singleton(\Illuminate\Contracts\Http\Kernel::class, Kernel::class);
$app->singleton(\Illuminate\Contracts\Debug\ExceptionHandler::class, \Illuminate\Foundation\Exceptions\Handler::class);

(new \RR\Laravel\Worker($app))->run();
