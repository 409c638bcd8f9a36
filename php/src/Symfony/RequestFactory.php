<?php

declare(strict_types=1);

namespace RR\Symfony;

use RR\Http\Globals;
use RR\Http\Request as RawRequest;
use Symfony\Component\HttpFoundation\File\UploadedFile;
use Symfony\Component\HttpFoundation\Request;

/** Builds HttpFoundation requests, without PSR-7 in between. */
final class RequestFactory
{
    /** Request's own factory, which Request::setFactory() may have replaced. @var \Closure(mixed...): Request|null */
    private static ?\Closure $create = null;

    /**
     * The request as createFromGlobals() would make it. Its server bag has what a
     * web server tells and not the environment of the process. A body that is
     * still arriving is the content as a stream.
     *
     * @param array<string, mixed> $attributes
     * @param class-string<Request>|null $class another class than Request::setFactory() or Request itself makes
     * @param class-string<UploadedFile> $upload class of uploaded files
     */
    public static function create(RawRequest $from, array $attributes = [], ?string $class = null, string $upload = UploadedFile::class): Request
    {
        $arriving = $from->isArriving();
        $arguments = [
            $from->query(),
            $arriving ? [] : $from->form(),
            $attributes + $from->attributes(),
            $from->cookies(),
            ($uploads = $from->rawUploads()) === [] ? [] : self::files($uploads, $upload),
            $from->server() + Globals::script(),
            // Of a form that the server has parsed the raw body is gone, as it is
            // under php-fpm for multipart/form-data.
            $arriving ? $from->stream() : ($from->isForm() ? '' : $from->body()),
        ];
        if ($class !== null) {
            return new $class(...$arguments);
        }

        return (self::$create ??= self::factory())(...$arguments);
    }

    /** @return \Closure(mixed...): Request */
    private static function factory(): \Closure
    {
        if (method_exists(Request::class, 'createRequestFromFactory')) {
            return \Closure::bind(static fn (mixed ...$a): Request => Request::createRequestFromFactory(...$a), null, Request::class);
        }

        return static fn (mixed ...$a): Request => new Request(...$a);
    }

    /**
     * @param array<mixed> $tree
     * @param class-string<UploadedFile> $class
     *
     * @return array<mixed>
     */
    private static function files(array $tree, string $class): array
    {
        $files = [];
        foreach ($tree as $name => $node) {
            if (!is_array($node)) {
                continue;
            }
            if (!RawRequest::isFile($node)) {
                $files[$name] = self::files($node, $class);
            } elseif ($node['error'] !== UPLOAD_ERR_NO_FILE) {
                // The last argument allows move(): is_uploaded_file() knows nothing of this file.
                $files[$name] = new $class($node['tmpName'], $node['name'], $node['mime'], $node['error'], true);
            } elseif (!is_int($name)) {
                $files[$name] = null;
            }
        }

        return $files;
    }
}
