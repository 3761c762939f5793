package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/wp/proc"
)

// benchServer is a process under load.
type benchServer struct {
	addr     string
	requests int // all that it has answered, warm-up included
	process  *proc.Process
	log      *bytes.Buffer // what it printed, to be read when it has ended
	cpu      time.Duration // when it has ended
}

// startAPI starts the real thing.
func (b *progressBench) startAPI(ctx context.Context, profile string, more ...string) (*benchServer, error) {
	program, err := sibling("wptk-api")
	if err != nil {
		return nil, err
	}
	if err := b.secret("redis", b.redis.Password); err != nil {
		return nil, err
	}
	args := []string{
		"--metrics-listen", "", "--log-level", "warn",
		"--redis-url", "redis://" + b.redis.Addr + "/0", "--redis-password-file", filepath.Join(b.dir, "redis"),
		"--secrets-key-file", filepath.Join(b.dir, "api.age"),
		"--rate-limit", strconv.Itoa(1 << 30), // counted all the same
	}
	if profile != "" {
		args = append(args, "--cpu-profile", profile)
	}
	return startServer(ctx, program, append(args, more...))
}

// startBare starts this program as one of the bare handlers.
func (b *progressBench) startBare(ctx context.Context, variant string, calls []byte) (*benchServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	args := []string{"bench", "progress-server", "--variant", variant}
	if calls != nil {
		if err := b.secret("calls.json", string(calls)); err != nil {
			return nil, err
		}
		args = append(args, "--redis-addr", b.redis.Addr, "--redis-password-file", filepath.Join(b.dir, "redis"),
			"--calls", filepath.Join(b.dir, "calls.json"))
	}
	return startServer(ctx, self, args)
}

func (b *progressBench) secret(name, value string) error {
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(value), 0o600); err != nil {
		return fmt.Errorf("writing settings: %w", err)
	}
	return nil
}

// sibling is a program of ours that was built together with this one.
func sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("finding %s beside this program (make build): %w", name, err)
	}
	return path, nil
}

// startServer starts a program on a free port and returns when it accepts connections.
func startServer(ctx context.Context, program string, args []string) (*benchServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("finding a free port: %w", err)
	}
	s := &benchServer{addr: listener.Addr().String(), log: &bytes.Buffer{}}
	listener.Close()
	s.process, err = proc.Start(context.WithoutCancel(ctx), proc.Spec{
		Path: program, Args: append(args, "--listen", s.addr), Trusted: true, Stdout: s.log, Stderr: s.log,
		Env: []string{"GOMAXPROCS=" + strconv.Itoa(runtime.GOMAXPROCS(0)), "PATH=/usr/bin:/bin", "HOME=/nonexistent"},
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	return s, s.await(ctx)
}

func (s *benchServer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-s.process.Done():
			return fmt.Errorf("starting a server: it ended: %s", s.log)
		default:
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for a server on %s: %w", s.addr, errors.Join(err, s.stop()))
		}
	}
}

// stop ends the process and notes what it has used.
func (s *benchServer) stop() error {
	if err := s.process.Stop(context.Background()); err != nil {
		return fmt.Errorf("stopping a server: %w; it printed: %s", err, s.log)
	}
	exit, err := s.process.Wait()
	s.cpu = exit.User + exit.System
	return err
}

func (s *benchServer) cpuMicros() float64 {
	return float64(s.cpu) / float64(time.Microsecond) / float64(max(s.requests, 1))
}

// progressServerCmd is a bare handler in a process of its own.
type progressServerCmd struct {
	Variant           string `enum:"bare,pipelined" required:"" env:"-"`
	Listen            string `required:"" env:"-"`
	RedisAddr         string `env:"-"`
	RedisPasswordFile string `env:"-"`
	Calls             string `env:"-" help:"JSON file with the Redis commands of a poll."`
}

// Run serves until ctx ends.
func (cmd *progressServerCmd) Run(ctx context.Context, a *app) error {
	handler := bareProgress
	if cmd.Variant == variantPipelined {
		var err error
		if handler, err = cmd.pipelined(a.log); err != nil {
			return err
		}
	}
	router := mux.NewRouter()
	router.HandleFunc("/api/v1/wordpress/install/{id}/progress", handler).Methods(http.MethodGet)
	listener, err := net.Listen("tcp", cmd.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", cmd.Listen, err)
	}
	// The same time limits as the API's: a handler is compared, not a server.
	return boot.Serve(ctx, &http.Server{Handler: router, ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}, listener)
}

// bareBody is as long as a real answer.
var bareBody = []byte(`{"success":true,"filler":"` + strings.Repeat("x", 600) + `"}` + "\n")

func bareProgress(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if mux.Vars(r)["id"] == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Write(bareBody) //nolint:errcheck // the client is the bench
}

// pipelined answers with what the recorded commands answer: nothing is checked, and the
// fields go out as they are.
func (cmd *progressServerCmd) pipelined(log *slog.Logger) (http.HandlerFunc, error) {
	password, err := boot.ReadSecret("--redis-password-file", cmd.RedisPasswordFile)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(cmd.Calls)
	if err != nil {
		return nil, fmt.Errorf("reading --calls: %w", err)
	}
	var words [][]any
	if err := json.Unmarshal(raw, &words); err != nil {
		return nil, fmt.Errorf("reading --calls: %w", err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: cmd.RedisAddr, Password: password})
	return func(w http.ResponseWriter, r *http.Request) {
		pipe := rdb.Pipeline()
		limit, op := pipe.Do(r.Context(), words[0]...), pipe.Do(r.Context(), words[1]...)
		if _, err := pipe.Exec(r.Context()); err != nil {
			log.Error("asking Redis", "err", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		counts, _ := limit.Int64Slice() // nil when malformed, and then the load generator stops
		packed, _ := op.Text()
		if len(counts) != 3 || packed == "" {
			http.Error(w, "malformed answer of Redis", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("X-RateLimit-Limit", "1073741824")
		h.Set("X-RateLimit-Remaining", strconv.FormatInt(1<<30-counts[0], 10))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(counts[1]/1000, 10))
		writeFields(w, packed)
	}, nil
}

// writeFields writes the op's packed fields ("<n>,<n>,…;" and the values) as JSON.
func writeFields(w io.Writer, packed string) {
	sizes, body, _ := strings.Cut(packed, ";")
	out := append(make([]byte, 0, 1024), `{"success":true,"fields":[`...)
	for len(sizes) > 0 {
		var size string
		size, sizes, _ = strings.Cut(sizes, ",")
		n, err := strconv.Atoi(size)
		if err != nil || n > len(body) {
			return // an empty answer stops the load generator
		}
		out = append(strconv.AppendQuote(out, body[:n]), ',')
		body = body[n:]
	}
	w.Write(append(out[:len(out)-1], "]}\n"...)) //nolint:errcheck // the client is the bench
}
