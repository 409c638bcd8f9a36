<?php

try {
    while (true) {
        echo str_repeat('x', 10000);
    }
} finally {
    RR\Worker::log('the script was cleaned up');
}
