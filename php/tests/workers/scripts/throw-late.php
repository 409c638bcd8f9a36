<?php

echo 'half a page';
ob_flush();
throw new DomainException('too late');
