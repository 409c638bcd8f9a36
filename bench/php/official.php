<?php

declare(strict_types=1);

/*
 * A worker of our own that moves bytes as the official packages do (spiral/goridge's
 * pipe relay and spiral/roadrunner-http's HttpWorker without PSR-7), which cannot be
 * installed from Debian: the header of a frame by one fread of 12 bytes, its options by
 * another, the payload in freads of what is left, for which PHP's stream layer makes
 * reads of 8 KiB; the context as JSON into a request object, the head of the answer as
 * JSON, the frame in one fwrite.
 */

require __DIR__ . '/application.php';

final class OfficialRequest
{
    public string $body = '';

    public function __construct(
        public readonly string $remoteAddr,
        public readonly string $protocol,
        public readonly string $method,
        public readonly string $uri,
        public readonly array $headers,
        public readonly array $cookies,
        public readonly array $uploads,
        public readonly array $attributes,
        public readonly array $query,
        public readonly bool $parsed,
    ) {
    }
}

/** @return array{int, list<int>, string, int} flags, options, payload, stream bits */
function receive(): array
{
    $head = fread(STDIN, 12);
    if ($head === false || strlen($head) !== 12) {
        exit(0);
    }
    $parts = unpack('Cversion/Cflags/Vsize/Vcrc/Cstream/Creserved', $head);
    if ($parts['crc'] !== crc32(substr($head, 0, 6))) {
        fwrite(STDERR, "bad header\n");
        exit(1);
    }
    $count = ($parts['version'] & 0x0F) - 3;
    $options = $count > 0 ? array_values(unpack("V$count", fread(STDIN, 4 * $count))) : [];
    $payload = '';
    for ($left = $parts['size']; $left > 0; $left -= strlen($more)) {
        $more = fread(STDIN, $left);
        if ($more === false || $more === '') {
            exit(0);
        }
        $payload .= $more;
    }

    return [$parts['flags'], $options, $payload, $parts['stream']];
}

/** @param list<int> $options */
function send(string $payload, int $flags, array $options): void
{
    $version = 0x10 | (3 + count($options));
    $head = pack('CCV', $version, $flags, strlen($payload));
    fwrite(STDOUT, $head . pack('VCC', crc32($head), 0, 0) . pack('V*', ...$options) . $payload);
}

for (;;) {
    [$flags, $options, $payload, $stream] = receive();
    if ($stream & 0x0A) { // STOP or PONG of an answer that is over
        continue;
    }
    if ($flags & 0x01) { // CONTROL
        $control = json_decode($payload, true);
        if (!empty($control['stop'])) {
            exit(0);
        }
        send(json_encode(['pid' => getmypid()]), 0x01, []);
        continue;
    }
    $length = $options[0] ?? 0;
    $context = json_decode(substr($payload, 0, $length), true, 512, JSON_THROW_ON_ERROR);
    parse_str($context['rawQuery'] ?? '', $query);
    $request = new OfficialRequest(
        $context['remoteAddr'] ?? '127.0.0.1',
        $context['protocol'] ?? 'HTTP/1.0',
        $context['method'] ?? 'GET',
        $context['uri'] ?? 'http://localhost',
        array_filter($context['headers'] ?? [], static fn ($values): bool => $values !== []),
        $context['cookies'] ?? [],
        $context['uploads'] ?? [],
        $context['attributes'] ?? [],
        $query,
        $context['parsed'] ?? false,
    );
    $request->body = substr($payload, $length);

    [$fields, $body] = application(
        parse_url($request->uri, PHP_URL_PATH),
        ['accept-language' => $request->headers['Accept-Language'][0] ?? ''],
        $request->cookies,
        static fn (): string => $request->body,
    );
    $head = json_encode([
        'status' => 200,
        'headers' => array_map(static fn (string $value): array => [$value], $fields),
    ], JSON_THROW_ON_ERROR);
    send($head . $body, 0x08, [strlen($head)]); // 0x08: JSON
}
