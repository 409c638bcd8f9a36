<?php

declare(strict_types=1);

namespace RR;

use RR\Rpc\Client;

/**
 * The application's log, channel "app" of the server. Unlike error_log() it has
 * levels and fields.
 *
 *     $log = new RR\Log();
 *     $log->warning('stock is low', ['article' => 'A-17', 'left' => 3]);
 */
final class Log
{
    private readonly Client $rpc;

    public function __construct(?Client $rpc = null)
    {
        $this->rpc = $rpc ?? new Client();
    }

    /** @param array<string, mixed> $fields */
    public function error(string $message, array $fields = []): void
    {
        $this->send('Error', $message, $fields);
    }

    /** @param array<string, mixed> $fields */
    public function warning(string $message, array $fields = []): void
    {
        $this->send('Warning', $message, $fields);
    }

    /** @param array<string, mixed> $fields */
    public function info(string $message, array $fields = []): void
    {
        $this->send('Info', $message, $fields);
    }

    /** @param array<string, mixed> $fields */
    public function debug(string $message, array $fields = []): void
    {
        $this->send('Debug', $message, $fields);
    }

    /** The bytes as they are, to the server's stderr. */
    public function raw(string $text): void
    {
        $this->rpc->call('app.Log', $text);
    }

    /** @param array<string, mixed> $fields */
    private function send(string $level, string $message, array $fields): void
    {
        if ($fields === []) {
            $this->rpc->call("app.$level", $message);

            return;
        }
        $attributes = [];
        foreach ($fields as $key => $value) {
            $attributes[] = ['key' => (string) $key, 'value' => self::text($value)];
        }
        // The message applogger.v1.LogEntry, whose values are strings.
        $this->rpc->call("app.{$level}WithContext", ['message' => $message, 'log_attrs' => $attributes]);
    }

    private static function text(mixed $value): string
    {
        return match (true) {
            is_string($value) => $value,
            is_bool($value) => $value ? 'true' : 'false',
            is_scalar($value), $value instanceof \Throwable, $value instanceof \Stringable => (string) $value,
            $value instanceof \DateTimeInterface => $value->format(\DATE_RFC3339_EXTENDED),
            default => (string) json_encode($value, JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE),
        };
    }
}
