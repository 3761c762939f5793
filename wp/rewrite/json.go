package rewrite

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// style is how a JSON string was written, so that it can be written so again.
type style struct {
	slash   bool         // \/
	unicode hexCase      // \u00e9 for é
	ascii   [128]hexCase // characters written as \u0022: PHP has \u003C beside \u00e9
}

// hexCase is how hexadecimal digits were written; the zero value is that they were not.
type hexCase uint8

const (
	hexLower hexCase = iota + 1
	hexUpper
)

// closingQuote finds the quote that ends a string which begins at s[i]; -1 when none does.
func closingQuote(s []byte, i int) int {
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}

var jsonEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unquote reads the inside of a JSON string; false when it is none.
func unquote(raw []byte) (text []byte, st style, ok bool) {
	text = make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c < ' ':
			return nil, st, false
		case c != '\\':
			text = append(text, c)
			continue
		case i+1 >= len(raw):
			return nil, st, false
		}
		i++
		if raw[i] == 'u' {
			n := st.unquoteRune(raw[i+1:], &text)
			if n == 0 {
				return nil, st, false
			}
			i += n
			continue
		}
		plain, known := jsonEscapes[raw[i]]
		if !known {
			return nil, st, false
		}
		st.slash = st.slash || raw[i] == '/'
		text = append(text, plain)
	}
	return text, st, true
}

// unquoteRune reads what follows \u and answers how many bytes that are, 0 for nonsense.
func (st *style) unquoteRune(s []byte, text *[]byte) int {
	r, ok := hex4(s)
	if !ok {
		return 0
	}
	digits := hexLower
	if bytes.ContainsAny(s[:4], "ABCDEF") {
		digits = hexUpper
	}
	if r < utf8.RuneSelf {
		st.ascii[r] = digits
		*text = append(*text, byte(r))
		return 4
	}
	st.unicode = max(st.unicode, digits)
	n := 4
	if utf16.IsSurrogate(r) {
		var low rune
		if len(s) < 10 || s[4] != '\\' || s[5] != 'u' {
			return 0
		}
		if low, ok = hex4(s[6:]); !ok {
			return 0
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return 0
		}
		n = 10
	}
	*text = utf8.AppendRune(*text, r)
	return n
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 || !isHex(s[0]) || !isHex(s[1]) || !isHex(s[2]) || !isHex(s[3]) {
		return 0, false
	}
	return unhex(s[:4]), true
}

// quote is the opposite of unquote.
func (st *style) quote(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if st.unicode != 0 && r != utf8.RuneError {
				out = st.appendRune(out, r)
			} else {
				out = append(out, text[i:i+n]...)
			}
			i += n
			continue
		}
		out = st.appendASCII(out, c)
		i++
	}
	return out
}

func (st *style) appendASCII(out []byte, c byte) []byte {
	if st.ascii[c] != 0 {
		return st.ascii[c].append(out, uint16(c))
	}
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '/':
		if st.slash {
			out = append(out, '\\')
		}
		return append(out, c)
	case '\b':
		return append(out, `\b`...)
	case '\f':
		return append(out, `\f`...)
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	}
	if c < ' ' {
		return hexLower.append(out, uint16(c))
	}
	return append(out, c)
}

func (st *style) appendRune(out []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); r > 0xffff {
		return st.unicode.append(st.unicode.append(out, uint16(high)), uint16(low))
	}
	return st.unicode.append(out, uint16(r))
}

func (h hexCase) append(out []byte, v uint16) []byte {
	digits := "0123456789abcdef"
	if h == hexUpper {
		digits = "0123456789ABCDEF"
	}
	return append(out, '\\', 'u', digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
}
