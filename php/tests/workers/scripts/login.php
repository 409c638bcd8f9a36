<?php

session_start();
$_SESSION['user'] ??= $_GET['user'] ?? null;
echo json_encode([$_SESSION['user'], session_id()]);
