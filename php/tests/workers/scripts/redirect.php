<?php

header('Location: /index.php');
echo 'moved';
exit;
echo 'never';
