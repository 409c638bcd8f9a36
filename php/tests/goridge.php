<?php

// As much of spiral/goridge as RR\Goridge\Relay needs, for tests without that
// package: its names and signatures.

declare(strict_types=1);

namespace Spiral\Goridge;

if (!interface_exists(RelayInterface::class)) {
    interface RelayInterface
    {
        public function waitFrame(): Frame;

        public function send(Frame $frame): void;

        public function hasFrame(): bool;
    }

    final class Frame
    {
        public const CONTROL = 1;
        public const ERROR = 64;

        public int $byte10 = 0;

        public int $byte11 = 0;

        /** @param list<int> $options */
        public function __construct(public ?string $payload, public array $options = [], public int $flags = 0)
        {
        }
    }
}
