package wp

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

// MaxConfigSize is the largest wp-config.php that is read, in bytes.
const MaxConfigSize = 256 << 10

// ErrNotConfig is the class of ParseConfig's errors: this is no wp-config.php
// that could be read.
var ErrNotConfig = errors.New("not a readable wp-config.php")

// Config is what a wp-config.php says, read without running it.
type Config struct {
	DBName      string `json:"db_name"`
	DBUser      string `json:"db_user"`
	DBPassword  string `json:"db_password"`
	DBHost      string `json:"db_host"`
	TablePrefix string `json:"table_prefix"`
	Debug       bool   `json:"debug"`
	Multisite   bool   `json:"multisite"`
	Home        string `json:"home,omitempty"`    // WP_HOME
	SiteURL     string `json:"siteurl,omitempty"` // WP_SITEURL

	// Simple means: running the file would give exactly these values. It is false
	// as soon as a value is computed, conditional or may come from another file;
	// Why then says what was met first, and the values are the best guess.
	Simple bool   `json:"simple"`
	Why    string `json:"why,omitempty"`
}

// String leaves the password out, so that no log line ever has it.
func (c Config) String() string {
	return fmt.Sprintf("config{db=%s user=%s host=%s prefix=%s simple=%t}", c.DBName, c.DBUser, c.DBHost, c.TablePrefix, c.Simple)
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// decisive are the constants that the values above come from.
var decisive = map[string]bool{
	"DB_NAME": true, "DB_USER": true, "DB_PASSWORD": true, "DB_HOST": true, "WP_DEBUG": true, "MULTISITE": true,
	"SUBDOMAIN_INSTALL": true, "VHOST": true, "SUNRISE": true, "WP_HOME": true, "WP_SITEURL": true,
}

// ParseConfig reads a wp-config.php by PHP's lexical grammar; it never runs it.
// An error means that nothing can be said; see Config.Simple for the rest.
func ParseConfig(src []byte) (Config, error) {
	if len(src) > MaxConfigSize {
		return Config{}, fmt.Errorf("%w: larger than %d KiB", ErrNotConfig, MaxConfigSize>>10)
	}
	tokens, err := lexPHP(string(src))
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrNotConfig, err)
	}
	if len(tokens) == 0 || len(tokens) == 1 && tokens[0].kind == phpClose {
		return Config{}, fmt.Errorf("%w: no PHP in it", ErrNotConfig)
	}
	r := &configReader{tokens: tokens, watch: decisive, constants: map[string]phpValue{}}
	for r.peek(0).kind != phpEnd && !r.done {
		r.statement()
	}
	return r.config(), nil
}

func (r *configReader) config() Config {
	get := func(name string) string { return r.constants[name].text }
	c := Config{
		DBName: get("DB_NAME"), DBUser: get("DB_USER"), DBPassword: get("DB_PASSWORD"), DBHost: get("DB_HOST"),
		TablePrefix: r.prefix.text, Home: get("WP_HOME"), SiteURL: get("WP_SITEURL"),
		Debug: r.constants["WP_DEBUG"].truthy(),
	}
	// is_multisite(): MULTISITE decides when it is there at all.
	if multi, ok := r.constants["MULTISITE"]; ok {
		c.Multisite = multi.truthy()
	} else {
		for _, name := range []string{"SUBDOMAIN_INSTALL", "VHOST", "SUNRISE"} {
			_, ok := r.constants[name]
			c.Multisite = c.Multisite || ok
		}
	}
	for _, name := range []string{"DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST"} {
		if _, ok := r.constants[name]; !ok {
			r.complicated(name + " is not set")
		}
	}
	if !r.prefix.set {
		r.complicated("$table_prefix is not set")
	}
	c.Simple, c.Why = r.why == "", r.why
	return c
}

// phpValue is a scalar. text is what PHP's string conversion makes of it.
type phpValue struct {
	text   string
	isText bool
	set    bool

	from, to int // tokens of the literal: tokens[from:to]
}

// truthy is PHP's idea of true: the text "false" is.
func (v phpValue) truthy() bool { return v.text != "" && v.text != "0" }

type configReader struct {
	tokens    []phpToken
	pos       int
	watch     map[string]bool // the constants whose values have to be certain
	lenient   bool            // only watched constants matter: see ConfigEdit
	constants map[string]phpValue
	prefix    phpValue
	why       string
	done      bool // wp-settings.php was included: what follows has no effect
}

func (r *configReader) peek(n int) phpToken {
	if r.pos+n < len(r.tokens) {
		return r.tokens[r.pos+n]
	}
	return phpToken{}
}

func (r *configReader) take() phpToken {
	t := r.peek(0)
	r.pos++
	return t
}

func (r *configReader) complicated(why string) {
	if r.why == "" {
		r.why = why
	}
}

// statement reads one statement at the top level. Each reader either takes a
// whole statement of its form or nothing.
func (r *configReader) statement() {
	t := r.peek(0)
	if t.kind == phpClose {
		if strings.Contains(t.text, "<?") {
			r.complicated("a short open tag")
		}
		r.pos++
		return
	}
	for _, form := range []func() bool{r.define, r.constant, r.assignPrefix, r.guard, r.orDefine, r.include} {
		start := r.pos
		if form() {
			return
		}
		r.pos = start
	}
	r.other()
}

// end takes what may end a statement.
func (r *configReader) end() bool {
	t := r.peek(0)
	if t.is(";") {
		r.pos++
		return true
	}
	return t.kind == phpClose || t.kind == phpEnd
}

func (r *configReader) punct(chars string) bool {
	for _, c := range strings.Split(chars, "") {
		if !r.take().is(c) {
			return false
		}
	}
	return true
}

