<?php

// Used by SymfonyTest: a kernel with a route for each thing that a bridge must do
// right, behind symfony/runtime as a public/index.php would be.

declare(strict_types=1);

namespace RR\Tests\Symfony;

use RR\Http\HttpWorker;
use RR\Worker;
use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\EventDispatcher\EventSubscriberInterface;
use Symfony\Component\HttpFoundation\BinaryFileResponse;
use Symfony\Component\HttpFoundation\Cookie;
use Symfony\Component\HttpFoundation\File\UploadedFile;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\RequestStack;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpFoundation\StreamedResponse;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;
use Symfony\Contracts\Service\ResetInterface;

require __DIR__ . '/../../autoload.php';
foreach (['Bundle/FrameworkBundle', 'Component/Runtime', 'Component/Yaml'] as $package) {
    require_once "/usr/share/php/Symfony/$package/autoload.php";
}

/** A service that remembers, as a security token storage or an entity manager does. */
final class Memory implements ResetInterface
{
    public ?string $user = null;

    public function reset(): void
    {
        $this->user = null;
    }
}

final class Listener implements EventSubscriberInterface
{
    public static function getSubscribedEvents(): array
    {
        return ['kernel.terminate' => 'terminate', 'kernel.exception' => ['exception', 100]];
    }

    public function terminate($event): void
    {
        $dir = getenv('TEST_DIR');
        switch ($event->getRequest()->getPathInfo()) {
            case '/terminate':
                while (!is_file("$dir/go")) {
                    usleep(1000);
                }
                touch("$dir/done");
                break;
            case '/terminate-throws':
                throw new \DomainException('from terminate');
        }
    }

    public function exception($event): void
    {
        if ($event->getRequest()->getPathInfo() === '/escape') {
            throw new \DomainException('the error page itself is broken');
        }
    }
}

final class Kernel extends BaseKernel
{
    use MicroKernelTrait;

    private int $boots = 0;

    public function registerBundles(): iterable
    {
        yield new FrameworkBundle();
    }

    public function getProjectDir(): string
    {
        return (string) getenv('TEST_DIR');
    }

    public function boot()
    {
        if (!$this->booted) {
            ++$this->boots;
        }
        parent::boot();
    }

