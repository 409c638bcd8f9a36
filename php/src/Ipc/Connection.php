<?php

declare(strict_types=1);

namespace RR\Ipc;

use RR\Relay;

/**
 * Chooses the transport by what the server announces in the environment:
 * RR_RELAY names the relay, and RR_IPC, which only rrd sets, says which
 * descriptors this worker has beyond its standard ones:
 *
 *     RR_IPC=v=1,ctl=3,shm=4,half=1048576,slots=1
 *
 * ctl is where the worker's frames go, so that its stdout is free, shm the
 * shared memory, half the size of its halves, slots that the memory has a page for
 * the extension rr.so. What does not work is left out:
 * in the end there are always the pipes.
 *
 * @internal
 */
final class Connection
{
    public static function open(): Transport
    {
        $ipc = self::announced();
        $control = $ipc['ctl'] ?? null;
        // Before the descriptors are closed.
        $slots = isset($control, $ipc['shm'], $ipc['half'], $ipc['slots']) ? Slots::map($ipc['shm'], $control) : null;
        $relay = $control === null ? null : Relay::control($control);
        if ($relay === null) {
            return new FrameStream(Relay::fromEnv());
        }
        $segment = isset($ipc['shm'], $ipc['half']) ? self::segment($ipc['shm'], $ipc['half']) : null;

        if ($segment === null) {
            return new FrameStream($relay);
        }
        $shared = new SharedMemory($relay, $segment, $ipc['half']);

        return $slots === null ? $shared : new Slots($slots, $shared);
    }

    /** @return array<string, int> empty when nothing that this version knows is announced */
    private static function announced(): array
    {
        $announced = (string) getenv('RR_IPC');
        if ($announced === '' || !in_array((string) getenv('RR_RELAY'), ['', 'pipes'], true)) {
            return [];
        }
        // The descriptors are this process's: its children must not look for theirs there.
        putenv('RR_IPC');
        unset($_ENV['RR_IPC'], $_SERVER['RR_IPC']);

        return self::parse($announced);
    }

    /** @return array<string, int> */
    private static function parse(string $announced): array
    {
        preg_match_all('/(?:^|,)([a-z]+)=(\d{1,10})(?=,|$)/', $announced, $matches);
        $ipc = array_map(intval(...), array_combine($matches[1], $matches[2]));

        return ($ipc['v'] ?? 0) === 1 ? $ipc : [];
    }

    private static function segment(int $fd, int $half): ?Segment
    {
        $file = @fopen("php://fd/$fd", 'r+b');
        $right = $file !== false && $half > Segment::START && fstat($file)['size'] === Segment::CONTROL + 2 * $half;
        $segment = $right ? MappedSegment::open($fd, $half) ?? FileSegment::open($fd, $half) : null;
        Libc::close($fd);

        return $segment;
    }
}
