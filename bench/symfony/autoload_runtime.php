<?php

// What Composer's plugin of symfony/runtime generates as vendor/autoload_runtime.php,
// with prod as the environment when nothing says otherwise.

declare(strict_types=1);

if (true === (require_once __DIR__ . '/autoload.php') || empty($_SERVER['SCRIPT_FILENAME'])) {
    return;
}

$app = require $_SERVER['SCRIPT_FILENAME'];
$runtime = $_SERVER['APP_RUNTIME'] ?? $_ENV['APP_RUNTIME'] ?? Symfony\Component\Runtime\SymfonyRuntime::class;
$runtime = new $runtime(['project_dir' => __DIR__, 'disable_dotenv' => true, 'env' => $_SERVER['APP_ENV'] ?? 'prod']);
[$app, $args] = $runtime->getResolver($app)->resolve();
$app = $app(...$args);
exit($runtime->getRunner($app)->run());
