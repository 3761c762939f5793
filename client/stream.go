package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// event is one Server-Sent Event.
type event struct {
	id, name string
	data     []byte
}

// maxEvent bounds an event, in bytes; an operation's result is far below it.
const maxEvent = 16 << 20

// eventReader reads events as https://html.spec.whatwg.org/multipage/server-sent-events.html
// has them, of the lines that end in \n or \r\n (the API sends no lone \r).
type eventReader struct {
	in    *bufio.Reader
	alive func() // is told of every line, heartbeats too
	last  string // the newest id, behind which a stream is resumed
}

func newEventReader(r io.Reader, alive func()) *eventReader {
	return &eventReader{in: bufio.NewReader(r), alive: alive}
}

// next is the next event with data; io.EOF after the last whole one.
func (r *eventReader) next() (event, error) {
	var e event
	var data [][]byte
	for size := 0; ; {
		line, err := r.line(maxEvent - size)
		if err != nil {
			return event{}, err // what was not ended by an empty line does not count
		}
		size += len(line)
		if len(line) == 0 {
			if e.id != "" { // also of a heartbeat
				r.last = e.id
			}
			if data == nil {
				e.name = ""
				continue
			}
			e.data = bytes.Join(data, []byte("\n"))
			return e, nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			data = append(data, value)
		}
	}
}

var errLongEvent = errors.New("an event is too long")

// line is the next line, of no more than most bytes.
func (r *eventReader) line(most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > most+2 {
			return nil, errLongEvent
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.alive()
		return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
	}
}
