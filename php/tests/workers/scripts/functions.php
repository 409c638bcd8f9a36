<?php

function user()
{
    global $user;

    return $user ?? null;
}
