package wp

import (
	"errors"
	"strings"
)

// A reader of PHP's lexical grammar, as much of it as a configuration file
// uses: enough to know where a string begins and ends, whatever stands in it.
// Source of the rules: Zend/zend_language_scanner.l of PHP 8.

type phpKind uint8

const (
	phpEnd   phpKind = iota
	phpIdent         // define, DB_NAME, \define
	phpVar           // $table_prefix, without the $
	phpText          // a string without interpolation, decoded
	phpMixed         // a string with interpolation, or a backtick command
	phpNumber
	phpPunct // one character, or "#["
	phpClose // ?> with the text up to the next <?php: ends a statement
)

type phpToken struct {
	kind phpKind
	text string
}

func (t phpToken) is(punct string) bool { return t.kind == phpPunct && t.text == punct }

// word reports an identifier, in any case: PHP's keywords and functions have none.
func (t phpToken) word(name string) bool {
	return t.kind == phpIdent && strings.EqualFold(strings.TrimPrefix(t.text, `\`), name)
}

var (
	errPHPUnterminated = errors.New("string or heredoc has no end")
	errPHPTooDeep      = errors.New("strings nested too deep")
)

const maxPHPNesting = 16

type phpLexer struct {
	src   string
	pos   int
	depth int // of "{$a["{$b}"]}"
}

// lexPHP reads a whole file. The text before the first <?php is one phpClose,
// if there is any.
func lexPHP(src string) ([]phpToken, error) {
	tokens, _, err := lexPHPSpans(src)
	return tokens, err
}

// phpSpan is where a token stands: src[start:end].
type phpSpan struct{ start, end int }

// lexPHPSpans is lexPHP, with the place of every token.
func lexPHPSpans(src string) ([]phpToken, []phpSpan, error) {
	l := &phpLexer{src: src}
	tokens, spans := make([]phpToken, 0, len(src)/6), make([]phpSpan, 0, len(src)/6)
	if text := l.inlineText(); text != "" {
		tokens, spans = append(tokens, phpToken{phpClose, text}), append(spans, phpSpan{0, l.pos})
	}
	for {
		l.skipBlank()
		start := l.pos
		t, err := l.next()
		if err != nil {
			return nil, nil, err
		}
		if t.kind == phpEnd {
			return tokens, spans, nil
		}
		tokens, spans = append(tokens, t), append(spans, phpSpan{start, l.pos})
		if t.word("__halt_compiler") { // the rest is data
			return tokens, spans, nil
		}
	}
}

// inlineText skips what PHP would print, up to and including <?php or <?=. The
// short tag <? depends on php.ini; it is taken for text and so refused later.
func (l *phpLexer) inlineText() string {
	rest := l.src[l.pos:]
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] != '<' || rest[i+1] != '?' {
			continue
		}
		if strings.HasPrefix(rest[i:], "<?=") {
			l.pos += i + 3
			return rest[:i+3] // it prints: worth being seen
		}
		if len(rest) >= i+5 && strings.EqualFold(rest[i:i+5], "<?php") && (len(rest) == i+5 || isSpace(rest[i+5])) {
			l.pos += i + 5
			return rest[:i]
		}
	}
	l.pos = len(l.src)
	return rest
}

func (l *phpLexer) next() (phpToken, error) {
	l.skipBlank()
	if l.pos >= len(l.src) {
		return phpToken{}, nil
	}
	rest := l.src[l.pos:]
	c := rest[0]
	switch {
	case strings.HasPrefix(rest, "?>"):
		l.pos += 2
		if strings.HasPrefix(l.src[l.pos:], "\n") { // PHP eats one line break
			l.pos++
		} else if strings.HasPrefix(l.src[l.pos:], "\r\n") {
			l.pos += 2
		}
		return phpToken{phpClose, l.inlineText()}, nil
	case c == '\'' || (c == 'b' || c == 'B') && len(rest) > 1 && rest[1] == '\'':
		return l.single()
	case c == '"' || (c == 'b' || c == 'B') && len(rest) > 1 && rest[1] == '"':
		return l.double('"')
	case c == '`':
		t, err := l.double('`')
		t.kind = phpMixed
		return t, err
	case strings.HasPrefix(rest, "<<<"):
		if t, ok, err := l.heredoc(); ok || err != nil {
			return t, err
		}
	case c == '$' && len(rest) > 1 && isLabelStart(rest[1]):
		l.pos++
		return phpToken{phpVar, l.label()}, nil
	case isLabelStart(c) || c == '\\' && len(rest) > 1 && isLabelStart(rest[1]):
		return phpToken{phpIdent, l.name()}, nil
	case c >= '0' && c <= '9' || c == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		return phpToken{phpNumber, l.number()}, nil
	case strings.HasPrefix(rest, "#["):
		l.pos += 2
		return phpToken{phpPunct, "#["}, nil
	}
	l.pos++
	return phpToken{phpPunct, string(c)}, nil
}

// skipBlank passes white space and comments. A one-line comment ends before a
// ?>, as everybody who ever commented one out has learnt.
func (l *phpLexer) skipBlank() {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case isSpace(rest[0]):
			l.pos++
		case strings.HasPrefix(rest, "//"), rest[0] == '#' && !strings.HasPrefix(rest, "#["):
			end := strings.IndexAny(rest, "\r\n")
			if end < 0 {
				end = len(rest)
			}
			if tag := strings.Index(rest[:end], "?>"); tag >= 0 {
				end = tag
			}
			l.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 { // PHP warns and takes the rest as comment
				l.pos = len(l.src)
				return
			}
			l.pos += end + 4
		default:
			return
		}
	}
}

func (l *phpLexer) label() string {
	start := l.pos
	for l.pos < len(l.src) && isLabel(l.src[l.pos]) {
		l.pos++
	}
	return l.src[start:l.pos]
}

// name is a label with namespace separators between its parts.
func (l *phpLexer) name() string {
	start := l.pos
	for l.pos < len(l.src) && (isLabel(l.src[l.pos]) || l.src[l.pos] == '\\' && l.pos+1 < len(l.src) && isLabelStart(l.src[l.pos+1])) {
		l.pos++
	}
	return l.src[start:l.pos]
}

func (l *phpLexer) number() string {
	start := l.pos
	for l.pos < len(l.src) && (isLabel(l.src[l.pos]) || l.src[l.pos] == '.') {
		l.pos++
	}
	return l.src[start:l.pos]
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'
}
func isLabelStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
func isLabel(c byte) bool { return isLabelStart(c) || c >= '0' && c <= '9' }
