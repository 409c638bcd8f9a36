<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Nyholm\Psr7\Factory\Psr17Factory;
use Http\Psr7Test\RequestIntegrationTest;
use Psr\Http\Message\ServerRequestInterface;

final class NyholmRequestTest extends RequestIntegrationTest
{
    public function createSubject(): ServerRequestInterface
    {
        return Subject::request(Psr17Factory::class);
    }
}
