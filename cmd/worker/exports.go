package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/wp"
)

// exports gives backups out to the API: who has a ticket, once, and encrypted to the API
// that had it made. So the API needs no key of the store, and the way between the two no
// certificate.
type exports struct {
	host     *wp.Host
	log      *slog.Logger
	listener net.Listener // nil: nothing is given out
	slots    chan struct{}

	runs    *runs
	tickets ticketOffice
}

type ticketOffice interface {
	TakeTicket(ctx context.Context, node, token string) (queue.Ticket, error)
}

const (
	maxExports = 2 // at a time: each is a restic that decrypts
	// exportPatience is how long a client may take for what fits into the buffers between.
	exportPatience = 2 * time.Minute
)

// listenForExports opens the address before the node is described, which tells it.
func listenForExports(cfg *Config, host *wp.Host, log *slog.Logger) (*exports, error) {
	e := &exports{host: host, log: log, slots: make(chan struct{}, maxExports)}
	if host.Backups == nil || cfg.BackupListen == "" {
		return e, nil
	}
	var err error
	if e.listener, err = net.Listen("tcp", cfg.BackupListen); err != nil {
		return nil, fmt.Errorf("listening on %s (--backup-listen): %w", cfg.BackupListen, err)
	}
	return e, nil
}

func (e *exports) addr() string {
	if e.listener == nil {
		return ""
	}
	return e.listener.Addr().String()
}

func (e *exports) close() {
	if e.listener != nil {
		e.listener.Close()
	}
}

func (e *exports) serves(runs *runs, tickets ticketOffice) { e.runs, e.tickets = runs, tickets }

func (e *exports) run(ctx context.Context) error {
	if e.listener == nil {
		<-ctx.Done()
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", e.give)
	e.log.Info("giving out backups", "addr", e.addr())
	return boot.Serve(ctx, &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 4 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}, e.listener)
}

// give answers with the stream of a backup. What goes wrong after its beginning cuts the
// connection, and leaves the encryption without its end: nobody takes it for whole.
func (e *exports) give(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		http.Error(w, "no ticket", http.StatusUnauthorized)
		return
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	ticket, err := e.tickets.TakeTicket(r.Context(), e.host.Node, token)
	if errors.Is(err, queue.ErrNotFound) {
		http.Error(w, "no such ticket", http.StatusUnauthorized)
		return
	}
	if err == nil {
		err = e.stream(w, r, ticket)
	}
	if err != nil {
		e.log.Warn("giving out a backup", "backup", ticket.Backup, "err", err)
	}
}

// stream starts the answer when the first byte of the backup is there.
func (e *exports) stream(w http.ResponseWriter, r *http.Request, ticket queue.Ticket) error {
	started := &opRuns{runs: e.runs}
	defer started.forget()
	ctx := wp.WithRun(r.Context(), wp.RunHooks{Started: started.started})
	backup, err := e.host.Backups.Load(ctx, ticket.Account, ticket.Backup)
	if err != nil {
		http.Error(w, "no such backup", http.StatusNotFound)
		return err
	}
	defer backup.Close()
	in := bufio.NewReaderSize(backup, 256<<10)
	if _, err := in.Peek(1); err != nil {
		status := http.StatusBadGateway
		if errors.Is(err, wp.ErrNoBackup) {
			status = http.StatusNotFound
		}
		http.Error(w, "the backup cannot be read", status)
		return err
	}
	out, err := seal.Writer(ticket.Recipient, patientWriter{w, http.NewResponseController(w)})
	if err == nil {
		_, err = io.Copy(out, in)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		e.log.Warn("giving out a backup", "backup", ticket.Backup, "err", err)
		panic(http.ErrAbortHandler)
	}
	e.log.Info("backup given out", "backup", ticket.Backup)
	return nil
}

// patientWriter gives every piece its own time.
type patientWriter struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p patientWriter) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(exportPatience)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}
