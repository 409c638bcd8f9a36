<?php

declare(strict_types=1);

require __DIR__ . '/application.php';

[$fields, $body] = application(
    strtok($_SERVER['REQUEST_URI'], '?'),
    ['accept-language' => $_SERVER['HTTP_ACCEPT_LANGUAGE'] ?? ''],
    $_COOKIE,
    static fn (): string => file_get_contents('php://input'),
);
foreach ($fields as $name => $value) {
    header("$name: $value");
}
echo $body;
