<?php

declare(strict_types=1);

namespace RR\Rpc;

/** The called method failed. The message is the server's text, unchanged. */
final class ServiceException extends \RuntimeException
{
    public function __construct(
        public readonly string $method,
        string $text,
    ) {
        parent::__construct($text);
    }
}
