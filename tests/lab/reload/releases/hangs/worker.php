<?php

// A release that waits for something that never comes.
fwrite(STDERR, "waiting for the database\n");
sleep(3600);
