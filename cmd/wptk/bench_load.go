package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// target is a handler under load: keep-alive connections, each of which asks again as
// soon as it has its answer. The generator is as cheap as can be, since it shares the
// processors with what it measures.
type target struct {
	request []byte
	conns   []*loadConn
}

// loadConn is one client.
type loadConn struct {
	net.Conn
	in   *bufio.Reader
	took []float64 // ms of every answer that counts
}

func newTarget(ctx context.Context, addr, path, key string, connections int) (*target, error) {
	t := &target{request: []byte("GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nAuthorization: Bearer " + key +
		"\r\nAccept: application/json\r\nUser-Agent: wptk-bench\r\n\r\n")}
	for range connections {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", addr, err)
		}
		t.conns = append(t.conns, &loadConn{Conn: conn, in: bufio.NewReader(conn)})
	}
	return t, nil
}

// load asks for a while and answers how many answers came.
func (t *target) load(ctx context.Context, d time.Duration, counts bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	answers, errs := make([]int, len(t.conns)), make([]error, len(t.conns))
	var wg sync.WaitGroup
	for i, c := range t.conns {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				if errs[i] = c.ask(t.request, counts); errs[i] == nil {
					answers[i]++
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return 0, err // not the end of the time, but of the program
	}
	sum := 0
	for _, n := range answers {
		sum += n
	}
	return sum, nil
}

func (t *target) quantile(q float64) float64 {
	var all []float64
	for _, c := range t.conns {
		all = append(all, c.took...)
	}
	return quantile(all, q)
}

func (t *target) close() {
	for _, c := range t.conns {
		c.Close()
	}
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("Content-Length: ")
)

const answerPatience = 10 * time.Second

// ask makes one request and reads its answer, which must be 200 and say its length.
func (c *loadConn) ask(request []byte, counts bool) error {
	began := time.Now()
	if err := c.SetDeadline(began.Add(answerPatience)); err != nil {
		return fmt.Errorf("setting deadline: %w", err)
	}
	if _, err := c.Write(request); err != nil {
		return fmt.Errorf("sending request: %w", err)
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("reading answer: %w", err)
	}
	if !bytes.HasPrefix(line, statusOK) {
		rest, _ := c.in.Peek(c.in.Buffered()) // for the message only
		return fmt.Errorf("reading answer: %q, %q", line, rest)
	}
	length := -1
	for len(bytes.TrimRight(line, "\r\n")) > 0 {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return fmt.Errorf("reading headers: %w", err)
		}
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return fmt.Errorf("reading headers: %w", err)
			}
		}
	}
	if length < 0 {
		return errors.New("reading answer: it does not say its length")
	}
	if _, err := io.CopyN(io.Discard, c.in, int64(length)); err != nil {
		return fmt.Errorf("reading body: %w", err)
	}
	if counts {
		c.took = append(c.took, milliseconds(time.Since(began)))
	}
	return nil
}
