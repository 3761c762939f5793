package devstack

import (
	"bufio"
	"strings"
	"testing"
)

func answer(s string) (string, error) {
	return (&resp{in: bufio.NewReader(strings.NewReader(s))}).read(0)
}

func TestAnswersOfEveryKindAreRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"+PONG\r\n": "PONG", ":7\r\n": "7", "$3\r\na\nb\r\n": "a\nb", "$-1\r\n": "", "$0\r\n\r\n": "",
		"*2\r\n$1\r\na\r\n*1\r\n:2\r\n": "a\n2", "*-1\r\n": "",
	} {
		if got, err := answer(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "\r\n", "-ERR no\r\n", "?\r\n", "$x\r\n", "$5\r\nab\r\n", "$1\r\nabc", "*9999999\r\n", "$-2\r\n"} {
		if got, err := answer(in); err == nil {
			t.Errorf("%q was read as %q", in, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("*2\r\n$1\r\na\r\n*1\r\n:2\r\n")
	f.Add("$-1\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := answer(in); err == nil && len(got) > len(in) {
			t.Errorf("%q became longer: %q", in, got)
		}
	})
}
