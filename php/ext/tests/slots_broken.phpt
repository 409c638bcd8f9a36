--TEST--
What the daemon may not write is an exception
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/run.inc';
foreach (['length', 'edge', 'flags', 'number'] as $mode) {
    echo preg_replace('/^#.*\n|  thrown in .*\n|^\n|^Stack trace:\n|^PHP .*\n| in \S+:\d+$/m', '', daemon($mode, 8192));
}
?>
--EXPECT--
Fatal error: Uncaught RuntimeException: the request slot has flags 0, stream bits 0, context 4294967295, body 4294967295
exit 255
ok
Fatal error: Uncaught RuntimeException: the request slot has flags 0, stream bits 0, context 1, body 8168
exit 255
ok
Fatal error: Uncaught RuntimeException: the request slot has flags 256, stream bits 0, context 0, body 0
exit 255
ok
Fatal error: Uncaught RuntimeException: the request slot has number 2, expected 1
exit 255
ok
