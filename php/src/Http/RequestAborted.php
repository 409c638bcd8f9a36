<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * The rest of a request's body will not come: the client went away, stalled, or
 * sent more than the server allows. Clean up and let it pass; it is not logged.
 */
final class RequestAborted extends \RuntimeException
{
    public function __construct()
    {
        parent::__construct('the body of the request broke off');
    }
}
