<?php

declare(strict_types=1);

/**
 * What all contenders answer, in plain PHP: status 200, fields, body.
 *
 * @param array<string, string> $fields of the request, names in small letters
 * @param array<string, string> $cookies
 * @param callable(): string $body
 *
 * @return array{array<string, string>, string}
 */
function application(string $path, array $fields, array $cookies, callable $body): array
{
    static $download = null;
    switch ($path) {
        case '/hello':
            return [['Content-Type' => 'text/plain'], 'Hello, World!'];
        case '/browser':
            return [
                [
                    'Content-Type' => 'text/html; charset=utf-8',
                    'Cache-Control' => 'private, no-cache',
                    'Vary' => 'Accept-Language, Cookie',
                    'X-Frame-Options' => 'DENY',
                    'Content-Language' => substr($fields['accept-language'] ?? '', 0, 2),
                ],
                '<p>Hello, ' . htmlspecialchars($cookies['user'] ?? '') . ', your theme is ' . htmlspecialchars($cookies['theme'] ?? '') . '</p>',
            ];
        case '/echo':
            return [['Content-Type' => 'application/octet-stream'], $body()];
        case '/download':
            return [['Content-Type' => 'application/octet-stream'], $download ??= str_repeat('0123456789abcdef', 10 << 16)];
    }

    return [['Content-Type' => 'text/plain'], "no such page: $path"];
}
