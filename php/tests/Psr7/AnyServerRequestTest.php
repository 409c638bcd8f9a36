<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Http\Psr7Test\ServerRequestIntegrationTest;
use Psr\Http\Message\ServerRequestInterface;

final class AnyServerRequestTest extends ServerRequestIntegrationTest
{
    public function createSubject(): ServerRequestInterface
    {
        return Subject::request(AnyFactory::class);
    }

    /** Of the request; not those of the process, as the test of the package wants. */
    public function testGetServerParams(): void
    {
        self::assertSame('GET', $this->createSubject()->getServerParams()['REQUEST_METHOD']);
    }
}
