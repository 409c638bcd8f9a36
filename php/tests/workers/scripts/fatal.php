<?php

register_shutdown_function(static function (): void {
    echo 'an error page';
});
echo 'half a page';
ini_set('memory_limit', '16M');
$x = str_repeat('x', 1 << 30);
