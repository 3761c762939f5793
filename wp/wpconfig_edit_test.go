package wp

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/wptest"
)

// configFuzz writes files of every style for one constant N and its neighbours, the
// honest and the devious ones.
type configFuzz struct {
	r *rand.Rand
	n string // prefix that keeps the constants of one file apart from all others
}

func (f configFuzz) pick(s ...string) string { return s[f.r.IntN(len(s))] }

func (f configFuzz) literal() string {
	text := f.pick("", "a'b", `c\d`, "é", "?>", "# x", "/* y */", "define('", "${z}", "\n")
	return f.pick("true", "FALSE", "null", "0", "42", "-7", `''`, `"x\x41"`, phpLiteral(f.r, text), phpLiteral(f.r, text))
}

func (f configFuzz) gap() string {
	return f.pick("", " ", "\n", "\n\n", "\r\n", "\t", "/* it's */", "// don't\n", "# \"\n", "/** define('X', 1); */\n", "?> text <?php ", "?>\n<?php\n")
}

func (f configFuzz) in() string { return f.pick("", " ", "/**/", "\n") }

// define gives a constant a value in one of the plain forms.
func (f configFuzz) define(name string) string {
	quoted := f.pick("'"+name+"'", `"`+name+`"`)
	value := f.literal()
	switch f.r.IntN(7) {
	case 0:
		return "const " + name + f.in() + "=" + f.in() + value + f.in() + ";"
	case 1:
		return "if ( ! defined(" + quoted + ") ) {" + f.in() + "define(" + quoted + ", " + value + ");" + f.in() + "}"
	case 2:
		return "defined(" + quoted + ") " + f.pick("or", "||") + " define(" + quoted + ", " + value + ");"
	case 3:
		return "define(" + quoted + ", " + value + "); if (!defined(" + quoted + ")) define(" + quoted + ", 'other');"
	}
	return f.pick("define", "DEFINE", `\define`) + f.in() + "(" + f.in() + quoted + f.in() + "," + f.in() + value + f.in() + f.pick("", ",") + ")" + f.in() + ";"
}

// devious touches a constant in a way that only running tells, or only seems to.
func (f configFuzz) devious(name string) string {
	return strings.ReplaceAll(f.pick(
		"if (true) { define('N', 1); }", "if (false) { define('N', 1); } else { define('N', 2); }", "if (false): define('N', 1); endif;",
		"if (!defined('N')): define('N', 6); endif;", "$f = 'define'; $f('N', 4);", "call_user_func('define', 'N', 5);", `eval("define('N', 3);");`,
		"foreach (['N'] as $n) define($n, 1);", "define('N' . '', 1);", "function_exists('x') && define('N', 1);", "array_map('define', ['N'], [1]);",
		"try { define('N', 1); } finally {}", "switch (1) { case 1: define('N', 1); }", "for (;false;) define('N', 1);", "if (false) define('N', 1);",
		"if (true) if (!defined('N')) define('N', 7);", "if (false) { } elseif (true) { define('N', 8); }", "@define('N', 9);", "$x = define('N', 10);",
		"if (true) { } else { } define('N', 11);", "$t = \"define('N', 12);\";", "define('N', getenv('N_NOT'));", "define('N', __DIR__);", "define('N', 1 + 1);",
		"if (false) { return; }", "while (false) { define('N', 1); }", "[define('N', 1)];", "list($a) = [define('N', 1)];", "define ('N', [1, 2]);",
		"if (false) { ?> x <?php } else { ?> y <?php define('N', 13); }", "${'a'} = 'define'; ('define')('N', 14);", "define('\\\\N', 15);",
	), "N", name)
}

