--TEST--
Answers that go over the pipe, and one too many
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/run.inc';
echo daemon('piped', 4096);
?>
--EXPECT--
ok
