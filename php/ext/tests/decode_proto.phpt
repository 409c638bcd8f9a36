--TEST--
Protobuf contexts: what is decoded is what RR\Http\Proto makes of them
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/codec.inc';
mt_srand(4711);
function varint(int $n): string
{
    for ($s = ''; $n < 0 || $n > 0x7F; $n = $n >> 7 & 0x1FFFFFFFFFFFFFF) {
        $s .= chr($n & 0x7F | 0x80);
    }

    return $s . chr($n);
}
function bytes(int $field, string $s): string
{
    return varint($field << 3 | 2) . varint(strlen($s)) . $s;
}
function unknown(): string
{
    return mt_rand(0, 5) ? '' : pick([bytes(15, text()), varint(12 << 3) . varint(mt_rand()), varint(13 << 3 | 5) . 'abcd', varint(14 << 3 | 1) . 'abcdefgh', varint(2 << 3) . varint(7), varint(1 << 3 | 3)]);
}
function entries(int $field): string
{
    $s = '';
    foreach (pairs(static fn () => array_map('text', array_fill(0, mt_rand(0, 3), 0))) as [$name, $values]) {
        $list = '';
        foreach ($values as $value) {
            $list .= unknown() . bytes(1, $value);
        }
        $key = bytes(1, (string) $name);
        $value = bytes(2, $list);
        $s .= bytes($field, pick([$key . $value, $value . $key, $key, $value, unknown() . $key . $value . unknown()]));
    }

    return $s;
}
$decoded = 0;
for ($i = 0; $i < ROUNDS; ++$i) {
    text(true);
    $context = bytes(1, '10.0.0.7') . bytes(2, 'HTTP/1.1') . bytes(3, 'GET') . bytes(4, text()) . unknown() . entries(5) . entries(6)
        . bytes(7, text()) . (mt_rand(0, 1) ? varint(8 << 3) . varint(mt_rand(0, 2)) : '') . (mt_rand(0, 9) ? '' : bytes(9, '{"f":{"name":"x"}}')) . entries(10);
    if ($i % 3 === 0) {
        $context = damage($context);
    }
    if (!same(static fn () => RR\Ext\decode_request($context, false) ?? RR\Http\Proto::request($context), static fn () => RR\Http\Proto::request($context))) {
        echo 'differs: ', bin2hex($context), "\n";
        var_dump(RR\Ext\decode_request($context, false), RR\Http\Proto::request($context));
        exit;
    }
    $decoded += RR\Ext\decode_request($context, false) !== null;
}
echo $decoded > ROUNDS * 0.3 ? "many were decoded\n" : "only $decoded were decoded\n";
foreach (['', "\x80", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", "\x40\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"] as $odd) {
    var_dump(same(static fn () => RR\Ext\decode_request($odd, false) ?? RR\Http\Proto::request($odd), static fn () => RR\Http\Proto::request($odd)));
}
?>
--EXPECT--
many were decoded
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
