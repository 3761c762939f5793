package wp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// FastCGI, as much of it as one GET needs: records of eight bytes of header and at most
// 65535 of content (FastCGI specification 1.0, sections 3.3, 5 and 8).
const (
	fcgiBegin  = 1
	fcgiEnd    = 3
	fcgiParams = 4
	fcgiStdin  = 5
	fcgiStdout = 6
	fcgiStderr = 7

	fcgiResponder = 1
	fcgiRequest   = 1 // the only one of its connection

	maxFastCGI        = 256 << 10 // of an answer, in bytes
	maxFastCGIRecords = 4096
)

var errFastCGI = errors.New("the answer is not FastCGI's")

// FastCGI asks PHP behind a socket for one script and answers its status and body. What PHP says on the side comes
// in errors only: the body is the script's. It sets no time limits; the connection has them.
func FastCGI(conn io.ReadWriter, params [][2]string) (status int, body []byte, err error) {
	var out bytes.Buffer
	fcgiWrite(&out, fcgiBegin, []byte{0, fcgiResponder, 0, 0, 0, 0, 0, 0})
	var pairs bytes.Buffer
	for _, p := range params {
		for _, text := range p {
			fcgiLength(&pairs, len(text))
		}
		pairs.WriteString(p[0] + p[1])
	}
	if pairs.Len() > 0xffff {
		return 0, nil, fmt.Errorf("asking PHP: %d bytes of parameters are too many", pairs.Len())
	}
	fcgiWrite(&out, fcgiParams, pairs.Bytes())
	fcgiWrite(&out, fcgiParams, nil)
	fcgiWrite(&out, fcgiStdin, nil)
	if _, err := conn.Write(out.Bytes()); err != nil {
		return 0, nil, fmt.Errorf("asking PHP: %w", err)
	}
	stdout, stderr, err := fcgiRead(conn)
	if err == nil {
		status, body, err = cgiAnswer(stdout)
	}
	if err != nil {
		if said := cleanLine(string(stderr), 200); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return 0, nil, fmt.Errorf("reading PHP's answer: %w", err)
	}
	return status, body, nil
}

func fcgiWrite(out *bytes.Buffer, kind byte, content []byte) {
	out.Write([]byte{1, kind, 0, fcgiRequest})
	_ = binary.Write(out, binary.BigEndian, uint16(len(content))) // into memory
	out.Write([]byte{0, 0})
	out.Write(content)
}

func fcgiLength(out *bytes.Buffer, n int) {
	if n < 128 {
		out.WriteByte(byte(n))
		return
	}
	_ = binary.Write(out, binary.BigEndian, uint32(n)|1<<31) // into memory
}

// fcgiRead reads records up to the end of the request. They are the tenant's: of wrong ones
// no more is taken than of right ones.
func fcgiRead(conn io.Reader) (stdout, stderr []byte, err error) {
	in := bufio.NewReader(io.LimitReader(conn, 2*maxFastCGI))
	for range maxFastCGIRecords {
		var h struct {
			Version, Kind byte
			ID, Length    uint16
			Padding, Zero byte
		}
		if err := binary.Read(in, binary.BigEndian, &h); err != nil {
			return stdout, stderr, fmt.Errorf("%w: %w", errFastCGI, err)
		}
		content := make([]byte, h.Length)
		if _, err := io.ReadFull(in, content); err != nil {
			return stdout, stderr, fmt.Errorf("%w: %w", errFastCGI, err)
		}
		if _, err := in.Discard(int(h.Padding)); err != nil {
			return stdout, stderr, fmt.Errorf("%w: %w", errFastCGI, err)
		}
		switch {
		case h.Version != 1 || h.ID != fcgiRequest || len(stdout)+len(stderr)+len(content) > maxFastCGI:
			return stdout, stderr, errFastCGI
		case h.Kind == fcgiStdout:
			stdout = append(stdout, content...)
		case h.Kind == fcgiStderr:
			stderr = append(stderr, content...)
		case h.Kind == fcgiEnd:
			if len(content) < 5 || content[4] != 0 {
				return stdout, stderr, fmt.Errorf("%w: the request was not served", errFastCGI)
			}
			return stdout, stderr, nil
		}
	}
	return stdout, stderr, errFastCGI
}

// cgiAnswer takes a CGI answer apart (RFC 3875, section 6).
func cgiAnswer(answer []byte) (status int, body []byte, err error) {
	in := bufio.NewReader(bytes.NewReader(answer))
	head, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errFastCGI, err)
	}
	status = http.StatusOK
	if said := head.Get("Status"); said != "" {
		code, _, _ := strings.Cut(said, " ")
		if status, err = strconv.Atoi(code); err != nil || status < 100 || status > 999 {
			return 0, nil, fmt.Errorf("%w: status %q", errFastCGI, cleanLine(said, 40))
		}
	}
	body, err = io.ReadAll(in)
	return status, body, err
}
