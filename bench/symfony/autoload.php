<?php

// Takes the place of vendor/autoload.php: Debian's packages and this application,
// through one class map, as composer dump-autoload --classmap-authoritative
// makes it. ./warm writes the map.

declare(strict_types=1);

require_once '/usr/share/php/Symfony/Contracts/Deprecation/function.php';

(static function (array $map): void {
    spl_autoload_register(static function (string $class) use ($map): void {
        if (isset($map[$class])) {
            require $map[$class];
        }
    });
})(require __DIR__ . '/var/classmap.php');
