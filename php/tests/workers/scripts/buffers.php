<?php

ob_start();
echo 'nested ';
ob_start();
echo 'buffers';
