<?php

declare(strict_types=1);

namespace RR\Tests;

use PHPUnit\Framework\TestCase;
use RR\Http\Proto;

final class ProtoTest extends TestCase
{
    /** A field, written in another way than Proto does it. */
    private static function field(int $number, string $value): string
    {
        return self::varint($number << 3 | 2) . self::varint(strlen($value)) . $value;
    }

    private static function varint(int $n): string
    {
        return $n < 128 ? chr($n) : chr($n % 128 + 128) . self::varint(intdiv($n, 128));
    }

    private static function entry(int $number, string $key, string ...$values): string
    {
        return self::field($number, self::field(1, $key) . self::field(2, implode('', array_map(static fn ($v) => self::field(1, $v), $values))));
    }

    private static function message(): string
    {
        return self::field(1, '10.0.0.7') . self::field(2, 'HTTP/2.0') . self::field(3, 'POST') . self::field(4, 'http://h/' . str_repeat('p', 300))
            . self::entry(5, 'X-Many', "a\xFF", 'b') . self::entry(5, 'X-Empty', '') . self::entry(5, 'X-None') . self::entry(5, '7', 'number')
            . self::entry(6, 'sid', str_repeat('s', 20000)) . self::field(7, 'a=1') . "\x40\x01"
            . self::field(9, '{"f":{"name":"a"}}') . self::entry(10, 'user', 'jane', 'joe');
    }

    public function testRequest(): void
    {
        $expected = [
            'remoteAddr' => '10.0.0.7',
            'protocol' => 'HTTP/2.0',
            'method' => 'POST',
            'uri' => 'http://h/' . str_repeat('p', 300),
            'headers' => ['X-Many' => ["a\xFF", 'b'], 'X-Empty' => [''], 'X-None' => [], 7 => ['number']],
            'cookies' => ['sid' => str_repeat('s', 20000)],
            'rawQuery' => 'a=1',
            'parsed' => true,
            'uploads' => ['f' => ['name' => 'a']],
            'attributes' => ['user' => 'jane'],
        ];
        self::assertSame($expected, Proto::request(self::message()));
        // Fields of later versions: varint, 64 bits, bytes, 32 bits.
        self::assertSame($expected, Proto::request("\x58\xFF\x01\x61" . '12345678' . self::message() . self::field(200, 'new') . "\x6D" . '1234'));
    }

    public function testEmpty(): void
    {
        self::assertSame(['remoteAddr' => '', 'protocol' => '', 'method' => '', 'uri' => '', 'headers' => [], 'cookies' => [], 'rawQuery' => '', 'parsed' => false, 'uploads' => null, 'attributes' => []], Proto::request(''));
    }

    /** Whatever arrives is read or refused with an exception; nothing else happens. */
    public function testNoise(): void
    {
        mt_srand(1);
        $message = self::message();
        $refused = 0;
        for ($i = 0; $i < 20000; ++$i) {
            $bytes = substr($message, 0, 400);
            for ($n = mt_rand(1, 4); $n > 0; --$n) {
                $bytes[mt_rand(0, strlen($bytes) - 1)] = chr(mt_rand(0, 255));
            }
            try {
                $request = Proto::request(substr($bytes, 0, mt_rand(0, 400)));
                self::assertIsString($request['uri']);
                self::assertIsArray($request['headers']);
            } catch (\UnexpectedValueException) {
                ++$refused;
            }
        }
        self::assertGreaterThan(1000, $refused);
    }

    public function testNumbersThatAreTooLong(): void
    {
        foreach (["\x0A" . str_repeat("\xFF", 9) . "\x01", "\x0A" . str_repeat("\xFF", 20), "\x0A\xFF\xFF\xFF\xFF\x0F"] as $bytes) {
            try {
                Proto::request($bytes);
                self::fail(bin2hex($bytes));
            } catch (\UnexpectedValueException $e) {
                self::assertStringContainsString('the request context is not protobuf', $e->getMessage());
            }
        }
    }

    public function testResponse(): void
    {
        self::assertSame('08c801', bin2hex(Proto::response(200, [])));
        $long = str_repeat('v', 200);
        self::assertSame(
            bin2hex("\x08\x94\x03" . self::entry(2, 'Set-Cookie', 'a=1', $long) . self::entry(2, 'X-None') . self::entry(2, '7', '')),
            bin2hex(Proto::response(404, ['Set-Cookie' => ['a=1', $long], 'X-None' => [], 7 => ['']])),
        );
    }
}
