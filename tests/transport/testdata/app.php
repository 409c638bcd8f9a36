<?php

declare(strict_types=1);

// Tells what it has seen of a request, and answers with a body that follows from it.
require getenv('RR_PHP_PACKAGE') . '/autoload.php';

use RR\Http\{HttpWorker, Request, Response, Upload};

function files(array $uploads): array
{
    return array_map(static fn ($u): array => $u instanceof Upload
        ? [$u->name, $u->type, $u->size, $u->error, $u->ok() ? sha1($u->contents()) : '']
        : files($u), $uploads);
}

/** Answers in the way that the query asks for. */
function answer(Request $request, array $headers, string $body): Response
{
    $query = $request->query();
    if (!isset($query['stream'])) {
        return new Response((int) ($query['status'] ?? 200), $headers, $body);
    }

    return new Response((int) ($query['status'] ?? 200), $headers, (static function () use ($query, $body): Generator {
        for ($at = 0, $n = max(1, (int) $query['stream']); $at < strlen($body); $at += $n, $n = $n * 2 % 1500001 + 1) {
            yield substr($body, $at, $n);
        }
    })());
}

(new HttpWorker())->run(static function (Request $request): Response {
    if (isset($request->query()['die'])) {
        echo "last words\n";
        posix_kill(getmypid(), SIGKILL);
    }
    if ($request->isArriving()) {
        $body = stream_get_contents($request->stream());
    } else {
        $body = $request->isForm() ? json_encode($request->form()) : $request->body();
    }
    $headers = $request->headers();
    ksort($headers);
    $seen = json_encode([
        $request->method(), $request->uri(), $request->protocol(), $headers, $request->cookies(), $request->query(),
        strlen($body), sha1($body), files($request->uploads()),
    ], JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);

    return answer($request, ['Content-Type' => 'application/octet-stream', 'X-Seen' => sha1($seen), 'Set-Cookie' => ['a=1', 'b=2']],
        match ($request->query()['mode'] ?? '') {
            'seen' => $seen,
            'grow' => str_repeat($body, 3),
            default => $body,
        });
});
