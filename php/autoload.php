<?php

// PSR-4 autoloader of the namespace RR\ for programs that do not use Composer:
// require '/usr/share/php/RR/autoload.php' or this file from a checkout.

declare(strict_types=1);

(static function (string $src): void {
    spl_autoload_register(static function (string $class) use ($src): void {
        if (strncmp($class, 'RR\\', 3) === 0 && is_file($file = $src . strtr(substr($class, 3), '\\', '/') . '.php')) {
            require $file;
        }
    });
})(is_dir(__DIR__ . '/src') ? __DIR__ . '/src/' : __DIR__ . '/');
