package wp

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// single reads '…': \\ and \' are escapes, every other backslash is itself.
func (l *phpLexer) single() (phpToken, error) {
	l.pos += strings.IndexByte(l.src[l.pos:], '\'') + 1 // past b'
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		l.pos++
		switch {
		case c == '\'':
			return phpToken{phpText, b.String()}, nil
		case c == '\\' && l.pos < len(l.src) && (l.src[l.pos] == '\'' || l.src[l.pos] == '\\'):
			b.WriteByte(l.src[l.pos])
			l.pos++
		default:
			b.WriteByte(c)
		}
	}
	return phpToken{}, errPHPUnterminated
}

// double reads "…" or `…`. With interpolation in it the value is not known and
// the token is phpMixed, but its end is found all the same.
func (l *phpLexer) double(quote byte) (phpToken, error) {
	l.pos += strings.IndexByte(l.src[l.pos:], quote) + 1
	start, mixed := l.pos, false
	for l.pos < len(l.src) {
		switch {
		case l.src[l.pos] == quote:
			raw := l.src[start:l.pos]
			l.pos++
			if mixed {
				return phpToken{phpMixed, ""}, nil
			}
			text, ok := unescapePHP(raw, quote)
			if !ok {
				return phpToken{phpMixed, ""}, nil
			}
			return phpToken{phpText, text}, nil
		case l.src[l.pos] == '\\':
			l.pos += 2
		default:
			hit, err := l.interpolation()
			if err != nil {
				return phpToken{}, err
			}
			mixed = mixed || hit
		}
	}
	return phpToken{}, errPHPUnterminated
}

// interpolation passes one character, or one whole {$…} or ${…}, which may hold
// strings with quotes of their own.
func (l *phpLexer) interpolation() (bool, error) {
	rest := l.src[l.pos:]
	if strings.HasPrefix(rest, "{$") || strings.HasPrefix(rest, "${") {
		l.pos += strings.IndexByte(rest, '{') + 1
		return true, l.skipBraces()
	}
	l.pos++
	return rest[0] == '$' && len(rest) > 1 && isLabelStart(rest[1]), nil
}

func (l *phpLexer) skipBraces() error {
	if l.depth++; l.depth > maxPHPNesting {
		return errPHPTooDeep
	}
	defer func() { l.depth-- }()
	for open := 1; open > 0; {
		t, err := l.next()
		switch {
		case err != nil:
			return err
		case t.kind == phpEnd:
			return errPHPUnterminated
		case t.is("{"):
			open++
		case t.is("}"):
			open--
		}
	}
	return nil
}

// heredoc reads <<<X, <<<"X" and <<<'X'. ok is false when it is none: the
// characters are then operators.
func (l *phpLexer) heredoc() (t phpToken, ok bool, err error) {
	start := l.pos
	l.pos += 3
	for l.pos < len(l.src) && (l.src[l.pos] == ' ' || l.src[l.pos] == '\t') {
		l.pos++
	}
	var quote byte
	if l.pos < len(l.src) && (l.src[l.pos] == '\'' || l.src[l.pos] == '"') {
		quote = l.src[l.pos]
		l.pos++
	}
	label := l.label()
	if quote != 0 && (l.pos >= len(l.src) || l.src[l.pos] != quote) || label == "" || !isLabelStart(label[0]) {
		l.pos = start
		return phpToken{}, false, nil
	}
	if quote != 0 {
		l.pos++
	}
	if !l.lineBreak() {
		l.pos = start
		return phpToken{}, false, nil
	}
	body, indent, found := l.heredocBody(label)
	if !found {
		return phpToken{}, false, errPHPUnterminated
	}
	lines, ok := outdent(body, indent)
	if !ok {
		return phpToken{phpMixed, ""}, true, nil // PHP refuses such a file
	}
	if quote == '\'' {
		return phpToken{phpText, lines}, true, nil
	}
	if text, plain := unescapePHP(lines, 0); plain {
		return phpToken{phpText, text}, true, nil
	}
	return phpToken{phpMixed, ""}, true, nil
}

