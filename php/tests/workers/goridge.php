<?php

// A worker on RR\Goridge\Relay, which treats it as spiral/roadrunner-worker does.
// Used by
// GoridgeRelayTest, and with HTTP set by SharedDaemonTest.

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';
require __DIR__ . '/../goridge.php';

use Spiral\Goridge\Frame;

if (getenv('STREAMS')) {
    class_alias(RR\Payload::class, 'Spiral\RoadRunner\Message\Command\StreamStop');
}
echo "text before the relay\n";
$relay = RR\Goridge\Relay::fromEnv();

while (!(($frame = $relay->waitFrame())->flags & Frame::CONTROL)) {
    if ($frame->byte10 & 2) {
        fwrite(STDERR, "late STOP\n");
        continue;
    }
    $context = substr($frame->payload, 0, $frame->options[0]);
    $body = substr($frame->payload, $frame->options[0]);
    if (getenv('HTTP')) {
        $context = '{"status":200,"headers":{}}';
    }
    [$command, $argument] = explode(' ', $body, 2) + ['', ''];
    switch ($command) {
        case 'error':
            $relay->send(new Frame($argument, [], Frame::ERROR));
            break;
        case 'stream':
            for ($i = 0; !$relay->hasFrame(); ++$i) {
                $part = new Frame($context . str_repeat('x', (int) $argument), [strlen($context)]);
                $part->byte10 = 1 | 4;
                $relay->send($part);
                $context = '';
            }
            fwrite(STDERR, 'got ' . $relay->waitFrame()->byte10 . "\n");
            $relay->send(new Frame('', [0]));
            break;
        default:
            $relay->send(new Frame($context . strtoupper($body), [strlen($context)]));
    }
}
fwrite(STDERR, "end: {$frame->payload}\n");
