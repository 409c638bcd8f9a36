<?php

require_once 'classes.php';
$last = new Last();
if (isset($_GET['exit'])) {
    register_shutdown_function(static function (): void {
        echo ' shut down';
        register_shutdown_function(static function (): void {
            echo ' later';
        });
    });
}
if (isset($_GET['stop'])) {
    register_shutdown_function(static function (): void {
        echo ' shut down';
        exit;
    });
}
echo 'page';
if ($_GET !== []) {
    exit;
}
