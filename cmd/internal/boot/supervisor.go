package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// What systemd is told of a unit of Type=notify, as in sd_notify(3).
const (
	ready    = "READY=1"
	stopping = "STOPPING=1"
	alive    = "WATCHDOG=1"
)

// Ready tells what supervises the process that it does its work from now on. Without such
// a supervisor it does nothing. A supervisor that cannot be told will end the process, so
// that is worth a line in the log and nothing else.
func Ready(log *slog.Logger) { tell(log, ready) }

// Watchdog tells the supervisor that the process lives, for as long as healthy says so;
// then it is silent, and the supervisor restarts the process. Part of Together: it returns
// when ctx ends, and waits for that where no watchdog is asked for (WATCHDOG_USEC).
func Watchdog(ctx context.Context, log *slog.Logger, healthy func() bool) error {
	every, err := watchdogEvery(os.Getenv)
	if err != nil {
		return err
	}
	if every == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if healthy() {
			tell(log, alive)
		} else {
			log.Error("the process hangs; it will be restarted")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watchdogEvery is a third of what the supervisor waits: one message may be late. Zero
// without a watchdog, or when it is meant for another process (WATCHDOG_PID).
func watchdogEvery(getenv func(string) string) (time.Duration, error) {
	limit := getenv("WATCHDOG_USEC")
	if pid := getenv("WATCHDOG_PID"); limit == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	µs, err := strconv.ParseInt(limit, 10, 64)
	if err != nil || µs < 3 || µs > int64(24*time.Hour/time.Microsecond) {
		return 0, fmt.Errorf("reading WATCHDOG_USEC: %q is no time in microseconds", limit)
	}
	return time.Duration(µs) * time.Microsecond / 3, nil
}

func tell(log *slog.Logger, state string) {
	if err := notify(os.Getenv("NOTIFY_SOCKET"), state); err != nil {
		log.Warn("telling the supervisor failed", "state", state, "err", err)
	}
}

// notify sends one datagram. An address that starts with @ is in the abstract name space,
// which net knows by the same sign.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("opening NOTIFY_SOCKET: %w", err)
	}
	_, err = conn.Write([]byte(state))
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("writing to NOTIFY_SOCKET: %w", err)
	}
	return nil
}
