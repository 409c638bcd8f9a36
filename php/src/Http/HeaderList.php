<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * header(), setcookie(), http_response_code() and the cookie of session_start():
 * PHP's CLI throws away what they are given. Its handler that does so can be taken
 * out with FFI, and then headers_list() has it all, as behind a web server.
 *
 * Without FFI (ffi.enable=0, or the extension is missing) they have no effect.
 *
 * @internal
 */
final class HeaderList
{
    private static ?bool $kept = null;

    /** Makes PHP keep headers from now on. Tells whether it does. */
    public static function keep(): bool
    {
        return self::$kept ??= \PHP_SAPI !== 'cli' || self::release();
    }

    /** Forgets all headers and the status. */
    public static function clear(): void
    {
        header_remove();
        http_response_code(200);
    }

    /**
     * The status and the headers that the script has set.
     *
     * @return array{int, array<string, list<string>>}
     */
    public static function take(): array
    {
        $headers = [];
        /** Names as they were first spelt. @var array<string, string> */
        $names = [];
        foreach (headers_list() as $line) {
            [$name, $value] = explode(':', $line, 2);
            $headers[$names[strtolower($name)] ??= $name][] = ltrim($value);
        }
        if (!isset($names['content-type'])) {
            $charset = (string) ini_get('default_charset');
            $headers['Content-Type'] = [(ini_get('default_mimetype') ?: 'text/html') . ($charset === '' ? '' : "; charset=$charset")];
        }
        $status = (int) http_response_code();

        return [$status >= 200 && $status <= 599 ? $status : 200, $headers];
    }

    /** Takes CLI's handler away; it stays away only if that has the effect that is wanted. */
    private static function release(): bool
    {
        if (!class_exists(\FFI::class, false)) {
            return false;
        }
        try {
            // The start of sapi_module_struct in main/SAPI.h, the same in PHP 5 to 8.
            $php = \FFI::cdef(<<<'C'
                typedef struct {
                    char *name, *pretty_name;
                    void *startup, *shutdown, *activate, *deactivate, *ub_write, *flush, *get_stat, *getenv, *sapi_error, *header_handler;
                } sapi_module_struct;
                extern sapi_module_struct sapi_module;
                C);
            if (\FFI::string($php->sapi_module->name) !== 'cli') {
                return false;
            }
            $handler = $php->sapi_module->header_handler;
            $php->sapi_module->header_handler = null;
            header('X-RR-Probe: 1');
            if (in_array('X-RR-Probe: 1', headers_list(), true)) {
                header_remove();

                return true;
            }
            $php->sapi_module->header_handler = $handler;
        } catch (\FFI\Exception) {
        }

        return false;
    }
}
