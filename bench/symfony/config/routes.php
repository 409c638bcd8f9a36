<?php

declare(strict_types=1);

use App\Controller\ApiController;
use App\Controller\CatalogController;
use App\Controller\ResourceController;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

return static function (RoutingConfigurator $routes): void {
    // Eight kinds of things with six routes each, as administration pages have.
    foreach (['article', 'category', 'customer', 'delivery', 'invoice', 'order', 'supplier', 'warehouse'] as $kind) {
        $actions = [
            'list' => ["/admin/$kind", 'GET'],
            'new' => ["/admin/$kind/new", 'GET'],
            'create' => ["/admin/$kind", 'POST'],
            'show' => ["/admin/$kind/{id}", 'GET'],
            'update' => ["/admin/$kind/{id}", 'PUT'],
            'delete' => ["/admin/$kind/{id}", 'DELETE'],
        ];
        foreach ($actions as $action => [$path, $method]) {
            $routes->add("{$kind}_$action", $path)
                ->controller([ResourceController::class, 'answer'])
                ->defaults(['kind' => $kind, 'action' => $action])
                ->requirements(str_contains($path, '{id}') ? ['id' => '\d+'] : [])
                ->methods([$method]);
        }
    }
    $routes->add('page', '/page')->controller([CatalogController::class, 'page'])->methods(['GET']);
    $routes->add('json', '/json')->controller([ApiController::class, 'stock'])->methods(['GET']);
    $routes->add('product', '/product/{id}-{slug}')->controller([CatalogController::class, 'product'])->requirements(['id' => '\d+', 'slug' => '[a-z-]+'])->methods(['GET']);
    $routes->add('visits', '/visits')->controller([CatalogController::class, 'visits'])->methods(['GET']);
};
