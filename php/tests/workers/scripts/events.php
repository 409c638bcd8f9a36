<?php

header('Content-Type: text/event-stream');
echo "data: one\n\n";
ob_flush();
flush();
while (!is_file(getenv('TEST_DIR') . '/go')) {
    usleep(1000);
}
echo "data: two\n\n";
