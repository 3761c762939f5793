package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// streamReader is one client of a stream. It keeps what it was told of every op, and so
// knows what it has missed and what it was told twice.
type streamReader struct {
	addr, key string
	account   string
	path      string
	source    *streamSource // when not nil: one op of it after another, each to its end
	// restless breaks its stream off at any line, asleep reads nothing until it is woken.
	restless bool
	asleep   <-chan struct{}

	mu      sync.Mutex
	op      string           // that is followed
	before  string           // the one before it
	last    string           // Last-Event-ID
	seqs    map[string]int64 // by op: the number of its newest change
	events  int
	again   int // changes that came twice
	gaps    int // changes that were left out
	breaks  int // streams after the first
	late    []float64
	trouble error
}

// run reads streams until ctx ends. opened is called once, when there was a first event or
// there will be none.
func (r *streamReader) run(ctx context.Context, opened func()) {
	opened = sync.OnceFunc(opened)
	defer opened()
	for first := true; ctx.Err() == nil; first = false {
		err := r.stream(ctx, first, opened)
		if ctx.Err() != nil {
			return
		}
		var refused *streamRefused
		if errors.As(err, &refused) && refused.status != http.StatusTooManyRequests && refused.status != http.StatusServiceUnavailable {
			r.fail(err)
			return
		}
		if refused != nil || errors.Is(err, errReading) {
			_ = pause(ctx, 100*time.Millisecond) // ctx is looked at above
		}
	}
}

// streamRefused is an answer that is no stream.
type streamRefused struct {
	status int
	body   []byte
}

func (e *streamRefused) Error() string {
	return fmt.Sprintf("opening a stream: %d %.200s", e.status, e.body)
}

var errReading = errors.New("reading a stream")

func (r *streamReader) stream(ctx context.Context, first bool, opened func()) error {
	path, err := r.where(ctx)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return fmt.Errorf("%w: %w", errReading, err)
	}
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetLinger(0) // thousands of ports would be left waiting
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if r.asleep != nil && first {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	body, err := r.ask(conn, path)
	if err != nil || body == nil {
		return err
	}
	if !first {
		r.mu.Lock()
		r.breaks++
		r.mu.Unlock()
	}
	lines := bufio.NewReaderSize(body, 2<<10)
	for {
		done, err := r.event(lines)
		if err != nil || done {
			return err
		}
		opened()
		if r.asleep != nil {
			select {
			case <-r.asleep:
			case <-ctx.Done():
			}
		}
	}
}

// where is the path of the next connection: to the op that is followed, or to the next one.
func (r *streamReader) where(ctx context.Context) (string, error) {
	if r.source == nil {
		return r.path, nil
	}
	r.mu.Lock()
	op, before := r.op, r.before
	r.mu.Unlock()
	if op == "" {
		var err error
		if op, err = r.source.after(ctx, before); err != nil {
			return "", err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.op = op
	return apiRoot + "/wordpress/operations/" + op + "/events", nil
}

// over ends the following of an op.
func (r *streamReader) over() {
	r.before, r.op, r.last, r.seqs = r.op, "", "", map[string]int64{}
}

// ask sends the request and reads the head of the answer; no body is the end of the op. The
// body is left with its connection: to close it would mean to read on to its end.
func (r *streamReader) ask(conn net.Conn, path string) (io.Reader, error) {
	resume := ""
	r.mu.Lock()
	if r.last != "" {
		resume = "Last-Event-ID: " + r.last + "\r\n"
	}
	r.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n", path, r.addr, r.key, resume); err != nil {
		return nil, fmt.Errorf("%w: %w", errReading, err)
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 2<<10), nil) //nolint:bodyclose // see above
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errReading, err)
	}
	if res.StatusCode == http.StatusNoContent && r.source != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.over()
		return nil, nil
	}
	if res.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return nil, errors.Join(&streamRefused{res.StatusCode, body}, err)
	}
	return res.Body, nil
}

var errBrokenOff = errors.New("broken off")

// event reads one event and notes it; done is the end of what is followed.
func (r *streamReader) event(lines *bufio.Reader) (done bool, err error) {
	var id, name string
	var data []byte
	for {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // a snapshot
			var more []byte
			line = bytes.Clone(line)
			more, err = lines.ReadSlice('\n')
			line = append(line, more...)
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", errReading, err)
		}
		if r.restless && rand.IntN(25) == 0 {
			return false, errBrokenOff
		}
		field, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(field) {
		case "id":
			id = string(value)
		case "event":
			name = string(value)
		case "data":
			data = bytes.Clone(value)
		case "":
			if len(value) == 0 { // no comment
				return r.note(id, name, data)
			}
		}
	}
}

