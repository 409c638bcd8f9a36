<?php

// Used by Psr7WorkerTest: argument 1 is the folder of the PSR-7 implementation
// below /usr/share/php, argument 2 "psr15" for a handler object.

declare(strict_types=1);

namespace Psr\Http\Server {
    interface RequestHandlerInterface
    {
        public function handle(\Psr\Http\Message\ServerRequestInterface $request): \Psr\Http\Message\ResponseInterface;
    }
}

namespace {
    use Psr\Http\Message\ResponseInterface;
    use Psr\Http\Message\ServerRequestInterface;
    use Psr\Http\Server\RequestHandlerInterface;

    require __DIR__ . '/../../autoload.php';
    require '/usr/share/php/' . getenv('PSR7') . '/autoload.php';

    $response = 'Nyholm/Psr7' === getenv('PSR7') ? Nyholm\Psr7\Response::class : GuzzleHttp\Psr7\Response::class;
    $handler = new class ($response) implements RequestHandlerInterface {
        public function __construct(private readonly string $response)
        {
        }

        public function handle(ServerRequestInterface $request): ResponseInterface
        {
            return match ($request->getUri()->getPath()) {
                '/class' => new $this->response(200, [], $request::class),
                '/cookies' => (new $this->response(404))->withAddedHeader('Set-Cookie', 'a=1')->withAddedHeader('Set-Cookie', 'b=2'),
                '/echo' => new $this->response(200, [], $request->getBody()),
                '/large' => new $this->response(200, ['X-Large' => 'yes'], str_repeat('0123456789abcdef', 1 << 17)),
                '/pipe' => new $this->response(200, [], popen('printf piped', 'r')),
                '/upload' => new $this->response(200, [], (string) $request->getUploadedFiles()['f']->getStream()),
                '/move' => new $this->response(200, [], $this->move($request)),
                '/endless' => new $this->response(200, [], popen('exec yes', 'r')),
                '/file' => new $this->response(200, ['X-Sendfile' => getenv('TEST_DIR') . '/file.bin']),
                '/who' => new $this->response(200, [], json_encode([$request->getCookieParams(), $request->getQueryParams(), $request->getParsedBody(), $request->getAttributes(), $request->getServerParams()['HTTP_X_USER'] ?? null])),
                '/form' => new $this->response(200, [], json_encode($request->getParsedBody())),
                '/throw' => throw new DomainException('secret reason'),
            };
        }

        private function move(ServerRequestInterface $request): string
        {
            $request->getUploadedFiles()['doc']->moveTo($path = getenv('TEST_DIR') . '/moved');

            return sha1_file($path);
        }
    };
    (new RR\Http\Psr7Worker())->run(getenv('PSR15') ? $handler : $handler->handle(...));
}
