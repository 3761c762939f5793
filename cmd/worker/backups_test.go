package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

func TestBackupsStayAsLongAsARuleKeepsThem(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.AddDate(0, 0, n) }
	all := []tasks.Backup{ // newest first
		{ID: "young", KeepUntil: days(10), KeepLast: 1},
		{ID: "final", Reason: tasks.BackupFinal, KeepUntil: days(-1)},
		{ID: "for ever"},
		{ID: "old but third", KeepUntil: days(-5), KeepLast: 3},
		{ID: "old", KeepUntil: days(-5), KeepLast: 3},
		{ID: "by number", KeepLast: 6},
		{ID: "out of number", KeepLast: 5},
		{ID: "other type", Type: tasks.BackupDatabase, KeepLast: 1},
	}
	var over []string
	for _, b := range expired(all, now) {
		over = append(over, b.ID)
	}
	if !slices.Equal(over, []string{"final", "old", "out of number"}) {
		t.Errorf("%q", over)
	}
}

func TestEnvironmentFileIsReadLineByLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "env")
	for text, want := range map[string][]string{"# x\nA=1\n\n B=2=3 \n": {"A=1", "B=2=3"}, "A\n": nil, "A B=1\n": nil, "=1\n": nil} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readEnv(path); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// shelf is a store with one backup, which breaks off when broken is set.
type shelf struct {
	wp.BackupStore
	data   []byte
	broken error
}

func (s shelf) Load(_ context.Context, account, id string) (io.ReadCloser, error) {
	if account != "alice" || id != "bk_1" {
		return nil, wp.ErrNoBackup
	}
	r := io.Reader(bytes.NewReader(s.data))
	if s.broken != nil {
		r = io.MultiReader(r, failing{s.broken})
	}
	return io.NopCloser(r), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type office map[string]queue.Ticket

func (o office) TakeTicket(_ context.Context, _, token string) (queue.Ticket, error) {
	t, ok := o[token]
	if !ok {
		return t, queue.ErrNotFound
	}
	delete(o, token)
	return t, nil
}

func TestBackupsAreGivenOutForATicketOnceAndWhole(t *testing.T) {
	t.Parallel()
	key, err := seal.LoadOrCreate(filepath.Join(t.TempDir(), "api.age"))
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("backup "), 1<<18)
	fetch := func(s shelf, o office, token string) (int, []byte, error) {
		e := &exports{host: &wp.Host{Backups: s}, log: slog.New(slog.DiscardHandler), slots: make(chan struct{}, 1), runs: &runs{dir: t.TempDir()}, tickets: o}
		srv := httptest.NewServer(http.HandlerFunc(e.give))
		defer srv.Close()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return res.StatusCode, nil, nil
		}
		plain, err := key.Reader(res.Body)
		if err != nil {
			return 200, nil, err
		}
		got, err := io.ReadAll(plain)
		return 200, got, err
	}
	ticket := queue.Ticket{Backup: "bk_1", Account: "alice", Recipient: key.Recipient()}
	o := office{"t": ticket}
	if status, got, err := fetch(shelf{data: data}, o, "t"); err != nil || status != 200 || !bytes.Equal(got, data) {
		t.Errorf("%d, %d bytes, %v", status, len(got), err)
	}
	if status, _, _ := fetch(shelf{data: data}, o, "t"); status != 401 {
		t.Errorf("a ticket that was used: %d", status)
	}
	if _, got, err := fetch(shelf{data: data, broken: errors.New("disk")}, office{"t": ticket}, "t"); err == nil {
		t.Errorf("a broken stream gave %d bytes and no error", len(got))
	}
	ticket.Account = "bob"
	if status, _, _ := fetch(shelf{data: data}, office{"t": ticket}, "t"); status != 404 {
		t.Errorf("somebody else's: %d", status)
	}
}
