package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/wispanel/wptk/cmd/internal/verdict"
)

// book takes down what is seen, in order, in memory and as history.jsonl.
type book struct {
	dir   string
	began float64

	mu    sync.Mutex
	file  *os.File
	facts []verdict.Fact
	err   error // the first one of writing
}

func newBook() (*book, error) {
	dir, err := os.MkdirTemp("", "wptk-chaos-")
	if err != nil {
		return nil, fmt.Errorf("making the folder for the history: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "history.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the history: %w", err), os.RemoveAll(dir))
	}
	return &book{dir: dir, file: file, began: verdict.Clock()}, nil
}

// write takes down a fact of now.
func (b *book) write(f verdict.Fact) {
	f.Millis = figure(verdict.Clock() - b.began)
	b.add(f)
}

func (b *book) add(f verdict.Fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.facts = append(b.facts, f)
	line, err := json.Marshal(f)
	if err == nil {
		_, err = b.file.Write(append(line, '\n'))
	}
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("writing the history: %w", err)
	}
}

// fault takes down that something is broken on purpose now.
func (b *book) fault(format string, args ...any) {
	b.write(verdict.Fact{What: verdict.Fault, Note: fmt.Sprintf(format, args...)})
}

// adopt adds what the stand-in for PHP has logged. A torn last line is one that a kill
// has cut off.
func (b *book) adopt(log string) error {
	facts, err := readCommands(log)
	for _, f := range facts {
		f.Millis = figure(f.Millis - b.began)
		b.add(f)
	}
	return err
}

func readCommands(log string) ([]verdict.Fact, error) {
	raw, err := os.ReadFile(log)
	if err != nil {
		return nil, fmt.Errorf("reading what ran: %w", err)
	}
	var facts []verdict.Fact
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		var f verdict.Fact
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return facts, fmt.Errorf("reading what ran: %w", err)
		}
		facts = append(facts, f)
	}
	return facts, lines.Err()
}

func (b *book) all() []verdict.Fact {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.facts)
}

func (b *book) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.err, b.file.Close())
}

func (b *book) remove() error { return errors.Join(b.close(), os.RemoveAll(b.dir)) }
