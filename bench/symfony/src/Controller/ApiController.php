<?php

declare(strict_types=1);

namespace App\Controller;

use App\Catalog\Stock;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;

final class ApiController
{
    public function __construct(private readonly Stock $stock)
    {
    }

    public function stock(Request $request): JsonResponse
    {
        return new JsonResponse(['low' => $this->stock->low($request->query->getInt('below', 4))]);
    }
}
