--TEST--
Response contexts: the bytes of RR\Http\Codec, or null
--EXTENSIONS--
rr
--FILE--
<?php
require __DIR__ . '/codec.inc';
// The PHP code alone, as without the extension.
$php = static function (int $status, array $headers, bool $json): string {
    foreach ($headers as $name => $value) {
        $headers[$name] = is_iterable($value) ? array_map('strval', is_array($value) ? array_values($value) : iterator_to_array($value, false)) : [(string) $value];
    }

    return $json
        ? "{\"status\":$status,\"headers\":" . json_encode((object) $headers, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE) . '}'
        : RR\Http\Proto::response($status, $headers);
};
mt_srand(4711);
$encoded = 0;
for ($i = 0; $i < ROUNDS; ++$i) {
    text(true);
    $headers = [];
    foreach (pairs(static fn () => pick([text(), mt_rand(), -5, 0, PHP_INT_MIN, true, false, null, 1.5, new ArrayIterator(['a', 'b']), [text(), 7, text()], ['x' => 'a', 'y' => null], []])) as [$name, $value]) {
        $headers[$name] = $value;
    }
    if ($headers !== [] && mt_rand(0, 3) === 0) {
        $headers[array_key_first($headers)] = &$encoded_reference;
        $encoded_reference = 'by reference';
    }
    $status = pick([200, 404, 599, 0, 70000, PHP_INT_MAX]);
    foreach ([true, false] as $json) {
        $ours = RR\Ext\encode_response($status, $headers, $json);
        if ($ours === null) {
            continue;
        }
        ++$encoded;
        if ($ours !== $php($status, $headers, $json)) {
            echo 'differs: ', var_export($headers, true), "\n", $ours, "\n", $php($status, $headers, $json), "\n";
            exit;
        }
    }
    unset($encoded_reference);
}
echo $encoded > ROUNDS * 0.3 ? "many were encoded\n" : "only $encoded were encoded\n";
echo RR\Ext\encode_response(200, [], true), "\n";
echo RR\Ext\encode_response(201, ['Content-Type' => 'text/html', 'Set-Cookie' => ['a=1', 'b=2'], 'X-Int' => 5, 7 => 'seven'], true), "\n";
echo bin2hex(RR\Ext\encode_response(200, ['A' => 'b'], false)), "\n";
var_dump(RR\Ext\encode_response(200, ['A' => "\u{e9}"], true), RR\Ext\encode_response(-1, [], false), RR\Ext\encode_response(200, ['A' => 1.5], true));
?>
--EXPECT--
many were encoded
{"status":200,"headers":{}}
{"status":201,"headers":{"Content-Type":["text/html"],"Set-Cookie":["a=1","b=2"],"X-Int":["5"],"7":["seven"]}}
08c80112080a014112030a0162
NULL
NULL
NULL