func (f configFuzz) file() string {
	a, b, n := f.n+"_A", f.n+"_B", f.n+"_N"
	lines := []string{f.define(a), f.define(b), "$table_prefix = " + f.pick("'wp_'", "$x ?? 'y_'") + ";", "@ini_set('memory_limit', '1G');",
		"if ( isset( $_SERVER['X'] ) && $_SERVER['X'] === 'https' ) { $_SERVER['HTTPS'] = 'on'; } else { $y = [1, 2]; }"}
	if f.r.IntN(3) > 0 {
		lines = append(lines, f.define(n))
	}
	for range f.r.IntN(3) {
		lines = append(lines, f.define(n)) // again: without effect, but in front of or behind the first
	}
	if f.r.IntN(4) == 0 {
		lines = append(lines, f.devious(f.pick(a, n, n, n)))
	}
	f.r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	src := f.pick("<?php\n", "<?php ", "<?php\r\n", "\n<?php\n", "<?PHP\n")
	for _, line := range lines {
		src += f.gap() + line
	}
	src += f.gap() + f.pick("", "/* That's all, stop editing! Happy publishing. */\n", "  // stop editing!\n", "if ( ! defined( 'ABSPATH' ) ) {\n\tdefine( 'ABSPATH', __DIR__ . '/' );\n}\n")
	return src + f.pick("require_once ABSPATH . 'wp-settings.php';\n", "require(ABSPATH . \"wp-settings.php\")?>", "require ABSPATH.'/wp-settings.php' ;") +
		f.pick("", "\ndefine('"+n+"', 'late');", "\n")
}

func (f configFuzz) edit() ConfigEdit {
	text, err := PHPText(lineSafeText().Example(f.r.IntN(1000)))
	if err != nil {
		panic(err)
	}
	values := []Literal{PHPBool(true), PHPBool(false), PHPInt(f.r.IntN(90)), text, text, {}}
	return ConfigEdit{Name: f.n + "_N", Value: values[f.r.IntN(len(values))]}
}

// phpConfigs evaluates files: of each, what its three constants are. A loaded
// wp-settings.php ends the file, as nothing behind it counts.
const phpConfigs = `<?php error_reporting(0); set_error_handler(fn() => true);
class Loaded extends Exception {}
define('ABSPATH', $argv[1] . '/');
file_put_contents(ABSPATH . 'wp-settings.php', '<?php throw new Loaded();');
function run($file) { try { ob_start(); include $file; } catch (Loaded $e) { return true; } catch (Throwable $e) { return get_class($e); } finally { ob_end_clean(); } return false; }
foreach (json_decode(file_get_contents($argv[2]), true) as [$prefix, $file]) {
	$loaded = run($file);
	$values = [];
	foreach (['A', 'B', 'N'] as $name) { $values[] = defined("{$prefix}_$name") ? base64_encode(serialize(constant("{$prefix}_$name"))) : ''; }
	$out[] = ['Loaded' => $loaded === true, 'Values' => $values];
}
echo json_encode($out);`

type phpConfig struct {
	Loaded bool
	Values [3]string // base64 of PHP's serialize; "" is not defined
}

// TestEditedConfigsMeanWhatPHPMakesOfThem edits 10,000 files and lets PHP run them
// before and after: the edited constant has its new value, the others their old one.
func TestEditedConfigsMeanWhatPHPMakesOfThem(t *testing.T) {
	t.Parallel()
	const files = 10_000
	dir := wptest.Dir(t)
	type pair struct {
		before, after string
		edit          ConfigEdit
	}
	var pairs []pair
	var list [][2]string
	add := func(prefix, src string) {
		file := filepath.Join(dir, prefix)
		must(t, os.WriteFile(file, []byte(strings.ReplaceAll(src, "require_once", "require")), 0o644))
		list = append(list, [2]string{prefix, file})
	}
	refused := 0
	for i := range files {
		f := configFuzz{r: rand.New(rand.NewPCG(7, uint64(i))), n: fmt.Sprintf("F%d", i)}
		src, edit := f.file(), f.edit()
		after, changes, err := EditConfig([]byte(src), edit)
		if err != nil {
			if !errors.Is(err, ErrUncertain) {
				t.Fatalf("%v\n%s", err, src)
			}
			refused++
			continue
		}
		mustBeLocal(t, src, string(after), edit, changes)
		pairs = append(pairs, pair{src, string(after), edit})
		add(f.n, src)
		add(fmt.Sprintf("G%d", i), strings.ReplaceAll(string(after), f.n+"_", fmt.Sprintf("G%d_", i)))
	}
	if refused < files/100 || refused > files/3 {
		t.Errorf("%d of %d refused", refused, files)
	}
	in, err := json.Marshal(list)
	must(t, err)
	wants := make([]string, 0, len(pairs))
	for _, p := range pairs {
		wants = append(wants, p.edit.Value.src)
	}
	var got []phpConfig
	must(t, json.Unmarshal(php(t, write(t, "run.php", phpConfigs), dir, write(t, "in.json", string(in))), &got))
	want := serialized(t, wants)
	for i, p := range pairs {
		before, after := got[2*i], got[2*i+1]
		if !before.Loaded || !after.Loaded || before.Values[0] != after.Values[0] || before.Values[1] != after.Values[1] || after.Values[2] != want[i] {
			t.Fatalf("%s = %s: PHP makes %v of it, and made %v before; want %s\n--- before\n%s\n--- after\n%s",
				p.edit.Name, p.edit.Value, after, before, want[i], p.before, p.after)
		}
	}
}

