package wp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wispanel/wptk/wp/proc"
)

// php runs a script of ours and returns what it prints.
func php(t *testing.T, args ...string) []byte {
	t.Helper()
	path, err := findProgram("", "php")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := proc.Capped(256<<20), proc.Capped(64<<10)
	exit, err := proc.Run(t.Context(), proc.Spec{
		Path: path, Args: append([]string{"-n", "-d", "memory_limit=2G"}, args...), Trusted: true, Stdout: stdout, Stderr: stderr,
	})
	if err != nil || exit.Code != 0 {
		t.Fatalf("php %v: exit %d, %v: %s %s", args, exit.Code, err, tail(string(stdout.Bytes()), 2000), stderr.Bytes())
	}
	return stdout.Bytes()
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRenderedConfigPassesPHPLint(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ConfigOptions{
		"least": {DBName: "d", DBUser: "u", DBPassword: "p"},
		"all": {DBName: "d", DBUser: "u", DBPassword: `p'\"$x?>`, DBHost: "127.0.0.1:3307", TablePrefix: "x_", Home: "https://a.example/b",
			SiteURL: "https://a.example", Multisite: &MultisiteOptions{Subdomains: true, Domain: "a.example"}},
	} {
		src, err := RenderConfig(o)
		if err != nil {
			t.Fatal(err)
		}
		php(t, "-l", write(t, name+".php", string(src)))
	}
}

// lineSafeText draws what NewLineSafe lets pass, with the nasty parts often.
func lineSafeText() *rapid.Generator[string] {
	nasty := rapid.SampledFrom([]string{`'`, `\`, `\'`, `\\`, `"`, `$x`, `{$x}`, `?>`, `<?php`, `/*`, `*/`, `//`, `#`, `;`, `)`, "`", `%s`, `$1`, ` `, `é`, `😀`, `<<<A`})
	part := rapid.OneOf(nasty, rapid.StringMatching(`[ -~]{0,12}`), rapid.StringOf(rapid.Rune()))
	return rapid.Custom(func(t *rapid.T) string {
		s := strings.Join(rapid.SliceOfN(part, 0, 6).Draw(t, "parts"), "")
		if _, err := NewLineSafe(s); err != nil {
			return strings.ToValidUTF8(strings.Map(keepLineSafe, s), "")
		}
		return s
	})
}

func keepLineSafe(r rune) rune {
	if _, err := NewLineSafe(string(r)); err != nil {
		return -1
	}
	return r
}

// TestRenderedValuesReadBackByPHP renders 10,000 values into configurations that
// one PHP process runs, and compares what PHP makes of them.
func TestRenderedValuesReadBackByPHP(t *testing.T) {
	t.Parallel()
	const files, perFile = 2500, 4
	dir := t.TempDir()
	text := lineSafeText()
	var want [][]string
	var script strings.Builder
	script.WriteString("<?php $all = [];\n")
	for i := range files {
		v := make([]string, perFile)
		for j := range v {
			v[j] = text.Example(i*perFile + j)
		}
		src, err := RenderConfig(ConfigOptions{DBName: v[0], DBUser: v[1], DBPassword: v[2], DBHost: "h" + v[3]})
		if err != nil {
			t.Fatalf("%q: %v", v, err)
		}
		cfg, err := ParseConfig(src)
		if err != nil || !cfg.Simple {
			t.Fatalf("own configuration is not simple: %v %s\n%s", err, cfg.Why, src)
		}
		v[3] = "h" + v[3]
		if got := []string{cfg.DBName, cfg.DBUser, cfg.DBPassword, cfg.DBHost}; !cmp.Equal(got, v) {
			t.Fatalf("ParseConfig reads %q, rendered was %q", got, v)
		}
		want = append(want, v)
		// A constant lives as long as the process, so each file's have names of their own.
		own := strings.NewReplacer("define( 'DB_", fmt.Sprintf("define( 'F%d_DB_", i), "define( '", fmt.Sprintf("define( 'F%d_", i),
			"defined( 'ABSPATH'", fmt.Sprintf("defined( 'F%d_ABSPATH'", i), "require_once ABSPATH . 'wp-settings.php';", "")
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(own.Replace(string(src))), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&script, "include '%s/%d'; $all[] = [F%d_DB_NAME, F%d_DB_USER, F%d_DB_PASSWORD, F%d_DB_HOST];\n", dir, i, i, i, i, i)
	}
	script.WriteString("echo json_encode($all, JSON_THROW_ON_ERROR);")
	var got [][]string
	if err := json.Unmarshal(php(t, write(t, "run.php", script.String())), &got); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		// The replacer may have hit a value; such a pair says nothing.
		if joined := strings.Join(want[i], ""); strings.Contains(joined, "define") {
			continue
		}
		if !cmp.Equal(got[i], want[i]) {
			t.Errorf("PHP reads %q, rendered was %q", got[i], want[i])
		}
	}
}

func TestConfigValueWithLineBreakIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a\nb", "a\rb", "a\x00b", "a\x1bb", "a\u0085b", "a\u2028b", "a\xffb"} {
		for _, o := range []ConfigOptions{{DBName: bad}, {DBUser: bad}, {DBPassword: bad}, {DBHost: bad}, {Charset: bad}, {Home: bad}, {SiteURL: bad}, {Multisite: &MultisiteOptions{Domain: bad}}} {
			if _, err := RenderConfig(o); !errors.Is(err, ErrNotLineSafe) {
				t.Errorf("%+v: %v, want ErrNotLineSafe", o, err)
			}
		}
	}
	for _, bad := range []string{"wp_; DROP", "1a_", "a-b_", "a_\n", "'", strings.Repeat("a", 40)} {
		if _, err := RenderConfig(ConfigOptions{TablePrefix: bad}); err == nil {
			t.Errorf("table prefix %q was taken", bad)
		}
	}
}

