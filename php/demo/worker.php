<?php

declare(strict_types=1);

// The demonstration that `make run` serves. Try the links on its first page.

require __DIR__ . '/../autoload.php';

use RR\Http\HttpWorker;
use RR\Http\Request;
use RR\Http\Response;
use RR\Http\StreamStopped;
use RR\Log;
use RR\Rpc\Client;

$http = new HttpWorker();
$started = time();
$leaked = [];

$http->run(function (Request $request) use ($http, $started, &$leaked): Response {
    switch ($request->path()) {
        case '/':
            return page('rrd is running', index($http, $started));

        case '/hello':
            return Response::text('Hello, ' . ($request->query()['name'] ?? 'world') . "!\n");

        case '/json':
            return Response::json([
                'pid' => getmypid(),
                'served' => $http->served() + 1,
                'method' => $request->method(),
                'path' => $request->path(),
                'query' => $request->query(),
                'headers' => $request->headers(),
                'remote_addr' => $request->remoteAddr(),
            ]);

        case '/stream':
            return new Response(200, ['Content-Type' => 'text/event-stream', 'Cache-Control' => 'no-store'], clock());

        case '/clock':
            return page('Server-sent events', <<<'HTML'
                <p>One event a second, from a PHP generator. Leave the page and the worker is told at once.</p>
                <pre id="out"></pre>
                <script>
                const out = document.getElementById('out'), source = new EventSource('/stream');
                source.onmessage = e => out.textContent += e.data + '\n';
                source.addEventListener('end', () => source.close());
                </script>
                HTML);

        case '/upload':
            return page('Upload', $request->method() === 'POST' ? received($request) : form());

        case '/slow':
            $ms = min(60000, max(0, (int) ($request->query()['ms'] ?? 1000)));
            usleep($ms * 1000);

            return Response::text("waited $ms ms in process " . getmypid() . "\n");

        case '/error':
            throw new RuntimeException('this request fails on purpose');

        case '/crash':
            // The worst that can happen: the process is gone in the middle of a
            // request. rrd answers 500, logs the cause and starts another one.
            exit(1);

        case '/leak':
            $leaked[] = str_repeat('x', 8 << 20);

            return Response::text(sprintf(
                "process %d leaked 8 MiB and now holds %s\n",
                getmypid(),
                mib(memory_get_usage(true)),
            ));

        case '/log':
            (new Log())->warning('stock is low', ['article' => 'A-17', 'left' => 3]);

            return Response::text("look into the log: a record with fields, sent by RPC\n");

        case '/echo':
            echo "this line is printed by echo: it belongs into the log\n";

            return Response::text("look into the log\n");

        default:
            return page('Not found', '<p>There is no ' . h($request->path()) . ' here.</p>', 404);
    }
});

/** Events for EventSource: the time, a minute long. */
function clock(): Generator
{
    try {
        for ($i = 0; $i < 60; ++$i) {
            yield 'data: ' . date('H:i:s') . ' from process ' . getmypid() . "\n\n";
            sleep(1);
        }
        yield "event: end\ndata:\n\n";
    } catch (StreamStopped) {
        error_log('/stream: the client has left');
    }
}

function index(HttpWorker $http, int $started): string
{
    $rows = '';
    foreach ([
        'Process' => getmypid(),
        'Requests served by this process' => $http->served() + 1,
        'Running for' => time() - $started . ' s',
        'Memory (peak)' => mib(memory_get_usage(true)) . ' (' . mib(memory_get_peak_usage(true)) . ')',
        'PHP' => PHP_VERSION . (function_exists('opcache_get_status') && @opcache_get_status(false) ? ' with opcache' : ''),
    ] as $name => $value) {
        $rows .= '<tr><th>' . h($name) . '</th><td>' . h((string) $value) . '</td></tr>';
    }
    $links = '';
    foreach ([
        '/hello?name=you' => 'plain text',
        '/json' => 'the request as JSON',
        '/clock' => 'a stream: server-sent events from a generator',
        '/upload' => 'a form with files',
        '/slow?ms=1500' => 'a request that takes its time',
        '/echo' => 'echo does not damage the channel, it goes to the log',
        '/log' => 'a log record with fields, over RPC',
        '/error' => 'an exception: 500, the worker survives',
        '/crash' => 'the process exits in the middle of the request',
        '/leak' => '8 MiB that this process never gives back',
    ] as $path => $what) {
        $links .= '<li><a href="' . h($path) . '">' . h($path) . '</a> <span>' . h($what) . '</span></li>';
    }

    return "<table>$rows</table>" . workers() . "<h2>Try</h2><ul>$links</ul>"
        . '<p>Next: <code>rrctl --socket rr.sock workers -i</code>, and after a change of worker.php <code>rrctl --socket rr.sock reload</code>.</p>';
}

