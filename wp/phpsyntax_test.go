package wp

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newerThan74 reads PHP from standard input and names what PHP 7.4 would not take: syntax
// and functions of later versions. It knows what a careless author would write, not all
// that there is.
const newerThan74 = `
$names  = [ 'T_MATCH', 'T_NULLSAFE_OBJECT_OPERATOR', 'T_ATTRIBUTE', 'T_ENUM', 'T_READONLY' ];
$later  = [ 'str_contains', 'str_starts_with', 'str_ends_with', 'get_debug_type', 'array_is_list', 'array_find', 'array_any', 'array_all', 'json_validate', 'fdiv', 'preg_last_error_msg', 'mb_str_pad' ];
$tokens = array_values( array_filter( token_get_all( stream_get_contents( STDIN ) ), function ( $t ) {
	return ! is_array( $t ) || ! in_array( $t[0], [ T_WHITESPACE, T_COMMENT, T_DOC_COMMENT ], true );
} ) );
$text  = function ( $i ) use ( $tokens ) { $t = isset( $tokens[ $i ] ) ? $tokens[ $i ] : ''; return is_array( $t ) ? $t[1] : $t; };
$open  = 0; // parentheses of the parameters of a function
$stack = [];
foreach ( $tokens as $i => $t ) {
	$id   = is_array( $t ) ? $t[0] : 0;
	$line = is_array( $t ) ? $t[2] : 0;
	$bad  = '';
	if ( '(' === $t ) {
		$word    = $text( $i - 1 );
		$before  = $text( $i - 2 );
		$stack[] = in_array( 'function', [ $word, $before ], true ) || 'fn' === $word || 'use' === $word ? 'declares' : 'calls';
	} elseif ( ')' === $t ) {
		if ( 'declares' === array_pop( $stack ) && ',' === $text( $i - 1 ) ) {
			$bad = 'comma behind the last parameter';
		}
	} elseif ( $id && in_array( token_name( $id ), $names, true ) ) {
		$bad = $t[1];
	} elseif ( T_STRING === $id && in_array( strtolower( $t[1] ), $later, true ) && '(' === $text( $i + 1 ) && '->' !== $text( $i - 1 ) ) {
		$bad = $t[1];
	} elseif ( T_STRING === $id && ':' === $text( $i + 1 ) && in_array( $text( $i - 1 ), [ '(', ',' ], true ) && 'calls' === end( $stack ) ) {
		$bad = 'named argument ' . $t[1];
	} elseif ( T_STRING === $id && '|' === $text( $i + 1 ) && 'declares' === end( $stack ) ) {
		$bad = 'union type';
	} elseif ( T_THROW === $id && ! in_array( $text( $i - 1 ), [ ';', '{', '}', ')', 'else', ':' ], true ) ) {
		$bad = 'throw as an expression';
	} elseif ( T_ELLIPSIS === $id && ')' === $text( $i + 1 ) ) {
		$bad = 'function as a value';
	} elseif ( T_CATCH === $id && ')' === $text( $i + 3 ) ) {
		$bad = 'catch without a variable';
	} elseif ( in_array( $id, [ T_PUBLIC, T_PRIVATE, T_PROTECTED ], true ) && 'declares' === end( $stack ) ) {
		$bad = 'promoted parameter';
	}
	if ( $bad ) {
		echo "$line: $bad\n";
	}
}`

func phpCheck(t *testing.T, code string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "php", args...)
	cmd.Stdin = strings.NewReader(code)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error() + ": " + string(out)
	}
	return strings.TrimSpace(string(out))
}

// What runs in a tenant's site runs on the tenant's PHP.
func TestOurPHPIsOfVersion74(t *testing.T) {
	t.Parallel()
	files := map[string]string{"php/mu/wptk.php": muPlugin, "php/dropin/object-cache.php": objectCacheDropIn, "php/dropin/advanced-cache.php": pageCacheDropIn}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	names, err := fs.Glob(phpFiles, "php/*.php")
	must(err)
	for _, name := range names {
		code, err := phpFiles.ReadFile(name)
		must(err)
		files[name] = string(code)
	}
	for name, code := range files {
		if said := phpCheck(t, code, "-l"); !strings.HasPrefix(said, "No syntax errors") {
			t.Errorf("%s: %s", name, said)
		}
		if said := phpCheck(t, code, "-r", newerThan74); said != "" {
			t.Errorf("%s is newer than PHP 7.4:\n%s", filepath.Base(name), said)
		}
	}
}

func TestNewerPHPIsNoticed(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`$a = match ( 1 ) { default => 2 };`, `$a?->b();`, `#[Attribute] class A {}`, `str_contains( 'a', 'b' );`, `f( name: 1 );`,
		`function f( int|string $a ) {}`, `function f( $a, ) {}`, `$f = strlen( ... );`, `try { f(); } catch ( Error ) { g(); }`,
		`$a = $b ?? throw new Error();`, `class A { public function __construct( private int $a ) {} }`, `enum A { case B; }`,
	} {
		if said := phpCheck(t, "<?php "+line, "-r", newerThan74); said == "" {
			t.Errorf("%s is not noticed", line)
		}
	}
	for _, line := range []string{
		`$a = static fn( $b ) => $b + 1; f( $a ? B : 1, ...$c ); try { g(); } catch ( Error $e ) { throw $e; }`,
		`class A { private ?int $a = null; public function f( array $b = array( 1, 2, ) ) { return h( 1, 2, ); } } $x = $a->match; $y ??= 1_000;`,
		`switch ( $a ) { case B: throw new C(); default: d(); } $x = array( B => 1 ) + array( 'str_contains' => 2 ); if ( $a | B ) { f( A | B ); }`,
	} {
		if said := phpCheck(t, "<?php "+line, "-r", newerThan74); said != "" {
			t.Errorf("%s: %s", line, said)
		}
	}
}

// A page of ours inside of a site loads nothing and holds no address of ours.
func TestMustUsePluginIsSmallAndAlone(t *testing.T) {
	t.Parallel()
	if len(muPlugin) > 20<<10 {
		t.Errorf("it has %d bytes", len(muPlugin))
	}
	for _, no := range []string{"http://", "https://", "eval(", "base64", "include ", "shell_exec", "<script"} {
		if strings.Contains(muPlugin, no) {
			t.Errorf("it has %s", no)
		}
	}
}
