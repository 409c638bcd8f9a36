<?php

final class Last
{
    public function __destruct()
    {
        echo isset($_GET['stop']) ? '' : ' destroyed';
    }
}