// mustBeLocal checks that no byte outside the edited value has changed, and that all
// of it can be taken back.
func mustBeLocal(t *testing.T, before, after string, edit ConfigEdit, changes []ConfigChange) {
	t.Helper()
	if len(changes) == 0 {
		if before != after {
			t.Fatalf("changed without a change:\n%s\n%s", before, after)
		}
		return
	}
	if edit.Value.src == "" {
		return // bytes are gone, and may be several places
	}
	p := 0
	for p < len(before) && p < len(after) && before[p] == after[p] {
		p++
	}
	s := 0
	for s < len(before)-p && s < len(after)-p && before[len(before)-1-s] == after[len(after)-1-s] {
		s++
	}
	was := ""
	if c := changes[0]; c.Was != nil {
		was = *c.Was
	}
	if gone, added := before[p:len(before)-s], after[p:len(after)-s]; !strings.Contains(was, gone) || len(added) > len(changes[0].Text) {
		t.Fatalf("%q became %q", gone, added)
	}
	back, err := RevertConfig([]byte(after), changes)
	if err != nil || string(back) != before {
		t.Fatalf("not taken back: %v\n--- before\n%s\n--- after\n%s\n--- back\n%s", err, before, after, back)
	}
}

// serialized is what PHP makes of literals.
func serialized(t *testing.T, literals []string) []string {
	t.Helper()
	var b strings.Builder
	b.WriteString("<?php $out = [];\n")
	for _, l := range literals {
		if l == "" {
			b.WriteString("$out[] = '';\n")
		} else {
			b.WriteString("$out[] = base64_encode(serialize(" + l + "));\n")
		}
	}
	var out []string
	must(t, json.Unmarshal(php(t, write(t, "literals.php", b.String()+"echo json_encode($out);")), &out))
	return out
}

func TestEditsAreRefusedWhereOnlyRunningTells(t *testing.T) {
	t.Parallel()
	const tail = "\nrequire_once ABSPATH . 'wp-settings.php';\n"
	for _, src := range []string{
		"include 'more.php';", "require_once __DIR__ . '/vendor/autoload.php';", "eval($x);", "if ($x) { define('WP_DEBUG', true); }", "define('WP_DEBUG', $x);",
		"define('wp_debug', true, true);", "$f('WP_DEBUG', 1);", "own_function();", "if ($x) { return; }", "namespace A;", "define($name, 1);",
		"if ($x): define('WP_DEBUG', 1); endif;", "function f() {}", "new Foo;",
	} {
		if _, _, err := EditConfig([]byte("<?php "+src+tail), ConfigEdit{"WP_DEBUG", PHPBool(true)}); !errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v", src, err)
		}
	}
	for _, src := range []string{"<?php define('WP_DEBUG', true);", "<?php if ($x) { require ABSPATH . 'wp-settings.php'; }", "<?php if (!defined('WP_DEBUG')) { require ABSPATH . 'wp-settings.php'; }"} {
		if _, _, err := EditConfig([]byte(src), ConfigEdit{"WP_DEBUG", PHPBool(true)}); !errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v", src, err)
		}
	}
	for _, name := range []string{"", "a", "WP-X", "X'); evil('", "1A", strings.Repeat("A", 65)} {
		if _, _, err := EditConfig([]byte("<?php"+tail), ConfigEdit{name, PHPBool(true)}); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
	if _, err := PHPText("a\nb"); !errors.Is(err, ErrNotLineSafe) {
		t.Errorf("a text of two lines: %v", err)
	}
}