func (l *phpLexer) lineBreak() bool {
	switch {
	case strings.HasPrefix(l.src[l.pos:], "\r\n"):
		l.pos += 2
	case l.pos < len(l.src) && (l.src[l.pos] == '\n' || l.src[l.pos] == '\r'):
		l.pos++
	default:
		return false
	}
	return true
}

// heredocBody finds the first line that begins with the label (PHP 7.3 and
// later: indented or not, and more may follow on the line).
func (l *phpLexer) heredocBody(label string) (body string, indent string, found bool) {
	start := l.pos
	for at := start; at <= len(l.src); {
		line := l.src[at:]
		blank := len(line) - len(strings.TrimLeft(line, " \t"))
		if after, has := strings.CutPrefix(line[blank:], label); has && (after == "" || !isLabel(after[0])) {
			l.pos = at + blank + len(label)
			body = l.src[start:at]
			body = strings.TrimSuffix(strings.TrimSuffix(body, "\n"), "\r") // \n, \r or \r\n
			return body, line[:blank], true
		}
		next := strings.IndexAny(line, "\r\n")
		if next < 0 {
			break
		}
		at += next + 1 // of \r\n the \n makes an empty line that cannot match
	}
	return "", "", false
}

// outdent removes the closing label's indentation from every line.
func outdent(body, indent string) (string, bool) {
	if indent == "" {
		return body, true
	}
	lines := strings.SplitAfter(body, "\n")
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, indent)
		if !ok && strings.Trim(line, "\r\n") != "" {
			return "", false
		}
		if ok {
			lines[i] = rest
		}
	}
	return strings.Join(lines, ""), true
}

// unescapePHP decodes the inside of "…" (quote '"') or of a heredoc (quote 0);
// ok is false when a variable is in it or an escape that PHP would refuse.
func unescapePHP(raw string, quote byte) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(raw); {
		rest := raw[i:]
		switch {
		case rest[0] == '$' && len(rest) > 1 && (rest[1] == '{' || isLabelStart(rest[1])),
			strings.HasPrefix(rest, "{$"):
			return "", false
		case rest[0] != '\\' || len(rest) == 1:
			b.WriteByte(rest[0])
			i++
		default:
			out, n := phpEscape(rest, quote)
			if n == 0 {
				return "", false
			}
			b.WriteString(out)
			i += n
		}
	}
	return b.String(), true
}

var phpEscapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", 'v': "\v", 'e': "\x1b", 'f': "\f", '\\': `\`, '$': "$"}

// phpEscape decodes the escape that s begins with and says how long it was.
func phpEscape(s string, quote byte) (string, int) {
	c := s[1]
	if out, ok := phpEscapes[c]; ok {
		return out, 2
	}
	switch {
	case c == quote && quote != 0:
		return string(quote), 2
	case c >= '0' && c <= '7':
		n := 1 + countDigits(s[1:], 3, "01234567")
		v, _ := strconv.ParseUint(s[1:n], 8, 16)
		return string([]byte{byte(v)}), n // \400 wraps, as in PHP
	case c == 'x' || c == 'X':
		if n := countDigits(s[2:], 2, hexDigits); n > 0 {
			v, _ := strconv.ParseUint(s[2:2+n], 16, 8)
			return string([]byte{byte(v)}), 2 + n
		}
	case c == 'u' && strings.HasPrefix(s, `\u{`):
		n := countDigits(s[3:], len(s), hexDigits)
		v, err := strconv.ParseUint(s[3:3+n], 16, 32)
		if err != nil || v > utf8.MaxRune || len(s) <= 3+n || s[3+n] != '}' {
			return "", 0
		}
		return encodeRune(rune(v)), 4 + n
	}
	return `\`, 1 // not an escape: the backslash is itself
}

// encodeRune is UTF-8 as PHP makes it: surrogates are encoded as they come.
func encodeRune(r rune) string {
	if r >= 0xD800 && r <= 0xDFFF {
		return string([]byte{0xE0 | byte(r>>12), 0x80 | byte(r>>6)&0x3F, 0x80 | byte(r)&0x3F})
	}
	return string(r)
}

const hexDigits = "0123456789abcdefABCDEF"

func countDigits(s string, limit int, digits string) int {
	n := 0
	for n < len(s) && n < limit && strings.IndexByte(digits, s[n]) >= 0 {
		n++
	}
	return n
}
