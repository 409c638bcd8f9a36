<?php

// A worker without the PHP package: only the slots.
$slots = new RR\Ext\Slots(4, 3);
$count = 0;
pcntl_async_signals(true);
pcntl_signal(SIGUSR1, function () use (&$count) {
    $shm = fopen('php://fd/4', 'r+b');
    fseek($shm, 4096 + (fstat($shm)['size'] - 4096) / 2 + 24 + 1000);
    fwrite($shm, chr(++$count));
});
for (;;) {
    $job = $slots->wait();
    if ($job === null) {
        continue;
    }
    [$flags, $stream, $context, $body] = $job;
    if ($flags & 1) {
        exit($body === '{"stop":true}' && $context === '' ? 0 : 3);
    }
    $done = match (true) {
        ($stream & 0x40) !== 0 => $context === '' && $body === '' && !$slots->answer(0, 0, '', 'by the pipe') && $slots->pipe() === null,
        $body === 'large' => !$slots->answer(0, 0, 'context', str_repeat('x', fstat(fopen('php://fd/4', 'r'))['size'])) && !$slots->answer(0, 0, '', 'more'),
        $body === 'stream' => !$slots->answer(0, 1, '', 'part1') && !$slots->answer(0, 1, '', 'part2') && !$slots->answer(0, 0, '', ''),
        $body === 'pipe' => $slots->pipe() === null && $slots->pipe() === null && !$slots->answer(0, 0, '', 'x'),
        $body === 'twice' => $slots->answer(0, 0, '', 'x') && !$slots->answer(0, 0, '', 'x'),
        $body === 'count' => $slots->answer(0, 0, '', (string) $count),
        default => $slots->answer($flags, $stream, $context, $body),
    };
    if (!$done) {
        exit(4);
    }
}
