<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Http\Psr7Test\RequestIntegrationTest;
use Psr\Http\Message\ServerRequestInterface;

final class AnyRequestTest extends RequestIntegrationTest
{
    public function createSubject(): ServerRequestInterface
    {
        return Subject::request(AnyFactory::class);
    }
}
