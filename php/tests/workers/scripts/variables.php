<?php

echo json_encode([$_CONFIG ?? null, $_USER ?? null, $setting, $_ENV['LEFT'] ?? null, getenv('LEFT'), getenv('TEST_DIR') ? 'set' : 'lost']);
$_CONFIG = $_USER = $worker = $script = $e = $_ENV['LEFT'] = 'over';
$setting = &$_CONFIG;
putenv('LEFT=over');
putenv('TEST_DIR');
