<?php

// Used by HttpWorkerTest: the path says what to do.

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

use RR\Http\Globals;
use RR\Http\HttpWorker;
use RR\Http\Request;
use RR\Http\Response;
use RR\Http\StreamStopped;
use RR\Worker;

$http = new HttpWorker();
if (getenv('UNBUFFERED')) {
    if (getenv('UNBUFFERED') === 'session') {
        session_id('jane');
    }
    while (ob_get_level()) {
        ob_end_clean();
    }
    echo 'printed before the first request';
}
$http->run(function (Request $request, HttpWorker $http) {
    switch ($request->path()) {
        case '/':
            return Response::text('hello', 201, ['X-Many' => ['a', 'b'], 'X-Number' => 5]);
        case '/string':
            return '<p>hello';
        case '/empty':
            return new Response(204);
        case '/echo':
            return new Response(200, [], $request->body());
        case '/request':
            return Response::json([
                'method' => $request->method(),
                'uri' => $request->uri(),
                'query' => $request->query(),
                'headers' => $request->headers(),
                'cookies' => $request->cookies(),
                'form' => $request->form(),
                'uploads' => $request->uploads(),
                'attributes' => $request->attributes(),
                'remoteAddr' => $request->remoteAddr(),
                'protocol' => $request->protocolVersion(),
            ]);
        case '/globals':
            Globals::set($request);
            $_SESSION = ['left' => 'over'];
            $_SERVER['LEFT'] = 'over';

            return Response::json(['get' => $_GET, 'post' => $_POST, 'cookie' => $_COOKIE, 'files' => $_FILES, 'request' => $_REQUEST, 'server' => $_SERVER]);
        case '/session':
            Globals::set($request);

            return Response::json([isset($_SESSION), isset($_SERVER['LEFT'])]);
        case '/session-id':
            Globals::set($request);

            return session_id();
        case '/unbuffered':
            while (ob_get_level()) {
                ob_end_clean();
            }
            echo 'past the buffers';

            return 'printed';
        case '/php-session':
            Globals::set($request);
            session_start();
            $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
            if (isset($_GET['close'])) {
                session_write_close();
            }

            return Response::json([session_id(), $_SESSION['visits']]);
        case '/throw':
            throw new DomainException('secret reason');
        case '/bad-status':
            return new Response(42);
        case '/nothing':
            return null;
        case '/generator':
            return new Response(200, ['X-Stream' => 'yes'], (function () {
                yield 'one';
                yield '';
                yield 'two';

                return 'ignored';
            })());
        case '/iterator':
            return new Response(200, [], new ArrayIterator(['one', 'two']));
        case '/list':
            return new Response(200, [], ['one', 'two']);
        case '/file':
            return new Response(200, [], fopen(__FILE__, 'rb'));
        case '/closure':
            return new Response(200, [], function () {
                echo 'one';
                ob_flush();
                echo 'two';
                ob_flush();
                flush();
                echo str_repeat('x', 9000);
                echo 'end';
            });
        case '/no-chunk':
            return new Response(200, ['X-Stream' => 'yes'], (fn () => yield from [])());
        case '/throw-early':
            return new Response(200, [], (function () {
                throw new DomainException('before the first chunk');
                yield;
            })());
        case '/throw-late':
            return new Response(200, [], (function () {
                yield 'one';
                throw new DomainException('after the first chunk');
            })());
        case '/throw-closure':
            return new Response(200, [], function () {
                echo 'one';
                ob_flush();
                throw new DomainException('from the closure');
            });
        case '/endless':
            return new Response(200, [], (function () {
                try {
                    for ($i = 0; ; ++$i) {
                        yield "chunk $i\n";
                    }
                } catch (StreamStopped $stopped) {
                    Worker::log("stopped: {$stopped->getMessage()}");
                } finally {
                    Worker::log('cleaned up');
                }
            })());
        case '/endless-uncaught':
            return new Response(200, [], (function () {
                while (true) {
                    yield 'chunk';
                }
            })());
        case '/endless-list':
            return new Response(200, [], new InfiniteIterator(new ArrayIterator(['chunk'])));
        case '/endless-closure':
            return new Response(200, [], function () {
                try {
                    while (true) {
                        echo 'chunk';
                        ob_flush();
                    }
                } finally {
                    Worker::log('closure cleaned up');
                }
            });
        case '/trailers':
            return new Response(200, [], 'body', ['X-Sum' => 'abc', 'X-Other' => ['d']]);
        case '/hints':
            $http->earlyHints(['Link' => '</app.css>; rel=preload']);
            $http->earlyHints(['Link' => ['</a.js>', '</b.js>']]);

            return Response::text('hello');
        case '/hints-wrong':
            $http->earlyHints([], 200);

            return '';
        case '/arriving':
            $in = $request->stream();
            $read = [];
            while (!feof($in)) {
                $read[] = (string) fread($in, 4);
            }

            return Response::json([$request->isArriving(), $read, $request->stream() === $in]);
        case '/arriving-whole':
            return new Response(200, [], $request->body() . '|' . $request->body());
        case '/aborted':
            while (!$http->aborted()) {
                usleep(100);
            }

            return Response::text('nobody reads this');
        case '/served':
            return (string) $http->served();
        case '/bytes':
            return new Response(200, ['X-Latin' => "caf\xE9", 'X-Utf8' => 'café'], '');
        default:
            return Response::redirect('/', 303);
    }
});
