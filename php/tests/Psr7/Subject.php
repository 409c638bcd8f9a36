<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

use Psr\Http\Message\ServerRequestInterface;
use RR\Http\Psr7Factory;
use RR\Http\Request;

/** What the bridge builds, for the integration tests of the PSR-7 package. */
final class Subject
{
    /** @param class-string $factory */
    public static function request(string $factory): ServerRequestInterface
    {
        return self::build($factory, ['uri' => '/']);
    }

    /** @param class-string $factory */
    public static function upload(string $factory): mixed
    {
        $path = tempnam(sys_get_temp_dir(), 'rr');
        file_put_contents($path, 'content');

        return self::build($factory, [
            'uploads' => ['f' => ['name' => 'a.txt', 'mime' => 'text/plain', 'size' => 7, 'error' => 0, 'tmpName' => $path]],
        ])->getUploadedFiles()['f'];
    }

    /**
     * @param class-string $factory
     * @param array<string, mixed> $context
     */
    public static function build(string $factory, array $context, string $body = ''): ServerRequestInterface
    {
        $context += ['method' => 'GET', 'uri' => 'http://shop.local/a', 'headers' => [], 'rawQuery' => '', 'protocol' => 'HTTP/1.1', 'remoteAddr' => '10.0.0.7'];

        return (new Psr7Factory(new $factory()))->request(new Request(json_encode($context, JSON_THROW_ON_ERROR), $body));
    }
}
