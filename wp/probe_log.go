package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// logTail is a log, and what it got behind a place in it.
type logTail struct {
	File string `json:"file"` // relative to the domain's directory
	Size int64  `json:"size"` // at most now; -1: only how long it is
	Text string `json:"text,omitempty"`
}

// maxLogTail is how much of a log is read for one look: more is no longer read by anybody.
const maxLogTail = 128 << 10

// logsOf are the places where PHP writes a site's errors, as far as files of the site tell.
func (h *Host) logsOf(ctx context.Context, site Site) []logTail {
	files := []string{"error_log", "php_errorlog", "wp-content/debug.log"}
	for i, name := range files {
		files[i] = filepath.Join(site.Docroot, name)
	}
	if _, config, err := h.LoadConfig(ctx, site); err == nil {
		consts, err := ConfigConsts(config.Data, "WP_DEBUG_LOG")
		if own := consts["WP_DEBUG_LOG"].Text; err == nil && filepath.IsAbs(own) {
			files = append(files, own)
		}
	}
	var logs []logTail
	for _, file := range files {
		if rel, err := filepath.Rel(site.Home, file); err == nil && filepath.IsLocal(rel) {
			logs = append(logs, logTail{File: rel, Size: -1})
		}
	}
	return logs
}

type logRequest struct {
	Home string    `json:"home"`
	Logs []logTail `json:"logs"`
}

// logTails fills in the sizes, or reads what is behind them.
func (f Files) logTails(ctx context.Context, site Site, logs []logTail) ([]logTail, error) {
	if err := site.check(); err != nil {
		return nil, err
	}
	var out []logTail
	if err := proc.Call(ctx, site.User, f.options(ctx, nil), "wp.logtails", logRequest{site.Home, logs}, &out); err != nil {
		return nil, fmt.Errorf("reading PHP's logs: %w", err)
	}
	return out, nil
}

// fatalsIn picks the fatal errors out of logs, without the time in front of each.
func fatalsIn(logs []logTail) []string {
	var found []string
	for _, log := range logs {
		for line := range strings.Lines(log.Text) {
			said := cleanLine(phpFatal.FindString(line), 200)
			if said != "" && len(found) < maxReasons && !slices.Contains(found, said) {
				found = append(found, said)
			}
		}
	}
	return found
}

// What follows runs as the tenant.

func init() {
	proc.Register("wp.logtails", func(_ context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var req logRequest
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		root, err := os.OpenRoot(req.Home)
		if err != nil {
			return nil, fmt.Errorf("opening domain directory: %w", err)
		}
		defer root.Close()
		for i := range req.Logs {
			readTail(root, &req.Logs[i])
		}
		return req.Logs, nil
	})
}

// readTail passes over what is not there, or nothing that PHP logs to.
func readTail(root *os.Root, log *logTail) {
	from := log.Size
	log.Size = 0
	file, err := root.OpenFile(log.File, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	log.Size = info.Size()
	if from < 0 || log.Size <= from {
		return
	}
	tail := make([]byte, min(log.Size-from, maxLogTail))
	n, _ := file.ReadAt(tail, from) // it may have been cut meanwhile
	log.Text = string(tail[:n])
}
