<?php

declare(strict_types=1);

namespace RR;

/**
 * One unit of work. $codec is the flag that tells how $context is encoded:
 * Frame::JSON, PROTO, RAW or 0. When $arriving, $body is empty and comes from
 * Worker::readBody().
 */
final class Payload
{
    public function __construct(
        public readonly string $context,
        public readonly string $body,
        public readonly int $codec = 0,
        public readonly bool $arriving = false,
    ) {
    }
}
