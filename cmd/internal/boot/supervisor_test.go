package boot

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// supervisor is the other end of NOTIFY_SOCKET.
func supervisor(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "wptk") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 64)
	n, err := conn.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(message[:n])
}

func TestSupervisorHearsThatTheProcessIsReadyAndLives(t *testing.T) {
	conn := supervisor(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	Ready(slog.New(slog.DiscardHandler))
	if got := heard(t, conn); got != "READY=1" {
		t.Errorf("heard %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Watchdog(ctx, slog.New(slog.DiscardHandler), func() bool { return true }) }()
	for range 3 {
		if got := heard(t, conn); got != "WATCHDOG=1" {
			t.Errorf("heard %q", got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSupervisorHearsNothingOfAProcessThatHangs(t *testing.T) {
	conn := supervisor(t)
	t.Setenv("WATCHDOG_USEC", "3000")
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	if err := Watchdog(ctx, slog.New(slog.DiscardHandler), func() bool {
		if looks++; looks == 3 {
			cancel()
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	Ready(slog.New(slog.DiscardHandler))
	if got := heard(t, conn); got != "READY=1" {
		t.Errorf("heard %q", got)
	}
}

func TestNoSupervisorIsNoError(t *testing.T) {
	t.Parallel()
	if err := notify("", ready); err != nil {
		t.Error(err)
	}
	if err := notify(filepath.Join(t.TempDir(), "gone"), ready); err == nil {
		t.Error("a supervisor that is gone is not noticed")
	}
}

func TestWatchdogIsOnlyKeptWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		usec, pid string
		every     time.Duration
		wrong     bool
	}{
		{"", "", 0, false}, {"60000000", "", 20 * time.Second, false}, {"60000000", "1", 0, false},
		{"60000000", strconv.Itoa(os.Getpid()), 20 * time.Second, false},
		{"soon", "", 0, true}, {"-1", "", 0, true}, {"0", "", 0, true}, {"9223372036854775807", "", 0, true},
	} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		every, err := watchdogEvery(func(name string) string { return env[name] })
		if every != c.every || (err != nil) != c.wrong {
			t.Errorf("%+v: %v, %v", c, every, err)
		}
	}
}
