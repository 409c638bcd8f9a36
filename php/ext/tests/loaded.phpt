--TEST--
The extension is there with all that the PHP package looks for
--EXTENSIONS--
rr
--FILE--
<?php
var_dump(get_defined_constants(true)['rr']);
foreach ((new ReflectionExtension('rr'))->getFunctions() as $f) {
    echo $f->getName(), '(', implode(', ', array_map(fn ($p) => $p->getType() . ' $' . $p->getName(), $f->getParameters())), '): ', $f->getReturnType(), "\n";
}
$class = new ReflectionClass('RR\Ext\Slots');
var_dump($class->isFinal(), $class->isCloneable());
foreach ($class->getMethods() as $m) {
    echo $m->getName(), '(', implode(', ', array_map(fn ($p) => $p->getType() . ' $' . $p->getName(), $m->getParameters())), '): ', $m->getReturnType(), "\n";
}
?>
--EXPECT--
array(1) {
  ["RR_EXT_API_1"]=>
  int(1)
}
RR\Ext\decode_request(string $context, bool $json): ?array
RR\Ext\encode_response(int $status, array $headers, bool $json): ?string
bool(true)
bool(false)
__construct(int $shm, int $ctl): 
wait(): ?array
answer(int $flags, int $stream, string $context, string $body): bool
pipe(): void
