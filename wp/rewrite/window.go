package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// window is the part of a stream that is being looked at.
type window struct {
	src  io.Reader
	buf  []byte // b is buf[pos:]
	pos  int
	line int // line breaks passed
	err  error
}

// b is what is at hand; it is valid until more is read.
func (w *window) b() []byte { return w.buf[w.pos:] }

// advance passes n bytes.
func (w *window) advance(n int) {
	w.line += bytes.Count(w.buf[w.pos:w.pos+n], []byte{'\n'})
	w.pos += n
}

const windowSize = 256 << 10

// more reads until there is more at hand than before: at least twice as much as keep, so
// that what is looked at again from its beginning is not looked at often. io.EOF when the
// stream has ended.
func (w *window) more(limit int) error {
	keep := len(w.buf) - w.pos
	if keep >= limit {
		return fmt.Errorf("a value or statement of more than %d MiB", limit>>20)
	}
	if w.err != nil {
		return w.err
	}
	if size := max(windowSize, 2*keep+windowSize/4); cap(w.buf) < size {
		next := make([]byte, keep, size)
		copy(next, w.buf[w.pos:])
		w.buf, w.pos = next, 0
	} else if w.pos > 0 {
		copy(w.buf, w.buf[w.pos:])
		w.buf, w.pos = w.buf[:keep], 0
	}
	for idle := 0; len(w.buf) == keep || len(w.buf) < 2*keep; {
		n, err := w.src.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+n]
		if err != nil {
			w.err = err
			break
		}
		if idle++; n > 0 {
			idle = 0
		} else if idle > 100 {
			w.err = io.ErrNoProgress
			break
		}
	}
	if len(w.buf) > keep {
		return nil
	}
	return w.err
}

// peek answers up to n bytes, fewer at the end of the stream.
func (w *window) peek(n int) ([]byte, error) {
	for len(w.b()) < n {
		if err := w.more(windowSize); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	b := w.b()
	return b[:min(n, len(b))], nil
}

// skipBlank lets blanks through to out.
func (w *window) skipBlank(out io.Writer) error {
	for {
		b := w.b()
		n := 0
		for n < len(b) && isBlank(b[n]) {
			n++
		}
		if _, err := out.Write(b[:n]); err != nil {
			return err
		}
		w.advance(n)
		if n < len(b) {
			return nil
		}
		if err := w.more(windowSize); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// readLine answers the line at hand, its break included.
func (w *window) readLine() ([]byte, error) {
	for {
		if i := bytes.IndexByte(w.b(), '\n'); i >= 0 {
			return w.b()[:i+1], nil
		}
		if err := w.more(maxStatement); errors.Is(err, io.EOF) {
			return w.b(), nil
		} else if err != nil {
			return nil, err
		}
	}
}
