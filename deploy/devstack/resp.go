package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// resp is the little of Redis's protocol that starting servers needs. The real client is
// queue's alone.
type resp struct {
	conn net.Conn
	in   *bufio.Reader
}

// dialRedis connects and authenticates; password "" skips that.
func dialRedis(ctx context.Context, addr, password string) (*resp, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to redis: %w", err)
	}
	// A server that accepts and then says nothing (stopped, loading) must not hold us.
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting to redis: %w", err)
	}
	r := &resp{conn: conn, in: bufio.NewReader(conn)}
	if password != "" {
		if _, err := r.do("AUTH", password); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *resp) Close() error { return r.conn.Close() }

// do sends one command and returns its answer; the elements of an array are joined by
// line feeds, nested ones too.
func (r *resp) do(args ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(r.conn, b.String()); err != nil {
		return "", fmt.Errorf("sending %s: %w", args[0], err)
	}
	answer, err := r.read(0)
	if err != nil {
		return "", fmt.Errorf("reading answer to %s: %w", args[0], err)
	}
	return answer, nil
}

// Bounds of an answer, so that garbage costs an error and not the memory.
const (
	longestAnswer = 1 << 20
	mostItems     = 1 << 12
	deepestAnswer = 4
)

func (r *resp) read(depth int) (string, error) {
	line, err := r.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("empty answer")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$', '*':
	default:
		return "", fmt.Errorf("unknown answer %q", line)
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < -1 || n > longestAnswer {
		return "", fmt.Errorf("malformed length %q", line)
	}
	if kind == '*' {
		if n > mostItems || depth == deepestAnswer {
			return "", fmt.Errorf("answer of %d items at depth %d is too big", n, depth)
		}
		items := make([]string, max(n, 0))
		for i := range items {
			if items[i], err = r.read(depth + 1); err != nil {
				return "", err
			}
		}
		return strings.Join(items, "\n"), nil
	}
	if n < 0 {
		return "", nil
	}
	buf := make([]byte, n+2)
	if _, err := io.ReadFull(r.in, buf); err != nil {
		return "", err
	}
	if string(buf[n:]) != "\r\n" {
		return "", errors.New("answer is longer than it says")
	}
	return string(buf[:n]), nil
}

// command runs one command on a connection of its own.
func command(ctx context.Context, s *Server, args ...string) (string, error) {
	r, err := dialRedis(ctx, s.Addr, s.Password)
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // read to the end or failed
	return r.do(args...)
}
