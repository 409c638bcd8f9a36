<?php
// Answers the pid request, then writes 3 MiB before it reads the job: more than
// a pipe holds.
$head = fread(STDIN, 12);
fread(STDIN, unpack('Vlength', $head, 2)['length']);
$payload = '{"pid":' . getmypid() . '}';
$head = pack('CCV', 0x13, 0x01, strlen($payload));
fwrite(STDOUT, $head . pack('V', crc32($head)) . "\0\0" . $payload);
$head = pack('CCV', 0x14, 0x08, 3 << 20);
fwrite(STDOUT, $head . pack('V', crc32($head)) . "\0\0" . pack('V', 0) . str_repeat('x', 3 << 20));
while (!feof(STDIN)) {
    fread(STDIN, 1 << 20);
}
