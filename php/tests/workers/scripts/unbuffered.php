<?php

session_start();
while (ob_get_level()) {
    ob_end_clean();
}
echo 'a download';