func TestSaltsAreFreshAndLong(t *testing.T) {
	t.Parallel()
	a, b := newSalt(), newSalt()
	if len(a) != 64 || a == b || strings.ContainsAny(a+b, `'"\$&;?`+"`") {
		t.Errorf("salts %q and %q", a, b)
	}
}

// phpLiteral writes s as one of PHP's literals, in a style of r's choice.
func phpLiteral(r *rand.Rand, s string) string {
	single := phpString(LineSafe{s: s})
	var b strings.Builder
	for _, c := range []byte(s) {
		switch k := r.IntN(8); {
		case c == '"' || c == '\\' || c == '$':
			b.WriteString(`\` + string(c))
		case k == 0:
			fmt.Fprintf(&b, `\x%02x`, c)
		case k == 1:
			fmt.Fprintf(&b, `\%03o`, c)
		case k == 2 && c == '\n':
			b.WriteString(`\n`)
		default:
			b.WriteByte(c)
		}
	}
	switch label := fmt.Sprintf("E%x", r.Uint32()); r.IntN(5) {
	case 0:
		return `"` + b.String() + `"`
	case 1:
		return "<<<" + label + "\n" + strings.ReplaceAll(b.String(), `\"`, `"`) + "\n" + label
	case 2:
		return "<<<'" + label + "'\n" + s + "\n" + label
	case 3:
		return single + " . " + `"` + b.String() + `"` + " . ''"
	}
	return single
}

// TestSimpleConfigsMeanWhatPHPMakesOfThem writes configurations in every style
// that is read as simple and lets PHP run them.
func TestSimpleConfigsMeanWhatPHPMakesOfThem(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	var want []Config
	var run strings.Builder
	run.WriteString("<?php $all = []; define('ABSPATH', '/');\n")
	for i := range 1500 {
		src := randomConfig(r)
		cfg, err := ParseConfig([]byte(src))
		if err != nil || !cfg.Simple {
			t.Fatalf("not simple: %v %s\n%s", err, cfg.Why, src)
		}
		want = append(want, cfg)
		renamed := strings.NewReplacer("DB_NAME", fmt.Sprintf("DB_NAME_%d", i), "DB_USER", fmt.Sprintf("DB_USER_%d", i),
			"DB_PASSWORD", fmt.Sprintf("DB_PASSWORD_%d", i), "DB_HOST", fmt.Sprintf("DB_HOST_%d", i),
			"WP_DEBUG", fmt.Sprintf("WP_DEBUG_%d", i), "MULTISITE", fmt.Sprintf("MULTISITE_%d", i),
			"require_once ABSPATH . 'wp-settings.php';", "return;") // nothing behind it may count
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(renamed.Replace(src)), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&run, "ob_start(); include '%s/%d'; ob_end_clean(); $all[] = array_map('base64_encode', [DB_NAME_%d, DB_USER_%d, DB_PASSWORD_%d, DB_HOST_%d, $table_prefix]);"+
			" $flags[] = [(bool) WP_DEBUG_%d, defined('MULTISITE_%d') && MULTISITE_%d];\n", dir, i, i, i, i, i, i, i, i)
	}
	run.WriteString("echo json_encode([$all, $flags]);")
	var got []json.RawMessage
	if err := json.Unmarshal(php(t, "-d", "error_reporting=E_ALL & ~E_WARNING", write(t, "run.php", run.String())), &got); err != nil {
		t.Fatal(err)
	}
	var values [][][]byte
	var flags [][2]bool
	if err := errors.Join(json.Unmarshal(got[0], &values), json.Unmarshal(got[1], &flags)); err != nil {
		t.Fatal(err)
	}
	for i, cfg := range want {
		mine := [][]byte{[]byte(cfg.DBName), []byte(cfg.DBUser), []byte(cfg.DBPassword), []byte(cfg.DBHost), []byte(cfg.TablePrefix)}
		for j := range mine {
			if !bytes.Equal(mine[j], values[i][j]) {
				t.Fatalf("file %d value %d: ParseConfig %q, PHP %q", i, j, mine[j], values[i][j])
			}
		}
		if flags[i] != [2]bool{cfg.Debug, cfg.Multisite} {
			t.Fatalf("file %d: ParseConfig %v %v, PHP %v", i, cfg.Debug, cfg.Multisite, flags[i])
		}
	}
}

// randomConfig writes a configuration that has no computed value in it.
func randomConfig(r *rand.Rand) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	text := func() string {
		parts := []string{"a", "Z9", "'", `"`, `\`, "$x", "{$x}", "?>", "<?php", "/*", "*/", "//", "#", "é", "\n", "\t", "\\n", "\x00", "\xff", "%", "\\u{41}", " "}
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	gap := func() string {
		return pick("", " ", "\n", "/* ' */", "// \"\n", "# it's\n", "/** define('DB_NAME', 1); */", "\t", "?> text <?php ", "\r\n")
	}
	in := func() string { return pick("", " ", "/**/", "\n") }
	set := func(name, value string) string {
		quoted := pick("'"+name+"'", `"`+name+`"`)
		switch r.IntN(6) {
		case 0:
			return "const " + name + in() + " = " + value + in() + ";"
		case 1:
			return "if ( ! defined(" + quoted + ") ) {" + in() + "define(" + quoted + ", " + value + ");" + in() + "}"
		case 2:
			return "defined(" + quoted + ") " + pick("or", "||") + " define(" + quoted + ", " + value + ");"
		case 3:
			return "define(" + quoted + ", " + value + "); if (!defined(" + quoted + ")) define(" + quoted + ", 'other');"
		}
		return pick("define", "DEFINE", `\define`) + in() + "(" + in() + quoted + in() + "," + in() + value + in() + ")" + in() + ";"
	}
	scalar := func() string { return pick("true", "FALSE", "null", "0", "1", "''", "'0'", "'false'", "-5", `"\x30"`) }
	b := "<?php\n"
	lines := []string{
		set("DB_NAME", phpLiteral(r, text())), set("DB_USER", phpLiteral(r, text())), set("DB_PASSWORD", pick(phpLiteral(r, text()), "12345")),
		set("DB_HOST", phpLiteral(r, text())), set("WP_DEBUG", scalar()), "$table_prefix" + in() + "=" + in() + phpLiteral(r, text()) + in() + ";",
		"@ini_set( 'memory_limit', '1G' );", "$other = 'x';",
		"if ( isset( $_SERVER['X'] ) && $_SERVER['X'] === 'https' ) { $_SERVER['HTTPS'] = 'on'; }",
	}
	if r.IntN(3) == 0 {
		lines = append(lines, set("MULTISITE", scalar()))
	}
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	for _, line := range lines {
		b += gap() + line
	}
	return b + "\nrequire_once ABSPATH . 'wp-settings.php';\n" + pick("", "define('DB_NAME_LATER', $x . foo());")
}

// TestStringsMeanWhatPHPMakesOfThem lets PHP evaluate 10,000 strings of random
// escapes. Those that are read as plain have to be the same text there.
func TestStringsMeanWhatPHPMakesOfThem(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	parts := []string{`\`, `\\`, `\'`, `\"`, `\$`, `\n`, `\t`, `\r`, `\v`, `\e`, `\f`, `\0`, `\7`, `\12`, `\101`, `\400`, `\777`, `\8`, `\x`, `\x4`, `\x41`,
		`\X41`, `\xg`, `\u`, `\u{41}`, `\u{1F600}`, `\u{d800}`, `\u{110000}`, `\u{}`, `\u{4`, `$`, `$ `, `$1`, `{`, `{ $`, `}`, `[`, "\n", "\r\n", "a", "é", " ", `'`, `?>`, "#", "  E"}
	var sources, script [][]byte
	for range 10_000 {
		var b strings.Builder
		for range r.IntN(7) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		src := []string{"'" + strings.ReplaceAll(b.String(), "'", "") + "'", `"` + strings.ReplaceAll(b.String(), `"`, "") + `"`, "<<<E\n" + b.String() + "\nE",
			"<<<'E'\n" + b.String() + "\nE", "<<<\"E\"\n  " + strings.ReplaceAll(b.String(), "\n", "\n  ") + "\n  E", "b'" + b.String() + "'"}[r.IntN(6)]
		sources = append(sources, []byte(src))
		script = append(script, []byte("return "+src+";"))
	}
	in, err := json.Marshal(script)
	if err != nil {
		t.Fatal(err)
	}
	run := `<?php $out = []; foreach (json_decode(file_get_contents($argv[1])) as $code) {
		try { $v = @eval(base64_decode($code)); $out[] = is_string($v) ? base64_encode($v) : null; } catch (\Throwable $e) { $out[] = null; } }
		echo json_encode($out);`
	var got []*[]byte
	if err := json.Unmarshal(php(t, write(t, "run.php", run), write(t, "in.json", string(in))), &got); err != nil {
		t.Fatal(err)
	}
	plain := 0
	for i, src := range sources {
		tokens, err := lexPHP("<?php " + string(src) + ";")
		if err != nil || len(tokens) != 2 || tokens[0].kind != phpText || !tokens[1].is(";") || got[i] == nil {
			continue
		}
		plain++
		if tokens[0].text != string(*got[i]) {
			t.Errorf("%q: read as %q, PHP makes %q of it", src, tokens[0].text, *got[i])
		}
	}
	if plain < 5000 {
		t.Errorf("only %d strings were compared", plain)
	}
}

func TestComputedConfigIsNotSimple(t *testing.T) {
	t.Parallel()
	const good = "define('DB_NAME','n');define('DB_USER','u');define('DB_PASSWORD','p');define('DB_HOST','h');$table_prefix='wp_';"
	if cfg, err := ParseConfig([]byte("<?php " + good)); err != nil || !cfg.Simple {
		t.Fatalf("the good one: %v %q", err, cfg.Why)
	}
	for _, extra := range []string{
		"include 'other.php';", "require_once __DIR__ . '/wp-config-local.php';", "eval('x');", "if ($x) { define('WP_HOME','x'); }",
		"define('WP_HOME', 'https://' . $_SERVER['HTTP_HOST']);", "define('WP_DEBUG', getenv('D'));", `define("WP_HOME", "https://$host");`,
		"define('WP_' . 'HOME', 'x');", "$table_prefix = $x;", "$GLOBALS['table_prefix'] = 'x';", "${'table_prefix'} = 'x';", "$f('DB_NAME', 'x');",
		"foo();", "Foo::bar();", "new Foo;", "namespace A;", "return;", "exit;", "extract($_ENV);", "function define2() {}", "goto end;",
		"if ($x): define('WP_HOME','x'); else: endif;", "foreach ($a as $table_prefix) {}", "call_user_func('define', 'DB_NAME', 'x');",
		"('define')('WP_HOME', 'x');", "if (!defined('WP_HOME')) { define('WP_HOME', foo()); }", "?> <? define('WP_HOME', 'x'); ?> <?php ",
		"unset($table_prefix);", "list($table_prefix) = ['x'];", "$x = &$table_prefix;", "try { } catch (E $e) {}", "a: define('WP_HOME','x');",
		"if (false) if (!defined('WP_HOME')) { define('WP_HOME', 'x'); }", "foreach ([] as $x): $y = 1; define('WP_HOME','x'); endforeach;",
	} {
		cfg, err := ParseConfig([]byte("<?php " + extra + good))
		if err == nil && cfg.Simple {
			t.Errorf("%s was taken for simple", extra)
		}
	}
	for _, missing := range []string{"define('DB_NAME','n');", "define('DB_HOST','h');", "$table_prefix='wp_';"} {
		if cfg, _ := ParseConfig([]byte("<?php " + strings.Replace(good, missing, "", 1))); cfg.Simple {
			t.Errorf("without %s it was taken for simple", missing)
		}
	}
}

func TestConfigIsReadAsWordPressReadsIt(t *testing.T) {
	t.Parallel()
	src := "<?php\r\n// define('DB_NAME', 'comment');\r\n/* define('DB_NAME', 'comment'); */\r\n$a = \"define('DB_NAME','string');\";\r\n" +
		"define( 'DB_NAME', 'first' );\ndefine( 'DB_NAME', 'second' );\ndefine( 'DB_USER', 'u\\'x' );\ndefine( 'DB_PASSWORD', \"a\\x41\\101\\u{e9}\\$\" );\n" +
		"define( 'DB_HOST', 'localhost' );\n$table_prefix = 'one_';\n$table_prefix = 'two_';\ndefine( 'SUBDOMAIN_INSTALL', false );\n" +
		"define( 'WP_DEBUG', 'false' );\nrequire_once ABSPATH . 'wp-settings.php';\ndefine( 'WP_HOME', 'late' );\n"
	got, err := ParseConfig([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{DBName: "first", DBUser: "u'x", DBPassword: "aAAé$", DBHost: "localhost", TablePrefix: "two_", Debug: true, Multisite: true, Simple: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigNeverPrintsItsPassword(t *testing.T) {
	t.Parallel()
	c := Config{DBPassword: "hunter2"}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(form, c) + fmt.Sprintf(form, Found{Config: c}) + fmt.Sprintf(form, &c); strings.Contains(s, "hunter2") {
			t.Errorf("%s prints the password", form)
		}
	}
}

func TestHugeOrBrokenConfigIsAnError(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"", "no php", "<?php '", `<?php "`, "<?php <<<A\nx", strings.Repeat("x", MaxConfigSize+1), "<?php \"" + strings.Repeat(`{$a["`, 100)} {
		if _, err := ParseConfig([]byte(src)); !errors.Is(err, ErrNotConfig) {
			t.Errorf("%.20q: %v, want ErrNotConfig", src, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	src, err := RenderConfig(ConfigOptions{DBName: "d", DBUser: "u", DBPassword: "p"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(src)
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add([]byte(randomConfig(r)))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, err := ParseConfig(src)
		if err != nil && cfg != (Config{}) {
			t.Errorf("an error and a configuration: %v", cfg)
		}
		if cfg.Simple != (cfg.Why == "") && err == nil {
			t.Errorf("simple=%t because %q", cfg.Simple, cfg.Why)
		}
		CoreVersionOf(src)
	})
}
