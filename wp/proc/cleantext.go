package proc

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CleanText makes a program's output fit for logs, terminals and JSON: valid UTF-8 without
// escape sequences and control characters. Line feeds and tabs stay, carriage returns become
// line feeds (CRLF one), and characters that reorder the text around them go: a tenant must
// not be able to make a log line look like another.
func CleanText(b []byte) string {
	var out strings.Builder
	out.Grow(len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == 0x1b:
			b = b[escapeLen(b):]
			continue
		case r == 0x9b && n == 2: // CSI as one character
			b = b[2+csiLen(b[2:]):]
			continue
		case r == '\r':
			if len(b) == 1 || b[1] != '\n' {
				out.WriteByte('\n')
			}
		case r == '\n' || r == '\t':
			out.WriteRune(r)
		case unicode.IsControl(r) || reorders(r):
		default:
			out.WriteRune(r) // an invalid byte is written as U+FFFD
		}
		b = b[n:]
	}
	return out.String()
}

// reorders reports the bidirectional controls of UAX #9, the byte order mark and the two
// separators that some viewers take for line ends.
func reorders(r rune) bool {
	return (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) ||
		r == 0x200e || r == 0x200f || r == 0x061c || r == 0xfeff || r == 0x2028 || r == 0x2029
}

// escapeLen is the length of the ECMA-48 sequence at the start of b, which begins with ESC.
func escapeLen(b []byte) int {
	if len(b) == 1 {
		return 1
	}
	switch b[1] {
	case '[':
		return 2 + csiLen(b[2:])
	case ']', 'P', 'X', '^', '_':
		return 2 + stringLen(b[2:])
	}
	i := 1
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f { // intermediates, as in ESC ( B
		i++
	}
	if i < len(b) && b[i] >= 0x30 && b[i] <= 0x7e {
		i++
	}
	return i
}

// csiLen is the length of parameters, intermediates and the final byte. A sequence that is
// cut off ends before the first byte that does not belong to it.
func csiLen(b []byte) int {
	i := 0
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x3f {
		i++
	}
	if i < len(b) && b[i] >= 0x40 && b[i] <= 0x7e {
		i++
	}
	return i
}

// stringLen is the length of a control string (a window title, say) with its terminator.
// It ends before a line feed too, so that an unterminated one cannot hide what follows.
func stringLen(b []byte) int {
	for i, c := range b {
		switch {
		case c == '\n' || c == '\r':
			return i
		case c == 0x07:
			return i + 1
		case c == 0x1b:
			if i+1 < len(b) && b[i+1] == '\\' {
				return i + 2
			}
			return i
		}
	}
	return len(b)
}
