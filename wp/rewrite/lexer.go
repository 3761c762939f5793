package rewrite

import (
	"bytes"
	"strings"
)

// lexKind is a kind of SQL token.
type lexKind uint8

const (
	lexEnd    lexKind = iota // the delimiter
	lexMore                  // the text ends inside of a token, or in front of the delimiter
	lexWord                  // keyword, number, variable or name without quotes
	lexName                  // `name`
	lexString                // '…' or "…"
	lexPunct                 // any other byte
)

type lexeme struct {
	kind       lexKind
	start, end int
}

// lexer reads one statement the way that MariaDB's client and server do. What a conditional
// comment has in it (/*!50003 … */) counts as if it stood there without.
type lexer struct {
	s         []byte
	at        int
	delimiter []byte
	plain     bool // NO_BACKSLASH_ESCAPES
}

func (l *lexer) next() lexeme {
	for l.at < len(l.s) {
		start := l.at
		switch c := l.s[start]; {
		case isBlank(c):
			l.at++
		case bytes.HasPrefix(l.s[start:], l.delimiter):
			return lexeme{lexEnd, start, start + len(l.delimiter)}
		case c == '`':
			return l.quoted(lexName, false)
		case c == '\'' || c == '"':
			return l.quoted(lexString, !l.plain)
		case c == '#', c == '-' && l.has(1, '-') && start+2 < len(l.s) && l.s[start+2] <= ' ':
			if !l.until("\n") {
				return lexeme{lexMore, start, start}
			}
		case c == '/' && l.has(1, '*'):
			if !l.comment() {
				return lexeme{lexMore, start, start}
			}
		case c == '*' && l.has(1, '/'):
			l.at += 2
		case isWordByte(c):
			for l.at < len(l.s) && isWordByte(l.s[l.at]) {
				l.at++
			}
			if l.at == len(l.s) {
				return lexeme{lexMore, start, start}
			}
			return lexeme{lexWord, start, l.at}
		default:
			// With what is not there yet it may be a comment, or the delimiter.
			if c == '/' || c == '-' || c == '*' {
				if start+2 >= len(l.s) {
					return lexeme{lexMore, start, start}
				}
			} else if c == l.delimiter[0] && start+len(l.delimiter) > len(l.s) {
				return lexeme{lexMore, start, start}
			}
			l.at++
			return lexeme{lexPunct, start, l.at}
		}
	}
	return lexeme{lexMore, l.at, l.at}
}

func (l *lexer) has(n int, c byte) bool { return l.at+n < len(l.s) && l.s[l.at+n] == c }

// until passes everything up to and including end.
func (l *lexer) until(end string) bool {
	i := bytes.Index(l.s[l.at:], []byte(end))
	if i < 0 {
		return false
	}
	l.at += i + len(end)
	return true
}

// comment passes /* … */, but of a conditional one only the opening.
func (l *lexer) comment() bool {
	n := 2
	if l.has(n, 'M') {
		n++
	}
	if !l.has(n, '!') {
		if l.at+n >= len(l.s) {
			return false
		}
		l.at += 2
		if !l.until("*/") {
			l.at -= 2
			return false
		}
		return true
	}
	l.at += n + 1
	for l.at < len(l.s) && isDigit(l.s[l.at]) {
		l.at++
	}
	return true
}

// quoted passes a name or string; a doubled quote is one of its characters.
func (l *lexer) quoted(kind lexKind, escapes bool) lexeme {
	start, quote := l.at, l.s[l.at]
	for i := start + 1; i < len(l.s); i++ {
		switch {
		case escapes && l.s[i] == '\\':
			i++
		case l.s[i] != quote:
		case i+1 >= len(l.s):
			return lexeme{lexMore, start, start}
		case l.s[i+1] == quote:
			i++
		default:
			l.at = i + 1
			return lexeme{kind, start, l.at}
		}
	}
	return lexeme{lexMore, start, start}
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isWordByte(c byte) bool {
	return isAlnum(c) || c == '_' || c == '$' || c == '@' || c >= 0x80
}

func unquoteName(s []byte) string {
	if len(s) < 2 || s[0] != '`' {
		return string(s)
	}
	return strings.ReplaceAll(string(s[1:len(s)-1]), "``", "`")
}

func quoteName(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// unescape appends what a string literal means, its quotes left out.
func unescape(dst, s []byte, quote byte, escapes bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case c == '\\' && escapes && i+1 < len(s):
			i++
			switch c = s[i]; c {
			case '0':
				c = 0
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			case 'Z':
				c = 0x1a
			case '%', '_': // for LIKE: elsewhere the backslash stays
				dst = append(dst, '\\')
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// escape appends a string as mysql_real_escape_string does, which mariadb-dump uses.
func escape(dst, s []byte) []byte {
	for _, c := range s {
		switch c {
		case 0:
			dst = append(dst, '\\', '0')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case 0x1a:
			dst = append(dst, '\\', 'Z')
		case '\\', '\'', '"':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
