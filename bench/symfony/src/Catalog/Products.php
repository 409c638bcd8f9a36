<?php

declare(strict_types=1);

namespace App\Catalog;

/** The products; made up, so that no database is measured. */
final class Products
{
    private const KINDS = ['Lamp', 'Chair', 'Table', 'Shelf', 'Carpet', 'Vase', 'Mirror', 'Clock'];
    private const WORDS = ['bright', 'plain', 'sturdy', 'slender', 'old', 'woven', 'polished', 'quiet', 'round', 'heavy'];

    /** @return list<Product> */
    public function all(int $count = 43): array
    {
        $products = [];
        for ($id = 1; $id <= $count; ++$id) {
            $products[] = $this->get($id);
        }

        return $products;
    }

    public function get(int $id): Product
    {
        $kind = self::KINDS[$id % count(self::KINDS)];
        $word = self::WORDS[$id % count(self::WORDS)];

        return new Product(
            $id,
            ucfirst($word) . ' ' . strtolower($kind),
            "$word-" . strtolower($kind),
            "A $word " . strtolower($kind) . ' for a room that is ' . self::WORDS[($id * 3) % count(self::WORDS)] . ', made by hand & checked twice.',
            1900 + $id * 37,
            $id % 7,
        );
    }
}