// define: define( 'NAME', literal [, literal] );
func (r *configReader) define() bool {
	name, value, ok := r.defineCall()
	if !ok || !r.end() {
		return false
	}
	r.set(name, value)
	return true
}

func (r *configReader) defineCall() (string, phpValue, bool) {
	if !r.take().word("define") || !r.punct("(") {
		return "", phpValue{}, false
	}
	name := r.take()
	if name.kind != phpText || !r.punct(",") {
		return "", phpValue{}, false
	}
	value, ok := r.literal()
	if !ok {
		return "", phpValue{}, false
	}
	if r.peek(0).is(",") && !r.peek(1).is(")") {
		r.pos++
		if _, ok := r.literal(); !ok {
			return "", phpValue{}, false
		}
	}
	r.disguised(name.text)
	if r.peek(0).is(",") { // trailing comma
		r.pos++
	}
	return name.text, value, r.punct(")")
}

// disguised is told of a name that some PHP takes for a watched one: before
// PHP 8 a third argument made a constant of every spelling.
func (r *configReader) disguised(name string) {
	for watched := range r.watch {
		if name != watched && strings.EqualFold(strings.TrimLeft(name, `\`), watched) {
			r.complicated(watched + " is defined under another spelling")
		}
	}
}

// set keeps the first definition, as PHP does (with a warning).
func (r *configReader) set(name string, value phpValue) {
	if _, again := r.constants[name]; !again {
		r.constants[name] = value
	}
}

// constant: const A = literal, B = literal;
func (r *configReader) constant() bool {
	if !r.take().word("const") {
		return false
	}
	found := map[string]phpValue{}
	for {
		name := r.take()
		if name.kind != phpIdent || !r.punct("=") {
			return false
		}
		value, ok := r.literal()
		if !ok {
			return false
		}
		if _, again := found[name.text]; !again {
			found[name.text] = value
		}
		if !r.peek(0).is(",") {
			break
		}
		r.pos++
	}
	if !r.end() {
		return false
	}
	for name, value := range found {
		r.set(name, value)
	}
	return true
}

// assignPrefix: $table_prefix = literal;
func (r *configReader) assignPrefix() bool {
	if t := r.take(); t.kind != phpVar || t.text != "table_prefix" || !r.punct("=") {
		return false
	}
	value, ok := r.literal()
	if !ok || !r.end() {
		return false
	}
	r.prefix = value
	return true
}

// guard: if ( ! defined( 'NAME' ) ) { … } with a decisive name. Whether it is
// defined is known here, so this is no real condition.
func (r *configReader) guard() bool {
	if !r.take().word("if") || !r.punct("(!") {
		return false
	}
	name, ok := r.definedCall()
	if !ok || !r.punct(")") {
		return false
	}
	before, _ := r.constants[name]
	block := r.peek(0).is("{")
	if block {
		r.pos++
	}
	saved, savedPrefix, savedDone := r.constants, r.prefix, r.done
	if before.set { // read it for its problems, drop its values
		r.constants = map[string]phpValue{}
	}
	for first := true; block && !r.peek(0).is("}") && r.peek(0).kind != phpEnd || !block && first; first = false {
		r.statement()
	}
	if before.set {
		r.constants, r.prefix, r.done = saved, savedPrefix, savedDone
	}
	if block {
		r.pos++
	}
	if r.peek(0).word("else") || r.peek(0).word("elseif") {
		r.complicated("conditional settings")
	}
	return true
}

// definedCall: defined( 'NAME' ) of a decisive name.
func (r *configReader) definedCall() (string, bool) {
	if !r.take().word("defined") || !r.punct("(") {
		return "", false
	}
	name := r.take()
	return name.text, name.kind == phpText && r.watch[name.text] && r.punct(")")
}

// orDefine: defined( 'NAME' ) || define( 'NAME', literal );
func (r *configReader) orDefine() bool {
	guard, ok := r.definedCall()
	if !ok {
		return false
	}
	if r.peek(0).word("or") {
		r.pos++
	} else if !r.punct("||") {
		return false
	}
	name, value, ok := r.defineCall()
	if !ok || name != guard || !r.end() {
		return false
	}
	r.set(name, value)
	return true
}

// include: require ABSPATH . 'wp-settings.php'; in all its spellings.
func (r *configReader) include() bool {
	t := r.take()
	if !t.word("require") && !t.word("require_once") && !t.word("include") && !t.word("include_once") {
		return false
	}
	settings := false
	for !r.end() {
		switch t := r.take(); {
		case t.kind == phpText && strings.TrimLeft(t.text, "/") == "wp-settings.php":
			settings = true
		case t.word("ABSPATH"), t.word("__DIR__"), t.word("__FILE__"), t.word("dirname"), t.is("("), t.is(")"), t.is("."):
		default:
			return false
		}
	}
	r.done = settings
	return settings
}

var plainInteger = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)

// literal reads a scalar, or strings joined by dots.
func (r *configReader) literal() (phpValue, bool) {
	minus := ""
	if r.peek(0).is("-") && r.peek(1).kind == phpNumber {
		minus = "-"
		r.pos++
	}
	from := r.pos
	if minus != "" {
		from--
	}
	t := r.take()
	v := phpValue{text: t.text, isText: t.kind == phpText, set: true, from: from}
	switch {
	case t.kind == phpText:
	case t.kind == phpNumber && plainInteger.MatchString(t.text):
		if t.text != "0" {
			v.text = minus + t.text
		}
	case t.word("true"):
		v.text = "1"
	case t.word("false"), t.word("null"):
		v.text = ""
	default:
		return phpValue{}, false
	}
	for v.isText && r.peek(0).is(".") && r.peek(1).kind == phpText {
		v.text += r.peek(1).text
		r.pos += 2
	}
	v.to = r.pos
	return v, true
}
