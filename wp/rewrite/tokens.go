package rewrite

import (
	"bytes"
	"strconv"
)

// PHP's serialization, as far as it has lengths (php.net/serialize, ext/standard/
// var_unserializer.re): s:5:"hello"; with the length in bytes, S:5:"h\65llo"; with escapes,
// O:8:"stdClass":1:{…}, E:5:"A:One"; for enums, and C:3:"Foo":5:{.....} with whatever the
// class has written. Arrays, numbers and references have no text of their own.
//
// These are found wherever they stand. A value need not be serialized as a whole for that: a
// PHP session or a log is rewritten as truly as an option, and so is what is left of a value
// that is broken elsewhere.

type tokenKind uint8

const (
	tokenNone   tokenKind = iota // none up to the end of the text
	tokenString                  // s[from:to] is the string
	tokenOpaque                  // must stay as it is
	tokenBroken                  // has a length that is not true
)

type token struct {
	kind       tokenKind
	start, end int // of all of it
	from, to   int
	escaped    bool // S:
}

// nextToken finds the next one at or behind pos.
func nextToken(s []byte, pos int) token {
	for at := pos; ; {
		colon := bytes.Index(s[at:], []byte(`:"`))
		if colon < 0 {
			return token{start: len(s), end: len(s)}
		}
		colon += at
		if t := tokenAt(s, pos, colon); t.kind != tokenNone {
			return t
		}
		at = colon + 2
	}
}

// tokenAt reads the token whose length ends in front of s[colon:], which is `:"`.
func tokenAt(s []byte, pos, colon int) token {
	start, n, ok := lengthBefore(s, pos, colon)
	if !ok || start > 0 && (isAlnum(s[start-1]) || s[start-1] == '_' || s[start-1] == '\\') {
		return token{} // or the end of a word
	}
	t := token{start: start, from: colon + 2}
	letter := s[start]
	t.escaped = letter == 'S'
	end := t.from + n // of the string
	if t.escaped {
		end = skipS(s, t.from, n)
	}
	exact := end >= t.from && end < len(s) && s[end] == '"'
	t.to = end
	switch {
	case !exact && (letter == 'O' || letter == 'E'):
		return token{} // a text that looks like it
	case !exact:
		return brokenToken(s, t)
	case letter == 'C':
		return customToken(s, t)
	case letter == 'O':
		t.kind, t.end = tokenOpaque, end+1
		return t
	case end+1 >= len(s) || s[end+1] != ';':
		return brokenToken(s, t)
	}
	t.kind, t.end = tokenString, end+2
	if letter == 'E' {
		t.kind = tokenOpaque
	}
	return t
}

// lengthBefore reads `s:12` backwards from the colon behind it.
func lengthBefore(s []byte, pos, colon int) (start, n int, ok bool) {
	i := colon
	for i > pos && colon-i < 10 && isDigit(s[i-1]) {
		i--
	}
	if i == colon || i < pos+2 || s[i-1] != ':' || bytes.IndexByte([]byte("sSOEC"), s[i-2]) < 0 {
		return 0, 0, false
	}
	start = i - 2
	n, err := strconv.Atoi(string(s[i:colon]))
	return start, n, err == nil && n < 1<<31
}

// brokenToken reaches to where the string seems to end.
func brokenToken(s []byte, t token) token {
	t.kind, t.end = tokenBroken, len(s)
	if end := bytes.Index(s[t.from:], []byte(`";`)); end >= 0 {
		t.end = t.from + end + 2
	}
	return t
}

// customToken reads on behind `C:3:"Foo`: `":5:{.....}`.
func customToken(s []byte, t token) token {
	rest := s[t.to+1:]
	digits := 0
	for digits+1 < len(rest) && digits < 10 && isDigit(rest[digits+1]) {
		digits++
	}
	if digits == 0 || rest[0] != ':' || !bytes.HasPrefix(rest[digits+1:], []byte(":{")) {
		return brokenToken(s, t)
	}
	n, err := strconv.Atoi(string(rest[1 : digits+1]))
	end := t.to + 1 + digits + 3 + n
	if err != nil || n >= 1<<31 || end >= len(s) || s[end] != '}' {
		return brokenToken(s, t)
	}
	t.kind, t.end = tokenOpaque, end+1
	return t
}

// skipS passes n bytes of an S: string, each of which may be written \xx; -1 when it ends
// before.
func skipS(s []byte, at, n int) int {
	for ; n > 0; n-- {
		if at >= len(s) {
			return -1
		}
		if s[at] == '\\' {
			if at+2 >= len(s) || !isHex(s[at+1]) || !isHex(s[at+2]) {
				return -1
			}
			at += 2
		}
		at++
	}
	return at
}

func unescapeS(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			out = append(out, byte(unhex(s[i+1:i+3])))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

// hasEscapedToken says whether there is a serialized string whose quotes are escaped, once
// or more, as inside of JSON: s:5:\"hello\". What stands in front of it is not looked at, as it
// may be the 2 of \u0022.
func hasEscapedToken(s []byte) bool {
	for at := 0; ; {
		colon := bytes.Index(s[at:], []byte(`:\`))
		if colon < 0 {
			return false
		}
		colon += at
		at = colon + 1
		for at < len(s) && s[at] == '\\' {
			at++
		}
		if quote := bytes.HasPrefix(s[at:], []byte(`"`)) || bytes.HasPrefix(s[at:], []byte("u0022")); !quote {
			continue
		}
		if _, _, ok := lengthBefore(s, 0, colon); ok {
			return true
		}
	}
}
