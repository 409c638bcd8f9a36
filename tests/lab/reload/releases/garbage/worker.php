<?php

// A release that prints into the channel of the frames.
echo "Warning: Undefined variable \$config in bootstrap.php on line 3\n";
sleep(3600);
