<?php

declare(strict_types=1);

namespace RR;

/** The peer sent bytes that are not what the protocol allows at this point. */
final class ProtocolException extends \RuntimeException
{
}
