package wp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pool is a PHP that has its answer ready.
type pool struct {
	io.Reader
	asked bytes.Buffer
}

func (p *pool) Write(b []byte) (int, error) { return p.asked.Write(b) }

func record(kind byte, content string) string {
	var out bytes.Buffer
	fcgiWrite(&out, kind, []byte(content))
	return out.String()
}

const fcgiServed = "\x00\x00\x00\x00\x00\x00\x00\x00"

func TestFastCGIAnswersStatusAndBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		status int
		body   string
	}{
		"in one record":    {record(fcgiStdout, "Content-Type: text/html\r\n\r\nhello") + record(fcgiEnd, fcgiServed), 200, "hello"},
		"in many":          {record(fcgiStdout, "Status: 404 Not") + record(fcgiStderr, "Primary script unknown") + record(fcgiStdout, " Found\r\n\r\n") + record(fcgiStdout, "") + record(fcgiEnd, fcgiServed), 404, ""},
		"with padding":     {"\x01\x06\x00\x01\x00\x06\x03\x00A: b\n\n\x00\x00\x00" + record(fcgiEnd, fcgiServed), 200, ""},
		"and another type": {record(99, "?") + record(fcgiStdout, "A: b\n\nx") + record(fcgiEnd, fcgiServed), 200, "x"},
	} {
		status, body, err := FastCGI(&pool{Reader: strings.NewReader(c.answer)}, nil)
		if err != nil || status != c.status || string(body) != c.body {
			t.Errorf("%s: %d %q %v", name, status, body, err)
		}
	}
}

func TestFastCGIRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 0xffff)
	for name, answer := range map[string]string{
		"nothing":             "",
		"HTTP":                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"half a record":       record(fcgiStdout, "A: b\r\n\r\n")[:10],
		"no end":              record(fcgiStdout, "A: b\r\n\r\n"),
		"another request":     "\x01\x06\x00\x02\x00\x00\x00\x00" + record(fcgiEnd, fcgiServed),
		"overload":            record(fcgiEnd, "\x00\x00\x00\x00\x02\x00\x00\x00"),
		"no header":           record(fcgiStdout, "fatal error") + record(fcgiEnd, fcgiServed),
		"a status of letters": record(fcgiStdout, "Status: ok\r\n\r\n") + record(fcgiEnd, fcgiServed),
		"without end":         strings.Repeat(record(fcgiStdout, long), 20),
		"empty records":       strings.Repeat(record(fcgiStdout, ""), 2*maxFastCGIRecords),
	} {
		if status, body, err := FastCGI(&pool{Reader: strings.NewReader(answer)}, nil); !errors.Is(err, errFastCGI) {
			t.Errorf("%s: %d %.50q %v", name, status, body, err)
		}
	}
}

// What is asked is read back as the specification has it.
func TestFastCGIParametersComeAcross(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, -1, 300)
		params := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string { return [2]string{text.Draw(t, "name"), text.Draw(t, "value")} }), 0, 20).Draw(t, "params")
		p := &pool{Reader: strings.NewReader(record(fcgiStdout, "A: b\n\n") + record(fcgiEnd, fcgiServed))}
		if _, _, err := FastCGI(p, params); err != nil {
			t.Fatal(err)
		}
		if got := readParams(t, p.asked.Bytes()); len(got) != len(params) {
			t.Fatalf("%q became %q", params, got)
		} else {
			for i := range got {
				if got[i] != params[i] {
					t.Fatalf("%q became %q", params[i], got[i])
				}
			}
		}
	})
}

func readParams(t *rapid.T, sent []byte) (params [][2]string) {
	var content []byte
	for len(sent) >= 8 {
		n := int(sent[4])<<8 | int(sent[5])
		if sent[1] == fcgiParams {
			content = append(content, sent[8:8+n]...)
		}
		sent = sent[8+n:]
	}
	length := func() (n int) {
		if n = int(content[0]); n < 128 {
			content = content[1:]
			return n
		}
		n = (n&127)<<24 | int(content[1])<<16 | int(content[2])<<8 | int(content[3])
		content = content[4:]
		return n
	}
	for len(content) > 0 {
		name, value := length(), length()
		if name+value > len(content) {
			t.Fatalf("lengths %d and %d, %d bytes", name, value, len(content))
		}
		params = append(params, [2]string{string(content[:name]), string(content[name : name+value])})
		content = content[name+value:]
	}
	return params
}

func FuzzFastCGIAnswer(f *testing.F) {
	f.Add([]byte(record(fcgiStdout, "Status: 200\r\n\r\n{}") + record(fcgiEnd, fcgiServed)))
	f.Add([]byte("\x01\x03\x00\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		status, body, err := FastCGI(&pool{Reader: bytes.NewReader(answer)}, nil)
		if err == nil && (status < 100 || len(body) > maxFastCGI) || err != nil && status != 0 {
			t.Errorf("%d %d %v", status, len(body), err)
		}
	})
}
