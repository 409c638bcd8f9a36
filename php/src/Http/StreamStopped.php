<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * Thrown into the generator (or the output callback) of a streamed response when
 * the client went away. Clean up and let it pass; it is not logged.
 */
final class StreamStopped extends \RuntimeException
{
    public function __construct()
    {
        parent::__construct('the client closed the connection');
    }
}