    private function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', [
            'secret' => 'x',
            'test' => false,
            'annotations' => false,
            'http_method_override' => false,
            'session' => ['storage_factory_id' => 'session.storage.factory.native', 'save_path' => getenv('TEST_DIR') . '/sessions', 'cookie_samesite' => 'lax', 'cookie_secure' => 'auto'],
            'router' => ['utf8' => true],
            'trusted_proxies' => getenv('TRUSTED') ?: '10.0.0.1',
            'trusted_headers' => ['x-forwarded-for', 'x-forwarded-proto'],
            'php_errors' => ['log' => true],
        ]);
        $container->services()->defaults()->autowire()->autoconfigure()
            ->set(Memory::class)->public()
            ->set(Listener::class);
    }

    private function configureRoutes(RoutingConfigurator $routes): void
    {
        foreach (['hello', 'request', 'upload', 'login', 'me', 'leave-open', 'stream', 'events', 'file', 'once', 'throw', 'escape', 'terminate', 'terminate-throws', 'ip', 'hints', 'trailers', 'content', 'boots', 'unbuffered', 'memory'] as $name) {
            $routes->add($name, "/$name")->controller([$this, lcfirst(str_replace('-', '', ucwords($name, '-'))) . 'Action']);
        }
    }

    public function helloAction(Request $request): Response
    {
        echo 'printed by a controller';
        $response = new Response('hello ' . $request->query->get('name', 'world'), 201, ['X-One' => 'a', 'X-Many' => ['b', 'c']]);
        $response->headers->setCookie(Cookie::create('first', '1 2'));
        $response->headers->setCookie(Cookie::create('second', '2'));

        return $response;
    }

    public function unbufferedAction(Request $request): Response
    {
        $request->getSession()->get('user');
        while (ob_get_level()) {
            ob_end_clean();
        }
        echo 'a download';

        return new Response();
    }

    public function memoryAction(): Response
    {
        ini_set('memory_limit', '64M');

        return new Response(str_repeat('x', 1 << 30));
    }

    public function requestAction(Request $request): Response
    {
        return new JsonResponse([
            'method' => $request->getMethod(),
            'uri' => $request->getUri(),
            'path' => $request->getPathInfo(),
            'base' => $request->getBaseUrl(),
            'query' => $request->query->all(),
            'form' => $request->request->all(),
            'cookies' => $request->cookies->all(),
            'type' => $request->headers->get('Content-Type'),
            'user' => $request->getUser(),
            'content' => $request->getContent(),
            'globals' => [$_GET, $_POST, $_COOKIE, $_SERVER['REQUEST_URI']],
            'ip' => $request->getClientIp(),
        ]);
    }

    public function uploadAction(Request $request): Response
    {
        $file = $request->files->get('doc');
        $result = ['title' => $request->request->get('title'), 'files' => array_map(static fn (?UploadedFile $f) => $f?->getClientOriginalName(), $request->files->all())];
        if ($file instanceof UploadedFile) {
            $result += ['name' => $file->getClientOriginalName(), 'type' => $file->getClientMimeType(), 'valid' => $file->isValid(), 'error' => $file->getError()];
            $moved = $file->move(getenv('TEST_DIR') . '/moved', 'doc.bin');
            $result += ['size' => $moved->getSize(), 'sha1' => sha1_file($moved->getPathname())];
        }

        return new JsonResponse($result);
    }

    public function loginAction(Request $request): Response
    {
        $user = $request->query->get('user');
        $request->getSession()->set('user', $user);
        $this->container->get(Memory::class)->user = $user;

        return new Response("welcome $user");
    }

    public function meAction(Request $request, RequestStack $stack): Response
    {
        return new JsonResponse([
            'session' => $request->getSession()->get('user'),
            'memory' => $this->container->get(Memory::class)->user,
            'php' => $_SESSION['_sf2_attributes']['user'] ?? null,
            'stack' => $stack->getMainRequest() === $request && $stack->getParentRequest() === null,
        ]);
    }

    /** A session begun by hand and forgotten. */
    public function leaveOpenAction(): Response
    {
        session_start();
        $_SESSION['_sf2_attributes'] = ['user' => 'forgotten'];

        return new Response(session_id());
    }

    public function streamAction(): Response
    {
        return new StreamedResponse(static function (): void {
            try {
                while (true) {
                    echo str_repeat('x', 1000);
                }
            } finally {
                Worker::log('the stream was cleaned up');
            }
        });
    }

    public function eventsAction(RequestStack $stack): Response
    {
        return new StreamedResponse(static function () use ($stack): void {
            echo "data: one {$stack->getCurrentRequest()?->getPathInfo()}\n\n";
            flush();
            while (!is_file(getenv('TEST_DIR') . '/go')) {
                usleep(1000);
            }
            echo "data: two\n\n";
            flush();
        }, 200, ['Content-Type' => 'text/event-stream']);
    }

    public function fileAction(Request $request): Response
    {
        $response = new BinaryFileResponse($request->query->get('outside') ? __FILE__ : getenv('TEST_DIR') . '/file.bin', 200, ['Content-Type' => 'application/x-test'], true, null, true);
        $response->setContentDisposition('attachment', 'größe.bin', 'size.bin');

        return $response;
    }

    public function onceAction(): Response
    {
        file_put_contents($path = getenv('TEST_DIR') . '/once', 'once only');

        return (new BinaryFileResponse($path, 200, ['Content-Type' => 'text/plain']))->deleteFileAfterSend();
    }

    public function throwAction(): Response
    {
        throw new \DomainException('secret reason');
    }

    public function escapeAction(): Response
    {
        throw new \DomainException('first');
    }

    public function terminateAction(): Response
    {
        return new Response('before terminate');
    }

    public function terminateThrowsAction(): Response
    {
        return new Response('before terminate');
    }

    public function ipAction(Request $request): Response
    {
        return new Response($request->getClientIp() . ' ' . $request->getScheme());
    }

    public function hintsAction(Request $request): Response
    {
        $request->attributes->get(HttpWorker::class)->earlyHints(['Link' => '</app.css>; rel=preload; as=style']);

        return new Response('hinted');
    }

    public function trailersAction(): Response
    {
        return new Response('body', 200, ['Trailer' => 'X-Sum', 'X-Sum' => 'abc']);
    }

    public function contentAction(Request $request): Response
    {
        $in = $request->getContent(true);
        $hash = hash_init('sha1');
        $size = hash_update_stream($hash, $in);

        return new JsonResponse([$size, hash_final($hash)]);
    }

    public function bootsAction(): Response
    {
        return new JsonResponse($this->boots);
    }
}

$app = static function (array $context): Kernel {
    echo "printed while the application boots\n";

    return new Kernel($context['APP_ENV'], (bool) $context['APP_DEBUG']);
};
$runtime = new \RR\Symfony\Runtime(['project_dir' => __DIR__, 'disable_dotenv' => true, 'env' => 'prod']);
[$app, $args] = $runtime->getResolver($app)->resolve();
exit($runtime->getRunner($app(...$args))->run());
