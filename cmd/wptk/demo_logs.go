package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

const tailLines = 20

// logs lists the logs of all processes by name.
func (d *demo) logs() map[string]string {
	all := map[string]string{}
	for _, server := range []string{"redis", "mariadb"} {
		all[server] = d.state.dir(server, "log")
	}
	for _, p := range d.stack.all() {
		all[p.name] = d.state.dir("log", p.name+".log")
	}
	return all
}

// showLogs prints the end of the logs that can explain a failure: of the process that
// ended, or of the API and the workers.
func (d *demo) showLogs(failure error) {
	var ended *endedError
	for name, path := range d.logs() {
		if errors.As(failure, &ended) && ended.name != name {
			continue
		}
		if ended == nil && !strings.HasPrefix(name, "worker-") && !strings.HasPrefix(name, "php-") && name != "api" {
			continue
		}
		lines := tail(path)
		if len(lines) == 0 {
			continue
		}
		say(d.err, "--- the last lines of %s's log:", name)
		for _, line := range lines {
			say(d.err, "%s", clean(line))
		}
	}
}

// tail reads the last lines of a log.
func tail(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 32 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		if _, err := f.Seek(max(0, size-most), io.SeekStart); err != nil {
			return nil
		}
	}
	raw, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || len(raw) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return lines[max(0, len(lines)-tailLines):]
}

// saveLogs copies the logs to where they outlive the run.
func (d *demo) saveLogs() error {
	demos, err := demoDir()
	if err != nil {
		return err
	}
	logs := d.logs()
	maps.DeleteFunc(logs, func(_, path string) bool { return gone(path) == nil })
	if len(logs) == 0 {
		return nil
	}
	to := filepath.Join(demos, "logs", filepath.Base(d.state.data.Dir))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("keeping logs: %w", err)
	}
	for name, path := range logs {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("keeping logs: %w", err)
		}
		if err := os.WriteFile(filepath.Join(to, name+".log"), raw, 0o600); err != nil {
			return fmt.Errorf("keeping logs: %w", err)
		}
	}
	say(d.err, "The logs are kept in %s", to)
	return nil
}
