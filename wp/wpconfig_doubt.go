package wp

import "strings"

// other passes a statement that is none of the plain forms, and looks for
// anything in it by which it could set a decisive value. The rule is an allow
// list: what is not known to be harmless makes the file not simple.
func (r *configReader) other() {
	depth := 0
	for {
		t := r.peek(0)
		if t.kind == phpEnd {
			return
		}
		r.doubt()
		r.pos++
		switch {
		case t.is("("), t.is("["), t.is("{"), t.is("#["):
			depth++
		case t.is(")"), t.is("]"):
			depth--
		case t.is("}"):
			if depth--; depth <= 0 {
				return
			}
		case (t.is(";") || t.kind == phpClose) && depth <= 0:
			return
		}
	}
}

// doubt looks at the token at hand in its neighbourhood.
func (r *configReader) doubt() {
	t, next := r.peek(0), r.peek(1)
	var before phpToken
	if r.pos > 0 {
		before = r.tokens[r.pos-1]
	}
	call := next.is("(")
	switch {
	case t.kind == phpClose && strings.Contains(t.text, "<?"):
		r.complicated("a short open tag")
	case t.kind == phpText && r.watch[t.text] && !r.inDefined():
		r.complicated(t.text + " is not a plain value")
	case t.kind == phpText && call, t.kind == phpVar && call, t.kind == phpMixed && call, (t.is(")") || t.is("]") || t.is("}")) && call:
		r.complicated("calls a computed function")
	case t.kind == phpVar && (t.text == "table_prefix" || t.text == "GLOBALS"), t.is("$"):
		if !r.lenient { // no constant comes of it
			r.complicated("$table_prefix is not a plain value")
		}
	case t.kind != phpIdent:
	case r.watch[t.text] && before.word("const"):
		r.complicated(t.text + " is not a plain value")
	case r.lenient && r.elseBlock():
	case suspicious[strings.ToLower(t.text)]:
		r.complicated("uses " + strings.ToLower(t.text))
	case t.word("define") && (!call || r.peek(2).kind != phpText || !r.peek(3).is(",")):
		r.complicated("defines a computed name")
	case call && (!harmless[strings.ToLower(strings.TrimPrefix(t.text, `\`))] || before.is(":") || before.is(">")):
		r.complicated("calls a function of its own")
	}
}

// elseBlock reports an else or elseif with a block in braces, which holds no
// statement that would be read as one of the top level.
func (r *configReader) elseBlock() bool {
	next := r.peek(1)
	return r.peek(0).word("else") && (next.is("{") || next.word("if")) || r.peek(0).word("elseif") && next.is("(")
}

// inDefined reports defined( 'NAME' ), which only asks.
func (r *configReader) inDefined() bool {
	return r.pos >= 2 && r.tokens[r.pos-1].is("(") && r.tokens[r.pos-2].word("defined")
}

// suspicious words bring in other code, other scopes or an early end.
var suspicious = setOf("include", "include_once", "require", "require_once", "eval", "return", "exit", "die", "goto", "throw",
	"namespace", "use", "new", "function", "fn", "class", "interface", "trait", "enum", "extract", "parse_str", "global", "static",
	"__halt_compiler", "try", "while", "do", "for", "else", "elseif", "switch", "match",
	"endif", "endfor", "endforeach", "endwhile", "endswitch", "enddeclare")

// harmless functions and control words may be followed by a parenthesis.
var harmless = setOf("if", "and", "or", "xor", "isset", "empty", "unset", "array", "list", "foreach", "echo", "print", "declare",
	"define", "defined", "dirname", "basename", "file_exists", "is_file", "is_dir", "is_readable", "realpath", "getenv", "putenv",
	"ini_set", "ini_get", "error_reporting", "set_time_limit", "date_default_timezone_set", "php_sapi_name", "function_exists",
	"extension_loaded", "strpos", "stripos", "str_contains", "str_starts_with", "str_ends_with", "strtolower", "strtoupper",
	"substr", "strlen", "trim", "ltrim", "rtrim", "explode", "implode", "in_array", "count", "is_array", "sprintf",
	"str_replace", "preg_match", "md5", "sha1", "hash", "time", "intval", "version_compare")

func setOf(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}
