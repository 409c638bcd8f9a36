<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Nyholm\Psr7\Factory\Psr17Factory;
use Http\Psr7Test\UploadedFileIntegrationTest;
use Psr\Http\Message\UploadedFileInterface;

final class NyholmUploadedFileTest extends UploadedFileIntegrationTest
{
    use InTemporaryFolder;

    public function createSubject(): UploadedFileInterface
    {
        return Subject::upload(Psr17Factory::class);
    }
}
