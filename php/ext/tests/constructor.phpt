--TEST--
Slots refuses what is no control page
--EXTENSIONS--
rr
--FILE--
<?php
function attempt(string $what, callable $f): void
{
    try {
        $f();
        echo "$what: no error\n";
    } catch (Throwable $e) {
        echo "$what: ", $e::class, ': ', preg_replace('/descriptor -?\d+/', 'descriptor N', $e->getMessage()), "\n";
    }
}
/** @return int the descriptor of a file with this content */
function file_with(string $content, int $size): int
{
    static $open = [];
    $open[] = $f = tmpfile();
    fwrite($f, $content);
    ftruncate($f, $size);
    foreach (scandir('/proc/self/fd') as $fd) {
        if (@readlink("/proc/self/fd/$fd") === stream_get_meta_data($f)['uri']) {
            return (int) $fd;
        }
    }
}
$right = pack('a4VV', 'RRS1', 1, 4096);
attempt('closed', fn () => new RR\Ext\Slots(-1, 2));
attempt('far too large', fn () => new RR\Ext\Slots(PHP_INT_MAX, 2));
attempt('empty', fn () => new RR\Ext\Slots(file_with('', 0), 2));
attempt('zeros', fn () => new RR\Ext\Slots(file_with('', 3 * 4096), 2));
attempt('other version', fn () => new RR\Ext\Slots(file_with(pack('a4VV', 'RRS1', 2, 4096), 3 * 4096), 2));
attempt('other size', fn () => new RR\Ext\Slots(file_with($right, 4 * 4096), 2));
attempt('no room', fn () => new RR\Ext\Slots(file_with(pack('a4VV', 'RRS1', 1, 24), 4096 + 48), 2));
attempt('no pipe', fn () => new RR\Ext\Slots(file_with($right, 3 * 4096), -1));
attempt('a terminal', fn () => new RR\Ext\Slots(file_with($right, 3 * 4096), 4000));
$slots = new RR\Ext\Slots($fd = file_with($right, 3 * 4096), 2);
attempt('twice', fn () => $slots->__construct($fd, 2));
attempt('clone', fn () => clone $slots);
?>
--EXPECT--
closed: RuntimeException: cannot use descriptor N as shared memory: Bad file descriptor
far too large: RuntimeException: cannot use descriptor N as shared memory: Bad file descriptor
empty: RuntimeException: the shared memory has 0 bytes, that is no control page
zeros: RuntimeException: the shared memory has no slots of version 1
other version: RuntimeException: the shared memory has no slots of version 1
other size: RuntimeException: the shared memory has no slots of version 1
no room: RuntimeException: the shared memory has no slots of version 1
no pipe: RuntimeException: cannot use descriptor N to wake the server
a terminal: RuntimeException: cannot use descriptor N to wake the server
twice: Error: RR\Ext\Slots is constructed already
clone: Error: Trying to clone an uncloneable object of class RR\Ext\Slots