// note keeps what an event says. Only a whole event counts.
func (r *streamReader) note(id, name string, data []byte) (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != "" {
		r.last = id
	}
	switch {
	case data == nil:
	case name == "snapshot":
		return false, r.snapshot(data)
	case name == "reset":
		r.gaps++
	case name == "done" && r.source != nil: // it repeats the last change
		r.over()
		return true, nil
	default:
		r.change(data)
	}
	return false, nil
}

func (r *streamReader) change(data []byte) {
	op, seq, at := streamText(data, "operation_id"), streamNumber(data, "seq"), streamText(data, "message")
	r.events++
	if r.source != nil {
		op = r.op // these events do not name the one that all are about
	}
	switch want := r.seqs[op] + 1; {
	case seq < want:
		r.again++
		return
	case seq > want:
		r.gaps += int(seq - want)
	}
	r.seqs[op] = seq
	if sent, err := strconv.ParseInt(at, 10, 64); err == nil && !r.restless && r.asleep == nil {
		r.late = append(r.late, milliseconds(time.Duration(time.Now().UnixNano()-sent)))
	}
}

// snapshot begins what is counted: of an account, an install, or an op.
func (r *streamReader) snapshot(data []byte) error {
	var shot struct {
		OperationID string `json:"operation_id"`
		Seq         int64  `json:"seq"`
		Operations  []struct {
			OperationID string `json:"operation_id"`
			Seq         int64  `json:"seq"`
		} `json:"operations"`
	}
	if err := json.Unmarshal(data, &shot); err != nil {
		return fmt.Errorf("reading a snapshot: %w", err)
	}
	if shot.OperationID != "" {
		r.seqs[shot.OperationID] = shot.Seq
	}
	for _, op := range shot.Operations {
		r.seqs[op.OperationID] = op.Seq
	}
	return nil
}

// streamText and streamNumber take a field out of an event without decoding it: the
// readers share the processors with what they measure.
func streamText(data []byte, name string) string {
	_, rest, found := bytes.Cut(data, []byte(`"`+name+`":"`))
	if !found {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(value)
}

func streamNumber(data []byte, name string) int64 {
	_, rest, _ := bytes.Cut(data, []byte(`"`+name+`":`))
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (r *streamReader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = err
}

func (r *streamReader) resumes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.breaks
}

// describe says what is wrong with a reader.
func (r *streamReader) describe(ends map[string]int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("%s of %s: restless %t, %d events, %d left out, %d twice, %d times again, last %s", r.path, r.account, r.restless, r.events, r.gaps, r.again, r.breaks, r.last)
	for op, end := range ends {
		if r.seqs[op] < end {
			text += fmt.Sprintf("; %s ended with %d and is at %d", op, end, r.seqs[op])
		}
	}
	return fmt.Sprintf("%.800s", text)
}

// missing is how many changes of ops it has not been told of: those left out, and those
// that are behind the last one of each op. Followers of single ops joined them somewhere.
func (r *streamReader) missing(ends map[string]int64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.gaps
	for op, end := range ends {
		if _, has := r.seqs[op]; has || r.source == nil {
			n += int(max(end-r.seqs[op], 0))
		}
	}
	return n
}

func total(readers []*streamReader, of func(*streamReader) int) (n int) {
	for _, r := range readers {
		r.mu.Lock()
		n += of(r)
		r.mu.Unlock()
	}
	return n
}

func told(readers []*streamReader) int {
	return total(readers, func(r *streamReader) int { return r.events })
}

func twice(readers []*streamReader) int {
	return total(readers, func(r *streamReader) int { return r.again })
}

func resumed(readers []*streamReader) int {
	return total(readers, func(r *streamReader) int {
		if r.source != nil {
			return 0 // mostly the next op
		}
		return r.breaks
	})
}

func lateness(readers []*streamReader) (all []float64) {
	for _, r := range readers {
		r.mu.Lock()
		all = append(all, r.late...)
		r.mu.Unlock()
	}
	return all
}

func firstError(readers []*streamReader) (err error) {
	for _, r := range readers {
		r.mu.Lock()
		err = errors.Join(err, r.trouble)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}
