<?php

declare(strict_types=1);

namespace App\Catalog;

final class Stock
{
    public function __construct(private readonly Products $products, private readonly Prices $prices)
    {
    }

    /** @return list<array<string, mixed>> */
    public function low(int $below): array
    {
        $low = [];
        foreach ($this->products->all(10) as $product) {
            if ($product->stock < $below) {
                $low[] = ['id' => $product->id, 'name' => $product->name, 'price' => $this->prices->format($product->cents), 'stock' => $product->stock];
            }
        }

        return $low;
    }
}
