<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Http\Psr7Test\UploadedFileIntegrationTest;
use Psr\Http\Message\UploadedFileInterface;

final class AnyUploadedFileTest extends UploadedFileIntegrationTest
{
    use InTemporaryFolder;

    public function createSubject(): UploadedFileInterface
    {
        return Subject::upload(AnyFactory::class);
    }
}
