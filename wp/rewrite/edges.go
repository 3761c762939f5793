package rewrite

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// leftFree says whether a match of a rule may begin at s[i]. What stands in front may be
// written as %2F or \u0022, or be the n of JSON's \n.
func leftFree(s []byte, i int, edges Edges) bool {
	if i == 0 {
		return true
	}
	c := rune(s[i-1])
	switch {
	case i >= 3 && s[i-3] == '%' && isHex(s[i-2]) && isHex(s[i-1]):
		c = unhex(s[i-2 : i])
	case i >= 6 && s[i-6] == '\\' && s[i-5] == 'u' && isHex(s[i-4]) && isHex(s[i-3]) && isHex(s[i-2]) && isHex(s[i-1]):
		c = unhex(s[i-4 : i])
	case i >= 2 && s[i-2] == '\\' && (c == 'n' || c == 'r' || c == 't'):
		return true
	case c >= utf8.RuneSelf:
		c, _ = utf8.DecodeLastRune(s[:i])
	case c == '.':
		return i < 2 || !isAlnum(s[i-2]) // sub.old.test; but not an ellipsis
	}
	return !inName(c, edges) && !(edges == Host && c == '@')
}

// rightFree says whether a match of a rule may end in front of s[j]. port: the new text ends
// with a port, so that another one behind it would make nonsense.
func rightFree(s []byte, j int, edges Edges, port bool) bool {
	if j >= len(s) {
		return true
	}
	c := rune(s[j])
	next := func(n int) byte {
		if j+n < len(s) {
			return s[j+n]
		}
		return 0
	}
	switch {
	case c == '%' && isHex(next(1)) && isHex(next(2)):
		c = unhex(s[j+1 : j+3])
		return c < utf8.RuneSelf && c != '.' && !inName(c, edges) // a byte of a longer letter is one
	case c == '.':
		return !isAlnum(next(1)) // old.test.example; but not the end of a sentence
	case c == ':':
		return !port || next(1) < '0' || next(1) > '9'
	case c >= utf8.RuneSelf:
		c, _ = utf8.DecodeRune(s[j:])
	}
	return !inName(c, edges)
}

// inName says whether c beside a name makes it a longer one. In scripts without spaces
// between words (Chinese for one) a letter beside a host is the next word.
func inName(c rune, edges Edges) bool {
	switch {
	case c < utf8.RuneSelf && isAlnum(byte(c)), c == '-':
		return true
	case edges == Path && (c == '_' || c == '~' || c == '+'):
		return true
	}
	return c >= utf8.RuneSelf && c != utf8.RuneError && unicode.In(c, unicode.Latin, unicode.Greek, unicode.Cyrillic)
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unhex reads hexadecimal digits that isHex has seen.
func unhex(digits []byte) rune {
	n, err := strconv.ParseUint(string(digits), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
