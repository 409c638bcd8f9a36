<?php

require_once 'functions.php';
$seen = isset($left);
$left = 'over';
header('X-One: a');
header('X-Many: b');
header('X-Many: c', false);
setcookie('first', '1 2', ['path' => '/']);
http_response_code(201);
echo 'index ', $_GET['name'] ?? '', ' ', json_encode([$seen, user(), basename(getcwd()), $_SERVER['SCRIPT_NAME'], $_SERVER['PATH_INFO'] ?? null]);
$user = $_GET['name'] ?? null;
