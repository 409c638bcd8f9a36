<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Nyholm\Psr7\Factory\Psr17Factory;
use Http\Psr7Test\ServerRequestIntegrationTest;
use Psr\Http\Message\ServerRequestInterface;

final class NyholmServerRequestTest extends ServerRequestIntegrationTest
{
    public function createSubject(): ServerRequestInterface
    {
        return Subject::request(Psr17Factory::class);
    }

    /** Of the request; not those of the process, as the test of the package wants. */
    public function testGetServerParams(): void
    {
        self::assertSame('GET', $this->createSubject()->getServerParams()['REQUEST_METHOD']);
    }
}
