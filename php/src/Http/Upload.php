<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * One uploaded file. The server has written it to $tmpName and removes it after
 * the response, unless it was moved away.
 */
final class Upload
{
    /**
     * @param string $name file name as the client gave it, without folders
     * @param string $type media type as the client gave it; not verified
     * @param int $error UPLOAD_ERR_OK or another UPLOAD_ERR_* constant
     */
    public function __construct(
        public readonly string $name,
        public readonly string $type,
        public readonly int $size,
        public readonly int $error,
        public readonly string $tmpName,
    ) {
    }

    public function ok(): bool
    {
        return $this->error === UPLOAD_ERR_OK;
    }

    /** The whole content. */
    public function contents(): string
    {
        $bytes = $this->ok() ? @file_get_contents($this->tmpName) : false;
        if ($bytes === false) {
            throw new \RuntimeException("cannot read the upload \"$this->name\": " . $this->why());
        }

        return $bytes;
    }

    /** Moves the file to $path (an existing file is replaced). */
    public function moveTo(string $path): void
    {
        // Not move_uploaded_file(): PHP itself knows nothing of this upload.
        if (!$this->ok() || !@rename($this->tmpName, $path)) {
            throw new \RuntimeException("cannot move the upload \"$this->name\" to $path: " . $this->why());
        }
        @chmod($path, 0666 & ~umask());
    }

    private function why(): string
    {
        return match ($this->error) {
            UPLOAD_ERR_OK => error_get_last()['message'] ?? 'unknown',
            UPLOAD_ERR_NO_FILE => 'no file was sent',
            UPLOAD_ERR_NO_TMP_DIR => 'the server has no folder for uploads',
            UPLOAD_ERR_CANT_WRITE => 'the server could not write it',
            UPLOAD_ERR_EXTENSION => 'the server does not take files with this extension',
            default => "upload error $this->error",
        };
    }
}
