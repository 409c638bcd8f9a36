<?php

declare(strict_types=1);

namespace RR\Http;

use RR\ProtocolException;
use RR\RelayException;

/**
 * Serves an application of plain scripts, which reads $_GET, prints its page and
 * calls header(), setcookie() and session_start():
 *
 *     foreach (new RR\Http\ScriptWorker(__DIR__ . '/public') as $script) {
 *         try {
 *             require $script;
 *         } catch (Throwable $e) {
 *             RR\Http\ScriptWorker::failed($e);
 *         }
 *     }
 *
 * The loop stands in the worker's own script, so that the application's variables
 * are global ones; they are gone at the next request. No variable of the loop is
 * needed after the script, which may overwrite them all. A script runs many times in
 * one process: functions and classes belong into files that it takes with
 * require_once.
 *
 * exit() answers with what has been printed, and costs the worker.
 *
 * @implements \IteratorAggregate<int, string>
 */
final class ScriptWorker implements \IteratorAggregate
{
    private const SUPERGLOBALS = ['_GET' => true, '_POST' => true, '_COOKIE' => true, '_FILES' => true, '_SERVER' => true, '_ENV' => true, '_REQUEST' => true, '_SESSION' => true];

    /** The worker whose script runs. */
    private static ?self $running = null;

    /** Output up to this size is sent in one piece, unless the script flushes it. */
    private const BUFFER = 1 << 20;

    private readonly HttpWorker $http;
    private readonly string $root;

    /** A script that answers all requests. */
    private readonly ?string $single;

    /** The variables that are not the application's. @var array<string, mixed>|null */
    private ?array $variables = null;

    /** $_ENV before the first request. @var array<string, string> */
    private array $env = [];

    /** What getenv() gives before the first request. @var array<string, string> */
    private array $environment = [];

    /** The request in work; null between requests, and when it has been answered. */
    private ?Request $request = null;

    /** Depth of the output buffers around the script. */
    private int $level = 0;

    /** A part of the output has been sent. */
    private bool $started = false;

    /** The buffers are being closed because the script has ended. */
    private bool $ending = false;

    /**
     * @param string $root folder of the scripts: /a/b.php is the script a/b.php in
     *        it, a folder stands for its index.php, and anything else is for the
     *        index.php of $root. Or one script for all requests.
     */
    public function __construct(string $root, ?HttpWorker $http = null)
    {
        $real = realpath($root);
        if ($real === false) {
            throw new \InvalidArgumentException("cannot find the scripts: there is no $root");
        }
        $this->single = is_dir($real) ? null : $real;
        $this->root = is_dir($real) ? $real : dirname($real);
        // Before the worker, whose own function says that the request is lost.
        register_shutdown_function($this->exited(...), 2);
        $this->http = $http ?? new HttpWorker();
        if (!HeaderList::keep()) {
            \RR\Worker::log('rr: header(), setcookie() and the cookies of sessions have no effect: they need PHP\'s extension FFI, and ffi.enable=preload (the default) or 1');
        }
        InputStream::prepare();
    }

    /**
     * Ends the request before and waits for another. The script to run, null when
     * the worker shall end.
     */
    public function next(): ?string
    {
        $this->finish();
        $this->clear();
        while (($request = $this->http->waitRequest()) !== null) {
            try {
                if (($script = $this->begin($request)) !== null) {
                    return $script;
                }
                $this->http->respond(Response::text("Not Found\n", 404));
            } catch (\Throwable $e) {
                $this->http->fail($e);
            }
            $this->clear();
        }

        return null;
    }

    /**
     * The script of each request, until the worker shall end.
     *
     * @return \Generator<int, string>
     */
    public function getIterator(): \Generator
    {
        while (($script = $this->next()) !== null) {
            yield $script;
        }
    }

    /** Ends the request in work after an exception. */
    public static function failed(\Throwable $e): void
    {
        self::$running === null ? throw $e : self::$running->fail($e);
    }

    /** Ends the request in work after an exception. */
    public function fail(\Throwable $e): void
    {
        if ($this->request === null) {
            throw $e;
        }
        $started = $this->started;
        $this->discard();
        if ($e instanceof StreamStopped) {
            $this->http->worker->respond('');
        } elseif ($started && !$e instanceof ProtocolException && !$e instanceof RelayException) {
            \RR\Worker::log("rr: uncaught $e");
            $this->http->worker->error('output ended by ' . $e::class . ': ' . $e->getMessage());
        } else {
            $this->http->fail($e);
        }
    }

    private function begin(Request $request): ?string
    {
        $found = $this->script(rawurldecode($request->path()));
        if ($found === null) {
            return null;
        }
        [$script, $info] = $found;
        Globals::set($request);
        $name = substr($script, strlen($this->root));
        $_SERVER = [
            'SCRIPT_FILENAME' => $script,
            'SCRIPT_NAME' => $name,
            'PHP_SELF' => $name . $info,
            'DOCUMENT_ROOT' => $this->root,
        ] + ($info === '' ? [] : ['PATH_INFO' => $info]) + $_SERVER;
        InputStream::set(self::input($request));
        HeaderList::clear();
        chdir(dirname($script));
        if ($this->variables === null) {
            $this->variables = array_diff_key($GLOBALS, self::SUPERGLOBALS);
            $this->env = $_ENV;
            $this->environment = getenv();
        }
        self::$running = $this;
        $this->request = $request;
        $this->started = $this->ending = false;
        $this->level = ob_get_level();
        // PHP passes on the output of a callback that threw: this takes it.
        ob_start(static fn (): string => '');
        ob_start($this->output(...), self::BUFFER);

        return $script;
    }

