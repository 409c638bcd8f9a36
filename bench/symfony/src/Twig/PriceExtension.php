<?php

declare(strict_types=1);

namespace App\Twig;

use App\Catalog\Prices;
use Twig\Extension\AbstractExtension;
use Twig\TwigFilter;

final class PriceExtension extends AbstractExtension
{
    public function __construct(private readonly Prices $prices)
    {
    }

    public function getFilters(): array
    {
        return [new TwigFilter('price', $this->prices->format(...))];
    }
}
