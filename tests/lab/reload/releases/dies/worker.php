<?php

// A release that does not boot: a class that nobody shipped.
new App\Missing\Kernel();
