<?php

declare(strict_types=1);

namespace App\Catalog;

final class Product
{
    public function __construct(
        public readonly int $id,
        public readonly string $name,
        public readonly string $slug,
        public readonly string $text,
        public readonly int $cents,
        public readonly int $stock,
    ) {
    }
}