    /** The body as a web server would hand it over: none of an upload. */
    private static function input(Request $request): string
    {
        if (!$request->isForm()) {
            return $request->body();
        }
        // The server has parsed it; http.raw_body leaves it as it was.
        return $request->rawUploads() === [] && str_starts_with((string) $request->header('Content-Type'), 'application/x-www-form-urlencoded')
            ? http_build_query($request->form())
            : '';
    }

    /**
     * The script of a path, and the rest of the path behind its name.
     *
     * @return array{string, string}|null
     */
    private function script(string $path): ?array
    {
        if ($this->single !== null) {
            return [$this->single, ''];
        }
        $end = strpos($path, '.php/');
        $info = $end === false ? '' : substr($path, $end + 4);
        $file = str_contains($path, "\0") ? false : realpath($this->root . ($end === false ? $path : substr($path, 0, $end + 4)));
        if ($file !== false && is_dir($file)) {
            $file = realpath("$file/index.php");
        }
        if ($file !== false && is_file($file) && str_ends_with($file, '.php') && str_starts_with($file, "$this->root/")) {
            return [$file, $info];
        }
        $index = "$this->root/index.php";

        return is_file($index) ? [$index, ''] : null;
    }

    /** Output of the script: what comes before its end is a flush, and is sent at once. */
    private function output(string $text, int $phase): string
    {
        if ($this->request === null || $phase & PHP_OUTPUT_HANDLER_CLEAN) {
            return '';
        }
        if ($this->ending && $phase & PHP_OUTPUT_HANDLER_FINAL) {
            $this->answer($text);

            return '';
        }
        if ($text === '') {
            return '';
        }
        if ($this->started && $this->http->worker->stopRequested() && !ignore_user_abort()) {
            throw new StreamStopped();
        }
        $this->http->worker->send($text, $this->started ? '' : $this->head());
        $this->started = true;

        return '';
    }

    /** The answer, or its last part. */
    private function answer(string $text): void
    {
        $this->request = null;
        if ($this->started) {
            $this->http->worker->respond($text);

            return;
        }
        [$status, $headers] = HeaderList::take();
        $this->http->respond(new Response($status, $headers, $text));
    }

    private function head(): string
    {
        [$status, $headers] = HeaderList::take();

        return $this->http->head(new Response($status, $headers));
    }

    private function finish(): void
    {
        if ($this->request === null) {
            return;
        }
        try {
            // What the destructors print belongs to the answer.
            $this->forget();
            if (function_exists('session_status') && session_status() === PHP_SESSION_ACTIVE) {
                // Before the client can come again with this session.
                session_write_close();
            }
            while (ob_get_level() > $this->level + 2) {
                ob_end_flush();
            }
            $this->ending = true;
            while (ob_get_level() > $this->level) {
                ob_end_flush();
            }
        } catch (StreamStopped) {
            while (ob_get_level() > $this->level) {
                ob_end_clean();
            }
        } catch (\Throwable $e) {
            // From a destructor.
            $this->fail($e);
        }
        if ($this->request !== null) {
            $this->answer('');
        }
    }

    private function discard(): void
    {
        $this->request = null;
        while (ob_get_level() > $this->level) {
            ob_end_clean();
        }
        HeaderList::clear();
    }

    private function clear(): void
    {
        for ($again = true; $again;) {
            try {
                $this->forget();
                $again = false;
            } catch (\Throwable $e) {
                // Of a destructor; its variable is gone.
                \RR\Worker::log("rr: uncaught $e");
            }
        }
        Globals::clear();
        if ($this->variables !== null) {
            $_ENV = $this->env;
            if (($changed = getenv()) !== $this->environment) {
                foreach (array_keys(array_diff_key($changed, $this->environment)) as $name) {
                    putenv($name);
                }
                foreach ($this->environment as $name => $value) {
                    if ($value !== ($changed[$name] ?? null)) {
                        putenv("$name=$value");
                    }
                }
            }
        }
        InputStream::set('');
    }

    /** Takes away the variables of the application, and what it has done to the others. */
    private function forget(): void
    {
        if ($this->variables === null) {
            return;
        }
        foreach (array_keys(array_diff_key($GLOBALS, $this->variables, self::SUPERGLOBALS)) as $name) {
            unset($GLOBALS[$name]);
        }
        foreach ($this->variables as $name => $value) {
            // A reference that the application made must go, too.
            unset($GLOBALS[$name]);
            $GLOBALS[$name] = $value;
        }
    }

    /**
     * The end of the process in the middle of a request: exit(), or a fatal error.
     *
     * @param int $later how often to go behind the functions of the application,
     *        whose output belongs to the answer
     */
    private function exited(int $later): void
    {
        if ($this->request === null) {
            return;
        }
        if (\RR\Worker::fatal() !== null) {
            // The server answers with 500, or cuts what has begun.
            $this->request = null;

            return;
        }
        if ($later > 0) {
            // Should none of them return, the end of the buffers is the answer.
            $this->ending = true;
            register_shutdown_function($this->exited(...), $later - 1);

            return;
        }
        try {
            $this->finish();
            Globals::clear();
            // The server believes that this worker goes on: a request that it
            // sends meanwhile goes to another.
            if ($this->http->worker->waitPayload() !== null) {
                $this->http->worker->stop();
            }
        } catch (\Throwable $e) {
            \RR\Worker::log("rr: cannot answer after exit(): $e");
        }
    }
}
