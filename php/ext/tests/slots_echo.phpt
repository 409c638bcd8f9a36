--TEST--
Jobs and answers of all lengths through the slots
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/run.inc';
echo daemon('echo', 70000);
?>
--EXPECT--
ok
