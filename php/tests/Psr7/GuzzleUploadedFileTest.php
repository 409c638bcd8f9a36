<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use GuzzleHttp\Psr7\HttpFactory;
use Http\Psr7Test\UploadedFileIntegrationTest;
use Psr\Http\Message\UploadedFileInterface;

final class GuzzleUploadedFileTest extends UploadedFileIntegrationTest
{
    use InTemporaryFolder;

    public function createSubject(): UploadedFileInterface
    {
        return Subject::upload(HttpFactory::class);
    }
}
