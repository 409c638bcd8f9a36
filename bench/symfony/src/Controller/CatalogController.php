<?php

declare(strict_types=1);

namespace App\Controller;

use App\Catalog\Products;
use Symfony\Bundle\FrameworkBundle\Controller\AbstractController;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

final class CatalogController extends AbstractController
{
    public function __construct(private readonly Products $products)
    {
    }

    public function page(): Response
    {
        return $this->render('catalog/page.html.twig', ['products' => $this->products->all()]);
    }

    public function product(int $id): Response
    {
        return $this->render('catalog/product.html.twig', ['product' => $this->products->get($id)]);
    }

    public function visits(Request $request): Response
    {
        $session = $request->getSession();
        $session->set('visits', $visits = $session->get('visits', 0) + 1);

        return $this->json(['visits' => $visits]);
    }
}
