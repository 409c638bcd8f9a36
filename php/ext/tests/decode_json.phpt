--TEST--
JSON contexts: what is decoded is what json_decode() makes of them
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/codec.inc';
mt_srand(4711);
$flags = JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE;
$json = static fn (mixed $v): string => json_encode($v, $flags | (mt_rand(0, 1) ? JSON_UNESCAPED_UNICODE : 0) | (mt_rand(0, 9) ? 0 : JSON_PRETTY_PRINT));
$object = static fn (array $pairs): string => '{' . implode(',', array_map(static fn ($p) => $json((string) $p[0]) . ':' . $json($p[1]), $pairs)) . '}';
$decoded = 0;
for ($i = 0; $i < ROUNDS; ++$i) {
    text(true);
    $context = $object([
        ['remoteAddr', '10.0.0.7'], ['protocol', 'HTTP/1.1'], ['method', pick(['GET', 'POST', text()])], ['uri', 'http://shop.local/' . text()],
    ]);
    $context = substr($context, 0, -1) . ',"headers":' . $object(pairs(static fn () => [text(), text()]))
        . ',"cookies":' . $object(pairs(text(...))) . ',"rawQuery":' . $json(text()) . ',"parsed":' . pick(['true', 'false'])
        . ',"uploads":' . pick(['null', $object(pairs(static fn () => ['name' => text(), 'size' => mt_rand(), 'error' => 0] + (mt_rand(0, 9) ? [] : ['float' => 1.5])))])
        . ',"attributes":' . $object(pairs(static fn () => [text()])) . '}';
    if ($i % 3 === 0) {
        $context = damage($context);
    }
    $ours = RR\Ext\decode_request($context, true);
    $theirs = json_decode($context, true);
    if ($ours !== null) {
        ++$decoded;
        if (serialize($ours) !== serialize($theirs)) {
            echo "differs: $context\n";
            var_dump($ours, $theirs);
            exit;
        }
    }
}
echo $decoded > ROUNDS * 0.3 ? "many were decoded\n" : "only $decoded were decoded\n";
// What the daemon sends must not be refused.
$usual = '{"remoteAddr":"10.0.0.7","protocol":"HTTP/1.1","method":"GET","uri":"http://shop.local/a?b=\u003c1","headers":{"Accept":["*/*"],"X":["a","b"]},"cookies":{"sid":"x"},"rawQuery":"b=1","parsed":false,"uploads":null,"attributes":{}}';
var_dump(RR\Ext\decode_request($usual, true) === json_decode($usual, true));
foreach (['', ' ', '{', '[]', '1', '"x"', 'null', '{"a":1.5}', '{"a":-1}', '{"a":1e3}', '{"a":01}', '{"a":1234567890123456789}', '{"a":"\ud83d\ude00"}', '{"a":"' . "\xff" . '"}',
    "{\"a\":\"\n\"}", '{"a":TRUE}', '{"a":1,}', '{a:1}', '{"a":1}x', str_repeat('[', 100) . str_repeat(']', 100)] as $left) {
    $ours = RR\Ext\decode_request($left, true);
    if ($ours !== null && $ours !== json_decode($left, true)) {
        echo "differs: $left\n";
    }
}
?>
--EXPECT--
many were decoded
bool(true)