func TestNewConstantsGoAboveTheStopEditingLine(t *testing.T) {
	t.Parallel()
	for before, after := range map[string]string{
		"<?php\n/* That's all, stop editing! Happy publishing. */\n\nif ( ! defined( 'ABSPATH' ) ) {\n\tdefine( 'ABSPATH', __DIR__ . '/' );\n}\nrequire_once ABSPATH . 'wp-settings.php';\n": "<?php\ndefine( 'X', true );\n/* That's all, stop editing! Happy publishing. */\n\nif ( ! defined( 'ABSPATH' ) ) {\n\tdefine( 'ABSPATH', __DIR__ . '/' );\n}\nrequire_once ABSPATH . 'wp-settings.php';\n",
		"<?php require ABSPATH . 'wp-settings.php';":                                        "<?php define( 'X', true );\nrequire ABSPATH . 'wp-settings.php';",
		"<?php\r\n$a = 1;\r\n  require ABSPATH . 'wp-settings.php';":                        "<?php\r\n$a = 1;\r\ndefine( 'X', true );\r\n  require ABSPATH . 'wp-settings.php';",
		"<?php if ($a) { $b = 1; } /* stop editing! */ else { } require 'wp-settings.php';": "<?php if ($a) { $b = 1; } /* stop editing! */ else { } define( 'X', true );\nrequire 'wp-settings.php';",
	} {
		got, changes, err := EditConfig([]byte(before), ConfigEdit{"X", PHPBool(true)})
		if err != nil || string(got) != after {
			t.Errorf("%v\n%s", err, got)
			continue
		}
		if back, err := RevertConfig(got, changes); err != nil || string(back) != before {
			t.Errorf("back: %v\n%s", err, back)
		}
	}
}

// What somebody else has done to the file in between is kept.
func TestRevertKeepsWhatOthersHaveChanged(t *testing.T) {
	t.Parallel()
	const before = "<?php\ndefine( 'WP_DEBUG', /* no */ false );\nrequire ABSPATH . 'wp-settings.php';\n"
	edited, changes, err := EditConfig([]byte(before), ConfigEdit{"WP_DEBUG", PHPBool(true)}, ConfigEdit{"X", PHPInt(1)})
	must(t, err)
	theirs := strings.Replace(string(edited), "<?php\n", "<?php\n// mine\n", 1)
	theirs = strings.Replace(theirs, "define( 'X', 1 );", "define('X', 2);", 1)
	gone := strings.Replace(theirs, "define( 'WP_DEBUG', /* no */ true );\n", "", 1)
	if back, err := RevertConfig([]byte(gone), changes); err != nil || !strings.Contains(string(back), "define( 'WP_DEBUG', false );\nrequire") {
		t.Errorf("%v\n%s", err, back)
	}
	back, err := RevertConfig([]byte(theirs), changes)
	if want := strings.Replace(before, "<?php\n", "<?php\n// mine\n", 1); err != nil || string(back) != want {
		t.Errorf("%v\n%s", err, back)
	}
}

func FuzzEditConfig(f *testing.F) {
	for i := range 20 {
		f.Add(configFuzz{r: rand.New(rand.NewPCG(9, uint64(i))), n: "F"}.file())
	}
	f.Fuzz(func(t *testing.T, src string) {
		edit := ConfigEdit{"F_N", PHPBool(true)}
		after, changes, err := EditConfig([]byte(src), edit)
		if err == nil {
			mustBeLocal(t, src, string(after), edit, changes)
		}
	})
}

// Any two edits and their undo in order leave the file as it was.
func TestManyEditsAreTakenBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := configFuzz{r: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), n: "F"}
		src := f.file()
		var edits []ConfigEdit
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"F_A", "F_B", "F_N", "F_NEW"}), 1, 6).Draw(rt, "names") {
			e := f.edit()
			if e.Name = name; e.Value.src == "" {
				e.Value = PHPBool(true)
			}
			edits = append(edits, e)
		}
		after, changes, err := EditConfig([]byte(src), edits...)
		if errors.Is(err, ErrUncertain) {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		back, err := RevertConfig(after, changes)
		if err != nil || string(back) != src {
			rt.Fatalf("%v\n--- before\n%s\n--- after\n%s\n--- back\n%s", err, src, after, back)
		}
	})
}
