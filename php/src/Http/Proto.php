<?php

declare(strict_types=1);

namespace RR\Http;

/**
 * The two protobuf messages of HTTP workers, read and written by hand:
 *
 *     message HeaderValue { repeated bytes value = 1; }
 *     message Request {
 *       string remote_addr = 1;  string protocol = 2;  string method = 3;  string uri = 4;
 *       map<string, HeaderValue> header = 5;  map<string, HeaderValue> cookies = 6;
 *       string raw_query = 7;  bool parsed = 8;  bytes uploads = 9;
 *       map<string, HeaderValue> attributes = 10;
 *     }
 *     message Response { int64 status = 1; map<string, HeaderValue> headers = 2; }
 *
 * Unknown fields are skipped; bytes that are no such message are an
 * \UnexpectedValueException.
 */
final class Proto
{
    /**
     * @return array<string, mixed> with the keys of the JSON codec
     */
    public static function request(string $bytes): array
    {
        $remoteAddr = $protocol = $method = $uri = $rawQuery = $uploads = '';
        $parsed = false;
        $headers = $cookies = $attributes = [];
        $end = strlen($bytes);
        for ($at = 0; $at < $end;) {
            $tag = self::varint($bytes, $at, $end);
            if (($tag & 7) !== 2) {
                $number = self::scalar($bytes, $at, $end, $tag & 7);
                if ($tag === 0x40) {
                    $parsed = $number !== 0;
                }
                continue;
            }
            // Most lengths are one byte: no call for them.
            $length = $at < $end ? ord($bytes[$at]) : 0x80;
            if ($length < 0x80) {
                ++$at;
            } else {
                $length = self::varint($bytes, $at, $end);
            }
            if ($length > $end - $at) {
                throw self::broken($at);
            }
            switch ($tag >> 3) {
                case 1: $remoteAddr = substr($bytes, $at, $length); break;
                case 2: $protocol = substr($bytes, $at, $length); break;
                case 3: $method = substr($bytes, $at, $length); break;
                case 4: $uri = substr($bytes, $at, $length); break;
                case 5: self::entry($bytes, $at, $at + $length, $headers); break;
                case 6: self::entry($bytes, $at, $at + $length, $cookies); break;
                case 7: $rawQuery = substr($bytes, $at, $length); break;
                case 9: $uploads = substr($bytes, $at, $length); break;
                case 10: self::entry($bytes, $at, $at + $length, $attributes); break;
            }
            $at += $length;
        }
        foreach ($cookies as $name => $values) {
            $cookies[$name] = $values[0] ?? '';
        }
        foreach ($attributes as $name => $values) {
            $attributes[$name] = $values[0] ?? '';
        }

        return [
            'remoteAddr' => $remoteAddr,
            'protocol' => $protocol,
            'method' => $method,
            'uri' => $uri,
            'headers' => $headers,
            'cookies' => $cookies,
            'rawQuery' => $rawQuery,
            'parsed' => $parsed,
            'uploads' => $uploads === '' ? null : json_decode($uploads, true),
            'attributes' => $attributes,
        ];
    }

    /**
     * @param array<string, list<string>> $headers
     */
    public static function response(int $status, array $headers): string
    {
        $bytes = "\x08" . self::length($status);
        foreach ($headers as $name => $values) {
            $list = '';
            foreach ($values as $value) {
                $list .= "\x0A" . self::length(strlen($value)) . $value;
            }
            $entry = "\x0A" . self::length(strlen((string) $name)) . $name . "\x12" . self::length(strlen($list)) . $list;
            $bytes .= "\x12" . self::length(strlen($entry)) . $entry;
        }

        return $bytes;
    }

    /**
     * One entry of a map<string, HeaderValue>, added to $map.
     *
     * @param array<string, list<string>> $map
     */
    private static function entry(string $bytes, int $at, int $end, array &$map): void
    {
        // Most entries are one short name with one short value.
        $length = $end - $at;
        if ($length < 0x80 && $length >= 6 && $bytes[$at] === "\x0A"
            && ($key = ord($bytes[$at + 1])) <= $length - 6 && $bytes[$at + $key + 2] === "\x12" && $bytes[$at + $key + 4] === "\x0A"
            && ($value = ord($bytes[$at + $key + 5])) === $length - $key - 6 && ord($bytes[$at + $key + 3]) === $value + 2) {
            $map[substr($bytes, $at + 2, $key)] = [substr($bytes, $at + $key + 6, $value)];

            return;
        }
        $key = '';
        $values = [];
        while ($at < $end) {
            $tag = self::varint($bytes, $at, $end);
            if (($tag & 7) !== 2) {
                self::scalar($bytes, $at, $end, $tag & 7);
                continue;
            }
            $length = self::varint($bytes, $at, $end);
            $stop = $at + $length;
            if ($stop > $end) {
                throw self::broken($at);
            }
            if ($tag === 0x0A) {
                $key = substr($bytes, $at, $length);
            } elseif ($tag === 0x12) {
                while ($at < $stop) {
                    $inner = self::varint($bytes, $at, $stop);
                    if (($inner & 7) !== 2) {
                        self::scalar($bytes, $at, $stop, $inner & 7);
                        continue;
                    }
                    $size = self::varint($bytes, $at, $stop);
                    if ($size > $stop - $at) {
                        throw self::broken($at);
                    }
                    if ($inner === 0x0A) {
                        $values[] = substr($bytes, $at, $size);
                    }
                    $at += $size;
                }
            }
            $at = $stop;
        }
        $map[$key] = $values;
    }

    private static function varint(string $bytes, int &$at, int $end): int
    {
        if ($at >= $end) {
            throw self::broken($at);
        }
        $value = ord($bytes[$at++]);
        if ($value < 0x80) {
            return $value;
        }
        $value &= 0x7F;
        for ($shift = 7; $shift < 64; $shift += 7) {
            if ($at >= $end) {
                break;
            }
            $byte = ord($bytes[$at++]);
            $value |= ($byte & 0x7F) << $shift;
            if ($byte < 0x80) {
                if ($value < 0) {
                    break;
                }

                return $value;
            }
        }
        throw self::broken($at);
    }

    /** A field that is no length-delimited one; 0 for those that are skipped. */
    private static function scalar(string $bytes, int &$at, int $end, int $type): int
    {
        if ($type === 0) {
            return self::varint($bytes, $at, $end);
        }
        $size = match ($type) {
            1 => 8,
            5 => 4,
            default => throw self::broken($at),
        };
        $at += $size;
        if ($at > $end) {
            throw self::broken($at);
        }

        return 0;
    }

    /** A varint of a number >= 0. */
    private static function length(int $n): string
    {
        if ($n < 0x80) {
            return chr($n & 0x7F);
        }
        $bytes = '';
        for (; $n > 0x7F; $n >>= 7) {
            $bytes .= chr($n & 0x7F | 0x80);
        }

        return $bytes . chr($n);
    }

    private static function broken(int $at): \UnexpectedValueException
    {
        return new \UnexpectedValueException("the request context is not protobuf: cannot read it at byte $at");
    }
}
