<?php

// The PSR-7 implementations are Debian's: php-nyholm-psr7, php-guzzlehttp-psr7,
// php-http-psr7-integration-tests.

declare(strict_types=1);

require __DIR__ . '/../autoload.php';

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'RR\\Tests\\') && is_file($file = __DIR__ . '/' . strtr(substr($class, 9), '\\', '/') . '.php')) {
        require $file;
    }
});

foreach (['Nyholm/Psr7', 'GuzzleHttp/Psr7', 'Http/Psr7Test'] as $package) {
    require_once "/usr/share/php/$package/autoload.php";
}