/** All workers, as the server sees them. */
function workers(): string
{
    static $rpc = null;
    $rpc ??= new Client(timeout: 1.0);
    try {
        $workers = $rpc->call('rrd.Workers', new stdClass())['workers'];
    } catch (RuntimeException) {
        return '';
    }
    $rows = '';
    foreach ($workers as $worker) {
        $me = $worker['pid'] === getmypid();
        $rows .= ($me ? '<tr class="me">' : '<tr>') . '<td>' . h($worker['pool']) . '</td><td>' . $worker['pid'] . ($me ? ' (answers now)' : '') . '</td><td>'
            . h($worker['state']) . '</td><td>' . $worker['generation'] . '</td><td>' . $worker['execs'] . '</td><td>' . mib($worker['memory']) . '</td></tr>';
    }

    return '<h2>All workers</h2><table><tr><th>Pool</th><th>Process</th><th>State</th><th>Generation</th><th>Requests</th><th>Memory</th></tr>' . $rows
        . '</table><p>Reload the page: another worker may answer.</p>';
}

function form(): string
{
    return <<<'HTML'
        <form method="post" enctype="multipart/form-data">
            <label>A title <input name="title" value="My files"></label>
            <label>Files <input type="file" name="files[]" multiple></label>
            <button>Send</button>
        </form>
        HTML;
}

function received(Request $request): string
{
    $rows = '';
    foreach ($request->uploads()['files'] ?? [] as $file) {
        $rows .= '<tr><td>' . h($file->name) . '</td><td>' . h($file->type) . '</td><td>' . $file->size . ' bytes</td><td>'
            . ($file->ok() ? substr(hash_file('sha256', $file->tmpName), 0, 16) : 'error ' . $file->error) . '</td></tr>';
    }
    $title = $request->form()['title'] ?? '';

    return '<p>' . h(is_string($title) ? $title : '') . '</p>'
        . ($rows === '' ? '<p>No file came.</p>' : "<table><tr><th>Name</th><th>Type</th><th>Size</th><th>SHA-256</th></tr>$rows</table>")
        . '<p><a href="/upload">Once more</a></p>';
}

function page(string $title, string $content, int $status = 200): Response
{
    $title = h($title);

    return Response::html(<<<HTML
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>$title</title>
        <style>
        :root { color-scheme: light dark; }
        body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
        h1 { font-size: 1.6rem; border-bottom: 3px solid #4f7cac; padding-bottom: .4rem; }
        h2 { font-size: 1.1rem; margin-top: 2rem; }
        .me { background: #4f7cac22; }
        h1 a { color: inherit; text-decoration: none; }
        table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
        th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums; }
        th { font-weight: 600; }
        ul { list-style: none; padding: 0; }
        li { padding: .2rem 0; }
        li a { display: inline-block; min-width: 10rem; font-family: ui-monospace, monospace; }
        li span { opacity: .75; }
        label { display: block; margin: .8rem 0; }
        pre, code { background: #8882; border-radius: 4px; padding: .1rem .3rem; }
        pre { padding: .8rem; min-height: 8rem; }
        </style>
        <h1><a href="/">$title</a></h1>
        $content
        </html>
        HTML . "\n", $status);
}

function h(string $text): string
{
    return htmlspecialchars($text);
}

function mib(int $bytes): string
{
    return number_format($bytes / (1 << 20), 1) . ' MiB';
}
