package proc

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCleanTextRemovesWhatATerminalWouldObey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ä 漢 🙂\n\tx":             "plain ä 漢 🙂\n\tx",
		"\x1b[31;1mred\x1b[0m":         "red",
		"\x1b]0;title\x07after":        "after",
		"\x1b]8;;http://x\x1b\\link":   "link",
		"\x1b]0;endless\nnext line":    "\nnext line",
		"\x1b(Bx\x1b7y\x1bc":           "xy",
		"\x1b[12":                      "",
		"\x1b":                         "",
		"\x1b[\x1b[2Jx":                "x",
		"\u009b31mred":                 "red",
		"a\r\nb\rc":                    "a\nb\nc",
		"nul\x00bell\x07del\x7f":       "nulbelldel",
		"bad\xff\xc3":                  "bad\ufffd\ufffd",
		"txt\u202egpj.exe\u2066\ufeff": "txtgpj.exe",
	} {
		if got := CleanText([]byte(in)); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanText(f *testing.F) {
	for _, seed := range []string{"a\x1b[31mb", "\x1b]0;t\x07", "\xff\x1b", "\u009b1", "a\r\r\n", "\x1bP\x1b\\"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := CleanText(in)
		if !utf8.ValidString(out) {
			t.Errorf("%q is not UTF-8", out)
		}
		for _, r := range out {
			if (r < 0x20 && r != '\n' && r != '\t') || (r >= 0x7f && r <= 0x9f) || reorders(r) {
				t.Errorf("%U is left in %q", r, out)
			}
		}
		if again := CleanText([]byte(out)); again != out {
			t.Errorf("cleaning again changes %q to %q", out, again)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) b) (c) S 1 12 13 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 777 1 1"))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, err := parseStat(in); err == nil && s.state == 0 {
			t.Errorf("%q gives %+v", in, s)
		}
	})
}

func TestParseStatIsNotFooledByTheName(t *testing.T) {
	t.Parallel()
	s, err := parseStat([]byte("12 (a) R 9 9 9\n(c) S 1 12 13 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 777 1 1"))
	if want := (stat{pid: 12, ppid: 1, session: 13, state: 'S', threads: 3, ticks: 777}); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOutputKeepsBothEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		half := rapid.IntRange(1, 20).Draw(t, "half")
		out := Capped(2 * half)
		var all []byte
		for range rapid.IntRange(0, 12).Draw(t, "writes") {
			part := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "part")
			if n, err := out.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
			all = append(all, part...)
		}
		got := out.Bytes()
		if len(all) <= 2*half {
			if !bytes.Equal(got, all) || out.Omitted() != 0 {
				t.Fatalf("%q became %q", all, got)
			}
			return
		}
		if !bytes.HasPrefix(got, all[:half]) || !bytes.HasSuffix(got, all[len(all)-half:]) ||
			out.Omitted() != int64(len(all)-2*half) || out.Total() != int64(len(all)) {
			t.Fatalf("%q became %q, %d left out", all, got, out.Omitted())
		}
	})
}

func TestLinesArriveWholeAndCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\n")), 0, 60, -1).Draw(t, "text")
		var got []string
		w := &lineWriter{max: 4, emit: func(b []byte) { got = append(got, string(b)) }}
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		w.flush()
		var want []string
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			want = append(want, line[:min(4, len(line))])
		}
		if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Fatalf("%q gives %q, want %q", text, got, want)
		}
	})
}
