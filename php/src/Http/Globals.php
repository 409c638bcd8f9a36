<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * The superglobals, for code that reads them: every request starts with fresh
 * $_GET, $_POST, $_COOKIE, $_FILES, $_REQUEST and $_SERVER, nothing of the
 * request before is left.
 */
final class Globals
{
    /** $_SERVER of the process. @var array<string, mixed>|null */
    private static ?array $process = null;

    /** @var array<string, string>|null */
    private static ?array $script = null;

    public static function set(Request $request): void
    {
        self::$process ??= self::process();
        $_GET = $request->query();
        $_POST = $request->form();
        $_COOKIE = $request->cookies();
        $_REQUEST = $_POST + $_GET;
        $_FILES = self::files($request->rawUploads());
        $_SERVER = $request->server() + self::$process;
        self::session();
    }

    /**
     * What the end of a request is to PHP elsewhere: a session that is still open
     * is saved, and nothing of the request is left.
     */
    public static function clear(): void
    {
        if (self::$process === null) {
            return;
        }
        if (function_exists('session_status')) {
            if (session_status() === PHP_SESSION_ACTIVE) {
                session_write_close();
            }
            self::identify('');
        }
        $_GET = $_POST = $_COOKIE = $_REQUEST = $_FILES = [];
        $_SERVER = self::$process;
        unset($_SESSION);
    }

    /**
     * The entries of $_SERVER that a web server would make of the worker's script.
     *
     * @return array<string, string>
     */
    public static function script(): array
    {
        if (self::$script === null) {
            $script = realpath($_SERVER['SCRIPT_FILENAME'] ?? '') ?: getcwd() . '/worker.php';
            $name = '/' . basename($script);
            self::$script = [
                'SCRIPT_FILENAME' => $script,
                'SCRIPT_NAME' => $name,
                'PHP_SELF' => $name,
                'DOCUMENT_ROOT' => dirname($script),
                'SERVER_SOFTWARE' => 'rrd',
            ];
        }

        return self::$script;
    }

    /**
     * PHP keeps the session's id for the life of the process: without this the
     * next visitor would get the session of the one before.
     */
    private static function session(): void
    {
        unset($_SESSION);
        if (!function_exists('session_id')) {
            return;
        }
        if (session_status() === PHP_SESSION_ACTIVE) {
            // The handler forgot it or died; what it has stored is gone with $_SESSION.
            session_abort();
        }
        $id = $_COOKIE[session_name()] ?? '';
        $id = is_string($id) && preg_match('/^[A-Za-z0-9,-]{1,256}$/D', $id) ? $id : '';
        if (!self::identify($id) && session_id() !== '') {
            throw new \RuntimeException('sessions cannot be kept apart: output was sent without a buffer, and PHP keeps the id of the session before');
        }
    }

    /** Changes PHP's id of the session. false: PHP cannot, because output was sent without a buffer. */
    private static function identify(string $id): bool
    {
        if ($id === session_id()) {
            return true;
        }
        if (headers_sent() && ini_get('session.use_cookies')) {
            return false;
        }
        session_id($id);

        return true;
    }

    /**
     * What every request sees in $_SERVER besides its own entries: the
     * environment, and the script as a web server would describe it.
     *
     * @return array<string, mixed>
     */
    private static function process(): array
    {
        $server = $_SERVER;
        foreach (array_keys($server) as $name) {
            // A variable of the environment must not look like a header of the request.
            if (strncmp((string) $name, 'HTTP_', 5) === 0) {
                unset($server[$name]);
            }
        }
        unset($server['argv'], $server['argc'], $server['PATH_TRANSLATED']);

        return self::script() + $server;
    }

    /**
     * $_FILES of an upload tree: for docs[] PHP wants the names in one list, the
     * sizes in another and so on.
     *
     * @param array<string, mixed> $tree
     *
     * @return array<string, array<string, mixed>>
     */
    private static function files(array $tree): array
    {
        $files = [];
        foreach ($tree as $field => $node) {
            if (!is_array($node)) {
                continue;
            }
            foreach (['name' => 'name', 'full_path' => 'name', 'type' => 'mime', 'tmp_name' => 'tmpName', 'error' => 'error', 'size' => 'size'] as $key => $from) {
                $files[$field][$key] = self::pick($node, $from);
            }
        }

        return $files;
    }

    /**
     * @param array<mixed> $node
     */
    private static function pick(array $node, string $key): mixed
    {
        if (Request::isFile($node)) {
            return $node[$key];
        }
        $picked = [];
        foreach ($node as $name => $child) {
            if (is_array($child)) {
                $picked[$name] = self::pick($child, $key);
            }
        }

        return $picked;
    }
}
