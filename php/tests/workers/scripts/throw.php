<?php

header('X-Left: over');
echo 'half a page';
throw new DomainException('secret reason');
