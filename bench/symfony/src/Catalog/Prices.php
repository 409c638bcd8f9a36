<?php

declare(strict_types=1);

namespace App\Catalog;

final class Prices
{
    public function __construct(private readonly string $currency)
    {
    }

    public function format(int $cents): string
    {
        return number_format($cents / 100, 2) . ' ' . $this->currency;
    }
}
