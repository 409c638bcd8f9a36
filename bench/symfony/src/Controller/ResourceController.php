<?php

declare(strict_types=1);

namespace App\Controller;

use Symfony\Component\HttpFoundation\JsonResponse;

final class ResourceController
{
    public function answer(string $kind, string $action, ?int $id = null): JsonResponse
    {
        return new JsonResponse(['kind' => $kind, 'action' => $action, 'id' => $id]);
    }
}
