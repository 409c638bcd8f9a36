<?php

// Used by SharedDaemonTest: large bodies in all ways, and output in the wrong places.

declare(strict_types=1);

if (getenv('RR_IPC') !== false) {
    fwrite(STDOUT, "printed before the worker exists\n");
}

require __DIR__ . '/../../autoload.php';

use RR\Http\HttpWorker;
use RR\Http\Request;
use RR\Http\Response;

(new HttpWorker())->run(function (Request $request): Response {
    switch ($request->path()) {
        case '/echo':
            return new Response(200, [], $request->body());
        case '/print':
            echo "printed by echo\n";
            system('echo printed by a child');
            if (is_resource(STDOUT)) {
                fwrite(STDOUT, "printed to STDOUT\n");
            }

            return Response::text('printed');
        case '/chunks':
            return new Response(200, [], (function () use ($request) {
                foreach (explode(',', $request->query()['sizes']) as $i => $size) {
                    yield str_repeat(chr(65 + $i % 26), (int) $size);
                }
                if (isset($request->query()['exit'])) {
                    exit(3);
                }
            })());
        case '/arriving':
            $hash = hash_init('sha256');
            $reads = 0;
            for ($in = $request->stream(); !feof($in); ++$reads) {
                hash_update($hash, (string) fread($in, 1 << 20));
            }

            return Response::json([$request->isArriving(), hash_final($hash), $reads > 1]);
        case '/memory':
            // Address, rights, offset, device, inode and path of what is mapped.
            preg_match('#^\S+ rw-s \S+ \S+ (\d+) +/memfd:#m', (string) file_get_contents('/proc/self/maps'), $match);

            return Response::json([getmypid(), $match[1] ?? null]);
    }
});
