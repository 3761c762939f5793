package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
)

const (
	journalSuffix = ".jsonl"
	// maxJournal is far above what an op writes (some kilobytes): a file beyond
	// it is no journal of ours.
	maxJournal = 4 << 20
)

// ErrCorruptJournal says that a journal has a line in the middle that cannot
// be read. What the op did is not known any more, so nobody may go on with it.
var ErrCorruptJournal = errors.New("corrupt journal")

// FileJournal keeps one file per op, <dir>/<op>.jsonl, one JSON object a line.
// The files are for root alone; they hold names, and no secrets. Several ops
// may use one at the same time, each op from one goroutine at a time.
type FileJournal struct {
	root *os.Root
	log  *slog.Logger
}

// OpenJournal opens the directory, and makes it when it is missing.
func OpenJournal(dir string, log *slog.Logger) (*FileJournal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making journal directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening journal directory: %w", err)
	}
	return &FileJournal{root: root, log: log}, nil
}

// Close lets go of the directory.
func (j *FileJournal) Close() error { return j.root.Close() }

// Load reads an op's journal; of an op without one it gives an empty record. A
// last line without its end was being written when the power went: nobody was
// told that it is there, so it is cut off.
func (j *FileJournal) Load(opID string) (Record, error) {
	rec := Record{Op: opID}
	name, err := fileOf(opID)
	if err != nil {
		return rec, err
	}
	f, err := j.root.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("opening journal: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return rec, fmt.Errorf("reading journal: %w", err)
	}
	if len(data) > maxJournal {
		return rec, fmt.Errorf("reading journal of %s: %w: larger than %d bytes", opID, ErrCorruptJournal, maxJournal)
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	if len(whole) < len(data) {
		j.log.Warn("cutting a torn line off a journal", "op", opID, "bytes", len(data)-len(whole))
		if err := cut(f, int64(len(whole))); err != nil {
			return rec, err
		}
	}
	// The file may be there because of an append that failed after making it.
	if err := j.syncDir(); err != nil {
		return rec, err
	}
	rec.Entries, err = parseEntries(opID, whole)
	return rec, err
}

// Has reports whether an op has begun here and its end is not safe in the ledger.
func (j *FileJournal) Has(opID string) bool {
	name, err := fileOf(opID)
	if err != nil {
		return false
	}
	info, err := j.root.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

func parseEntries(opID string, whole []byte) ([]Entry, error) {
	var entries []Entry
	n := 0
	for line := range bytes.Lines(whole) {
		n++
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading journal of %s, line %d: %w: %w", opID, n, ErrCorruptJournal, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Append writes an entry and returns when it is on the disk. On a full disk it
// fails and leaves the journal as it was.
func (j *FileJournal) Append(opID string, e Entry) error {
	name, err := fileOf(opID)
	if err != nil {
		return err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding journal entry: %w", err)
	}
	f, made, err := j.openForAppend(name)
	if err != nil {
		return fmt.Errorf("opening journal: %w", err)
	}
	defer f.Close()
	if err := writeLine(f, append(line, '\n')); err != nil {
		return err
	}
	if made {
		return j.syncDir()
	}
	return nil
}

func (j *FileJournal) openForAppend(name string) (f *os.File, made bool, err error) {
	const flags = os.O_WRONLY | os.O_APPEND | syscall.O_NOFOLLOW
	f, err = j.root.OpenFile(name, flags, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, false, err
	}
	f, err = j.root.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, 0o600)
	return f, true, err
}

// writeLine writes in one call and waits for the disk. Half a line would be cut
// off by the next Load, but later lines must not be glued to it until then.
func writeLine(f *os.File, line []byte) error {
	before, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading journal size: %w", err)
	}
	if _, err := f.Write(line); err != nil {
		err = fmt.Errorf("writing journal: %w", err)
		return errors.Join(err, cut(f, before.Size()))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing journal: %w", err)
	}
	return nil
}

func cut(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("cutting journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing journal: %w", err)
	}
	return nil
}

// List names the ops that have a journal, oldest first: those that a crash or
// a drain left, and those that ended but were not settled in the ledger yet.
func (j *FileJournal) List() ([]string, error) {
	dir, err := j.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("opening journal directory: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing journals: %w", err)
	}
	var ops []string
	for _, name := range names {
		op, ok := strings.CutSuffix(name, journalSuffix)
		if !ok || !IsOpID(op) {
			j.log.Warn("ignoring a foreign file among the journals", "path", name)
			continue
		}
		ops = append(ops, op)
	}
	slices.Sort(ops)
	return ops, nil
}

// Remove forgets an op: its outcome is in the ledger. Removing what is not
// there is no error.
func (j *FileJournal) Remove(opID string) error {
	name, err := fileOf(opID)
	if err != nil {
		return err
	}
	if err := j.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing journal: %w", err)
	}
	return j.syncDir()
}

func (j *FileJournal) syncDir() error {
	dir, err := j.root.Open(".")
	if err != nil {
		return fmt.Errorf("opening journal directory: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("syncing journal directory: %w", err)
	}
	return nil
}

// fileOf is also the wall between an op id and a path.
func fileOf(opID string) (string, error) {
	if !IsOpID(opID) {
		return "", fmt.Errorf("finding journal: %q is not an op id", opID)
	}
	return opID + journalSuffix, nil
}
