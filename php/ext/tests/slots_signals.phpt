--TEST--
A signal handler runs while the worker waits
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/run.inc';
echo daemon('signals', 8192);
?>
--EXPECT--
ok
