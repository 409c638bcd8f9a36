<?php

declare(strict_types=1);

namespace RR\Http;

use RR\Frame;

/**
 * The contexts of HTTP frames: who asked what, and how it is answered. A server
 * speaks either JSON (RoadRunner up to 2023.3, rrd by default) or protobuf
 * (RoadRunner since 2024.1); answers go in the codec of the request. What is usual
 * does the extension rr.so, when it is loaded.
 */
final class Codec
{
    private const JSON = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR;

    public static function isJson(string $context, int $flags): bool
    {
        // Without a codec flag the context tells: a protobuf message that starts
        // with "{" would be field 15, which does not exist.
        return ($flags & Frame::JSON) !== 0 || (($flags & Frame::PROTO) === 0 && ($context[0] ?? '{') === '{');
    }

    /**
     * A request context as an array, with the keys of the JSON codec.
     *
     * @return array<string, mixed>
     *
     * @throws \UnexpectedValueException
     */
    public static function request(string $context, bool $json): array
    {
        if (\defined('RR_EXT_API_1') && ($request = \RR\Ext\decode_request($context, $json)) !== null) {
            return $request;
        }
        if (!$json) {
            return Proto::request($context);
        }
        $request = json_decode($context, true);
        if (!is_array($request)) {
            throw new \UnexpectedValueException('the request context is not JSON: ' . json_last_error_msg());
        }

        return $request;
    }

    /**
     * A response context.
     *
     * @param array<string, scalar|\Stringable|iterable<scalar|\Stringable>> $headers
     */
    public static function response(int $status, array $headers, bool $json): string
    {
        if (\defined('RR_EXT_API_1') && ($response = \RR\Ext\encode_response($status, $headers, $json)) !== null) {
            return $response;
        }
        if ($headers === []) {
            return $json ? "{\"status\":$status,\"headers\":{}}" : Proto::response($status, []);
        }
        foreach ($headers as $name => $value) {
            if (is_string($value)) {
                $headers[$name] = [$value];
            } elseif (is_iterable($value)) {
                $list = [];
                foreach ($value as $one) {
                    $list[] = (string) $one;
                }
                $headers[$name] = $list;
            } else {
                $headers[$name] = [(string) $value];
            }
        }

        return $json
            ? "{\"status\":$status,\"headers\":" . json_encode((object) $headers, self::JSON) . '}'
            : Proto::response($status, $headers);
    }
}
