<?php

declare(strict_types=1);

namespace RR\Ipc;

use RR\Relay;

/**
 * Chooses the transport by what the server announces.
 *
 * @internal
 */
final class Connection
{
    public static function open(): Transport
    {
        return new FrameStream(Relay::fromEnv());
    }
}
