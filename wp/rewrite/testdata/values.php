<?php
// Builds each value that comes in as a line of JSON twice: with the old host, which the
// rewriter gets, and as the rewriter is to leave it, with the new one.
class A { public $a; protected $b; private $c; function __construct($v) { $this->a = $v[0] ?? null; $this->b = $v[1] ?? null; $this->c = $v[2] ?? null; } }
class B { public $v; function __construct($v) { $this->v = $v; } function __serialize(): array { return $this->v; } function __unserialize(array $v): void { $this->v = $v; } }
enum E: string { case One = 'old.test'; }
const FLAGS = [JSON_UNESCAPED_SLASHES, JSON_UNESCAPED_UNICODE, JSON_HEX_QUOT | JSON_HEX_TAG | JSON_HEX_AMP, JSON_PRETTY_PRINT];
function flags(int $bits): int { $all = 0; foreach (FLAGS as $i => $f) { if ($bits & 1 << $i) { $all |= $f; } } return $all; }

// What a text is to become. The rules that are no mere replacement are spelled out here.
function text(string $t, bool $new): string {
	if ($new && !preg_match('/me@|not%s|s:4:/', $t)) { // s:4: is not the length of what follows
		return str_replace('http://a-longer.example.org', 'https://a-longer.example.org', str_replace(['%%', '%s'], ['%', 'a-longer.example.org'], $t));
	}
	return str_replace(['%%', '%s'], ['%', 'old.test'], $t);
}
function build(array $n, bool $new): mixed {
	$v = $n['v'] ?? null;
	switch ($n['k']) {
		case 'text': return text($v, $new);
		case 'list': return array_map(fn($x) => build($x, $new), $v);
		case 'map':
			$out = [];
			foreach ($v as [$key, $x]) { $out[text($key['v'], $new)] = build($x, $new); }
			return $out;
		case 'json': return json_encode(build($v, $new), flags($n['flags']) | JSON_INVALID_UTF8_SUBSTITUTE);
		case 'ser': return serialize(build($v, $new));
		case 'twice':
			$x = build($v, $new);
			$o = new stdClass;
			$o->one = $x;
			$o->again = [E::One, $o];
			$o->ref = &$o->one;
			return $o;
		case 'object':
			$all = array_map(fn($x) => build($x, $new), $v);
			return [new A($all), new B($all), (object) ['p' => $all]][$n['class']];
		case 'float': return (float) $v;
	}
	return $v;
}
while (($line = fgets(STDIN)) !== false) {
	$n = json_decode($line, true);
	echo base64_encode(build($n, false)), ' ', base64_encode(build($n, true)), "\n";
}
