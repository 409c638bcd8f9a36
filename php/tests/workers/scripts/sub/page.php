<?php

header('Content-Type: application/json');
echo json_encode([
    'script' => [$_SERVER['SCRIPT_NAME'], $_SERVER['PHP_SELF'], $_SERVER['PATH_INFO'] ?? null, basename(getcwd())],
    'get' => $_GET, 'post' => $_POST, 'input' => file_get_contents('php://input'), 'user' => $_SERVER['PHP_AUTH_USER'] ?? null,
    'headers' => headers_list(),
]);
