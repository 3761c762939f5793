package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Server is one running Redis, Sentinel or MariaDB. Its exported fields do not change
// while it lives, also over Restart.
type Server struct {
	Addr     string // 127.0.0.1:port
	Port     int
	Socket   string // Unix socket; "" when the server has none
	Password string // of the default or root user
	Dir      string // its folder

	kind  string // redis, sentinel, mariadb
	path  string // program
	args  []string
	as    owner
	base  *base
	ready func(context.Context) error

	mu     sync.Mutex
	child  *child // nil while it is down
	logged int64  // length of the log before the last start
}

// startTimeout bounds the wait for a server when ctx has no earlier deadline.
const startTimeout = 30 * time.Second

// errPortTaken is told apart so that a start can be tried again on another port.
var errPortTaken = errors.New("port is taken")

// Start starts a server that is down and returns when it answers. ctx bounds the wait,
// not the server's life.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil && s.child.alive() {
		return nil
	}
	log, err := os.OpenFile(s.base.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("opening server log: %w", err)
	}
	defer log.Close()
	logged, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("opening server log: %w", err)
	}
	s.logged = logged
	c, err := startChild(ctx, s.path, s.args, s.base.path("data"), log, s.as)
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.kind, err)
	}
	s.child = c
	if err := s.awaitReady(ctx, c); err != nil {
		c.end()
		return fmt.Errorf("starting %s: %w", s.kind, err)
	}
	return nil
}

func (s *Server) awaitReady(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// There is no signal to wait for; connecting is cheap, so it is asked often.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = s.ready(ctx); last == nil {
			return nil
		}
		select {
		case <-c.Done():
			tail := s.logTail()
			if bytes.Contains(tail, []byte("ddress already in use")) {
				return errPortTaken
			}
			return fmt.Errorf("it ended at once, its log says:\n%s", tail)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer (%w), its log says:\n%s", errors.Join(ctx.Err(), last), s.logTail())
		case <-tick.C:
		}
	}
}

// Halt ends the server gracefully and keeps its folder, so that Start continues with the
// same data. Stopping a server that is down is no error.
func (s *Server) Halt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return nil
	}
	err := s.child.Stop(context.Background())
	s.child = nil
	return err
}

// Kill ends the server with SIGKILL, as a crash would, and returns when it is gone. The
// folder stays.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		s.child.end()
		s.child = nil
	}
}

// Restart halts the server if it is up, and starts it on the same port and data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Halt(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Stop ends the server and removes its folder if devstack made it.
func (s *Server) Stop() error {
	return errors.Join(s.Halt(), s.base.remove())
}

// Signal sends a signal to the server itself; SIGSTOP and SIGCONT make it hang and go on.
func (s *Server) Signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return fmt.Errorf("signalling %s: %w", s.kind, os.ErrProcessDone)
	}
	return s.child.Signal(sig)
}

// PID is the process id of the server, 0 while it is down.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil || !s.child.alive() {
		return 0
	}
	return s.child.PID()
}

// logTail is the end of what the server has logged since its last start, for error messages.
func (s *Server) logTail() []byte {
	b, err := os.ReadFile(s.base.path("log"))
	if err != nil {
		return []byte(err.Error())
	}
	b = b[min(int(s.logged), len(b)):]
	const most = 2000
	return bytes.TrimSpace(b[max(0, len(b)-most):])
}

// program finds an executable by name. Servers live where only root's PATH looks.
func program(names ...string) (string, error) {
	for _, name := range names {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
			path := filepath.Join(dir, name)
			if !filepath.IsAbs(path) {
				continue
			}
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("finding %s: not installed, run deploy/setup.sh (make setup)", names[0])
}

// password is 128 random bits in hex: nothing in it needs quoting anywhere.
func password() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// onFreePort calls start with port, or with free ones until the server gets its address.
func onFreePort(port int, start func(port int) (*Server, error)) (*Server, error) {
	if port != 0 {
		return start(port)
	}
	for tries := 0; ; tries++ {
		free, err := freePort()
		if err != nil {
			return nil, err
		}
		s, err := start(free)
		if errors.Is(err, errPortTaken) && tries < 5 {
			continue
		}
		return s, err
	}
}
