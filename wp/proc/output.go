package proc

import (
	"bytes"
	"fmt"
	"sync"
)

// Output keeps the first and the last half of its size of what is written to it and counts
// the rest, so that a flood costs no memory and an error message at the end survives. It
// is safe for concurrent use and never fails.
type Output struct {
	mu    sync.Mutex
	half  int
	head  []byte
	tail  []byte // ring of the last half bytes behind head
	next  int    // where the ring continues
	total int64
}

// Capped returns an Output that keeps at most size bytes.
func Capped(size int) *Output { return &Output{half: max(1, size/2)} }

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	o.total += int64(n)
	if room := min(o.half-len(o.head), len(p)); room > 0 {
		o.head = append(o.head, p[:room]...)
		p = p[room:]
	}
	if len(p) > o.half {
		p = p[len(p)-o.half:]
	}
	if room := min(o.half-len(o.tail), len(p)); room > 0 {
		o.tail = append(o.tail, p[:room]...)
		p = p[room:]
	}
	for len(p) > 0 {
		k := copy(o.tail[o.next:], p)
		o.next = (o.next + k) % o.half
		p = p[k:]
	}
	return n, nil
}

// Total is the number of bytes written.
func (o *Output) Total() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// Omitted is the number of bytes that Bytes leaves out.
func (o *Output) Omitted() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.omitted()
}

func (o *Output) omitted() int64 { return o.total - int64(len(o.head)+len(o.tail)) }

// Bytes returns what was kept. Where bytes are missing a line says how many.
func (o *Output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	b.Write(o.head)
	if n := o.omitted(); n > 0 {
		fmt.Fprintf(&b, "\n… %d bytes left out …\n", n)
	}
	b.Write(o.tail[o.next:])
	b.Write(o.tail[:o.next])
	return b.Bytes()
}

func (o *Output) String() string { return string(o.Bytes()) }

// limitWriter collects up to max bytes and fails beyond, which stops the child.
type limitWriter struct {
	buf bytes.Buffer
	max int64
}

func (w *limitWriter) Write(p []byte) (int, error) {
	if int64(w.buf.Len())+int64(len(p)) > w.max {
		return 0, fmt.Errorf("more than %d bytes: %w", w.max, ErrAnswerTooLarge)
	}
	return w.buf.Write(p)
}

// lineWriter passes on whole lines without their end; what exceeds max is dropped.
type lineWriter struct {
	emit func([]byte)
	max  int
	line []byte
	some bool // a line has begun
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		part, rest, end := bytes.Cut(p, []byte{'\n'})
		w.line = append(w.line, part[:min(len(part), w.max-len(w.line))]...)
		w.some = true
		if end {
			w.flush()
		}
		p = rest
	}
	return n, nil
}

func (w *lineWriter) flush() {
	if w.some && w.emit != nil {
		w.emit(w.line)
	}
	w.line, w.some = nil, false
}
