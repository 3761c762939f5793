package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// history is what happened, in order, as the outside saw it: one JSON object per line.
type history struct {
	dir   string
	began time.Time

	mu    sync.Mutex
	file  *os.File
	err   error // the first one of writing
	story map[int][]string
	from  map[int]time.Time // when a round's op was accepted
}

// happening is one line of the history.
type happening struct {
	Millis  float64    `json:"ms"` // since the run began
	Round   int        `json:"round"`
	What    string     `json:"what"` // post, accepted, progress, kill, start, final, check
	Op      string     `json:"op,omitempty"`
	Seen    *operation `json:"seen,omitempty"` // without its result, which may hold a password
	PID     int        `json:"pid,omitempty"`
	Strays  []int      `json:"strays,omitempty"` // PHP processes at that moment
	Problem string     `json:"problem,omitempty"`
}

func newHistory() (*history, error) {
	dir, err := os.MkdirTemp("", "wptk-chaos-")
	if err != nil {
		return nil, fmt.Errorf("making the folder for the history: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "history.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the history: %w", err), os.RemoveAll(dir))
	}
	return &history{dir: dir, file: file, began: time.Now(), story: map[int][]string{}, from: map[int]time.Time{}}, nil
}

// note writes a line. That it cannot be written shows at the end.
func (h *history) note(what happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell(what)
	what.Millis = figure(milliseconds(time.Since(h.began)))
	if what.Seen != nil {
		seen := *what.Seen
		seen.Result = nil
		what.Seen = &seen
	}
	raw, err := json.Marshal(what)
	if err == nil {
		_, err = h.file.Write(append(raw, '\n'))
	}
	if err != nil && h.err == nil {
		h.err = fmt.Errorf("writing the history: %w", err)
	}
}

// tell adds to the story of a round what a reader wants to know of it.
func (h *history) tell(what happening) {
	var text string
	switch seen := what.Seen; {
	case what.What == "accepted":
		h.from[what.Round] = time.Now()
		text = "accepted"
	case what.What == "kill":
		text = "KILL -9"
	case what.What == "start":
		text = "worker started"
	case what.Problem != "":
		text = "BROKEN " + what.Problem
	case seen != nil && seen.Done:
		text = string(seen.Status)
	case seen != nil && seen.Step != "":
		text = fmt.Sprintf("%s %d%% (attempt %d)", seen.Step, seen.Progress, seen.Attempt)
	default:
		return
	}
	at := seconds(time.Since(h.from[what.Round]))
	h.story[what.Round] = append(h.story[what.Round], at+" "+clean(text))
}

// of is the story of a round on one line.
func (h *history) of(round int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.story[round], " · ")
}

// close answers the first error of all notes.
func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.err, h.file.Close())
}

func (h *history) remove() error { return errors.Join(h.close(), os.RemoveAll(h.dir)) }
