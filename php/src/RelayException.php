<?php

declare(strict_types=1);

namespace RR;

/** The connection could not be made, is broken or took too long. */
final class RelayException extends \RuntimeException
{
}
