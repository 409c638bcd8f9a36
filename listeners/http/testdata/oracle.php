<?php
// What PHP itself makes of a form: $_POST, and $_FILES as path => description.
function walk(string $path, mixed $name, mixed $size, mixed $error, array &$out): void
{
    if (!is_array($name)) {
        $out[$path] = "$name $size $error";
        return;
    }
    foreach ($name as $k => $n) {
        walk("$path/$k", $n, $size[$k], $error[$k], $out);
    }
}

$files = [];
foreach ($_FILES as $k => $f) {
    walk((string) $k, $f['name'], $f['size'], $f['error'], $files);
}
ksort($files, SORT_STRING);
echo json_encode(['post' => $_POST, 'files' => $files]);
