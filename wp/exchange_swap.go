package wp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// exchangeSuffix makes the name of the directory beside the stage that holds the record and,
// for a moment, what is between two renames.
const exchangeSuffix = "-x"

const exchangeFile = "record"

// exchangeRecord is there while old files are, or may be, in the stage. Both sides are known
// by their inodes, which stay with a file or directory whatever its name.
type exchangeRecord struct {
	Whole   *swapEntry  `json:"whole,omitempty"`
	Entries []swapEntry `json:"entries,omitempty"`
	Made    []string    `json:"made,omitempty"` // directories above entries, topmost first
	Kept    []string    `json:"kept,omitempty"`
}

func (r exchangeRecord) answer() Exchanged {
	return Exchanged{Whole: r.Whole != nil, Entries: len(r.Entries), Kept: r.Kept}
}

func (x *exchanger) beside(name string) string { return path.Join(x.Stage+exchangeSuffix, name) }

// record is the record of an earlier call as it stands; nil when there is none.
func (x *exchanger) record() []byte {
	data, err := readCapped(x.root, x.beside(exchangeFile), 64<<20)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return []byte(err.Error()) // no JSON: whoever reads it fails, and nothing is taken for free
	}
	return data
}

func (x *exchanger) exchange() (any, error) {
	record, err := x.begin()
	if err != nil {
		return nil, err
	}
	if record.Whole != nil {
		return record.answer(), errors.Join(x.turn(*record.Whole, true), syncParents(x.child()))
	}
	return record.answer(), x.closed(len(record.Entries) > 1, func() error {
		for _, dir := range record.Made {
			if err := x.root.Mkdir(x.here(dir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("making %s: %w", dir, err)
			}
		}
		for i, e := range record.Entries {
			if err := x.forth(i, e); err != nil {
				return fmt.Errorf("exchanging %s: %w", e.Name, err)
			}
		}
		return nil
	})
}

// begin gives the record of an earlier call, or decides how to exchange, and writes it down.
func (x *exchanger) begin() (exchangeRecord, error) {
	var record exchangeRecord
	if data := x.record(); data != nil {
		if err := json.Unmarshal(data, &record); err != nil {
			return exchangeRecord{}, fmt.Errorf("reading what is exchanged: %w", err)
		}
		return record, nil
	}
	if err := x.root.Mkdir(x.Stage+exchangeSuffix, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return exchangeRecord{}, fmt.Errorf("noting what is exchanged: %w", err)
	}
	p := planner{exchanger: x, record: &record}
	var err error
	if p.inspection, err = x.inspect(); err != nil {
		return exchangeRecord{}, fmt.Errorf("looking through docroot: %w", err)
	}
	if err = p.decide(); err != nil {
		return exchangeRecord{}, err
	}
	dir, err := x.root.OpenRoot(x.Stage + exchangeSuffix)
	if err != nil {
		return exchangeRecord{}, fmt.Errorf("noting what is exchanged: %w", err)
	}
	defer dir.Close()
	data, err := json.Marshal(record)
	if err == nil {
		err = replace(dir, exchangeFile, data, 0o600)
	}
	if err == nil {
		err = syncDir(x.root)
	}
	if err != nil {
		return exchangeRecord{}, fmt.Errorf("noting what is exchanged: %w", err)
	}
	return record, nil
}

func (p *planner) decide() error {
	whole, err := p.oneStep(p.inspection)
	switch {
	case err != nil:
		return err
	case slices.Contains(p.mounts, "."), len(p.mounts) > 0 && len(p.Paths) == 0:
		return fmt.Errorf("another file system is mounted at %s: %w", cleanLine(p.mounts[0], 200), fs.ErrExist)
	case len(p.Paths) > 0:
		return p.chosen()
	case whole != nil:
		p.record.Whole = whole
		return nil
	}
	return p.entries("")
}

// oneStep decides whether the docroot may become another directory; nil when it may not.
func (x *exchanger) oneStep(found inspection) (*swapEntry, error) {
	old, err := x.root.Lstat(x.Target)
	if err != nil {
		return nil, fmt.Errorf("looking at docroot: %w", err)
	}
	fresh, err := x.root.Lstat(x.Stage)
	if err != nil {
		return nil, fmt.Errorf("looking at stage: %w", err)
	}
	if !old.IsDir() || !fresh.IsDir() {
		return nil, fmt.Errorf("the docroot is a link: %w", fs.ErrExist)
	}
	was, next := inodeOf(old), inodeOf(fresh)
	if x.Target == "." || len(x.Paths) > 0 || len(found.nested) > 0 || was.Uid != next.Uid || was.Gid != next.Gid || !x.canExchange() {
		return nil, nil
	}
	return &swapEntry{Old: was.Ino, New: next.Ino}, nil
}

// canExchange tries it on two directories that nobody needs.
func (x *exchanger) canExchange() bool {
	dir, err := openDir(x.root, x.Stage+exchangeSuffix)
	if err != nil {
		return false
	}
	defer dir.Close()
	for _, name := range []string{"a", "b"} {
		if err := x.root.Mkdir(x.beside(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return false
		}
		defer x.root.Remove(x.beside(name)) //nolint:errcheck // it goes with the stage
	}
	return renameExchange(int(dir.Fd()), "a", int(dir.Fd()), "b") == nil
}

// turn has docroot and stage change places, unless the one that is wanted is there.
func (x *exchanger) turn(e swapEntry, forth bool) error {
	want, have := e.New, e.Old
	if !forth {
		want, have = have, want
	}
	switch now, err := x.inode(x.Target); {
	case err != nil:
		return err
	case now == want:
		return nil
	case now != have:
		return fmt.Errorf("somebody else has changed the docroot meanwhile: %w", fs.ErrExist)
	}
	defer x.child().loosen(x.Target, x.Stage)()
	defer x.child().loosen(x.Stage, x.Target)()
	return x.trade(x.Stage, x.Target)
}

// trade has two names change places. They are looked up inside of the root alone.
func (x *exchanger) trade(a, b string) error {
	dirA, err := openDir(x.root, path.Dir(a))
	if err != nil {
		return err
	}
	defer dirA.Close()
	dirB, err := openDir(x.root, path.Dir(b))
	if err != nil {
		return err
	}
	defer dirB.Close()
	err = renameExchange(int(dirA.Fd()), path.Base(a), int(dirB.Fd()), path.Base(b))
	switch {
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("%s is a mount point: %w", b, fs.ErrExist)
	case err != nil:
		return &os.LinkError{Op: "renameat2", Old: a, New: b, Err: err}
	}
	return nil
}

// forth puts the new entry in place, wherever an earlier call was cut short.
func (x *exchanger) forth(i int, e swapEntry) error {
	here, staged, aside := x.here(e.Name), x.staged(e.Name), x.beside("aside-"+strconv.Itoa(i))
	now, err := x.inode(here)
	if err != nil {
		return err
	}
	waits, err := x.inode(aside)
	switch {
	case err != nil:
		return err
	case now == e.New:
	case now == 0 && (e.Old == 0 || waits == e.Old):
		err = x.move(staged, here)
	case now == e.Old && e.New == 0:
		return x.make(staged, func() error { return x.move(here, staged) })
	case now == e.Old:
		err = x.replaceEntry(here, staged, aside)
	default:
		return fmt.Errorf("somebody else has changed it meanwhile: %w", fs.ErrExist)
	}
	if err != nil || e.Old == 0 {
		return err
	}
	if waits, err = x.inode(aside); err == nil && waits == e.Old {
		err = x.make(staged, func() error { return x.move(aside, staged) })
	}
	return err
}

// make makes the directories above a staged name, then does what is left.
func (x *exchanger) make(name string, do func() error) error {
	if err := x.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	return do()
}

// move is rename, also of directories that the account has made read-only for itself.
func (x *exchanger) move(from, to string) error { return x.child().move(from, to) }

// replaceEntry exchanges in one step where the file system can, else in two.
func (x *exchanger) replaceEntry(here, staged, aside string) error {
	defer x.child().loosen(here, staged)()
	defer x.child().loosen(staged, here)()
	err := x.trade(staged, here)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOTSUP) {
		if err = x.move(here, aside); err == nil {
			err = x.move(staged, here)
		}
	}
	return err
}

func (x *exchanger) back() (any, error) {
	data := x.record()
	if data == nil {
		return nil, nil
	}
	var record exchangeRecord
	if err := json.Unmarshal(data, &record); err != nil {
		return nil, fmt.Errorf("reading what was exchanged: %w", err)
	}
	var err error
	if record.Whole != nil {
		err = errors.Join(x.turn(*record.Whole, false), syncParents(x.child()))
	} else {
		err = x.closed(len(record.Entries) > 1, func() error { return x.entriesBack(record) })
	}
	if err != nil {
		return nil, err
	}
	return nil, removeAll(x.root, x.Stage+exchangeSuffix) // last: until here the stage is precious
}

func (x *exchanger) entriesBack(record exchangeRecord) error {
	for i, e := range record.Entries {
		if err := x.undo(i, e); err != nil {
			return fmt.Errorf("putting %s back: %w", e.Name, err)
		}
	}
	for _, dir := range slices.Backward(record.Made) {
		err := x.root.Remove(x.here(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("removing %s: %w", dir, err)
		}
	}
	return nil
}

// undo puts the old entry in place. What else stands there by now goes beside.
func (x *exchanger) undo(i int, e swapEntry) error {
	here, staged, aside := x.here(e.Name), x.staged(e.Name), x.beside("aside-"+strconv.Itoa(i))
	now, err := x.inode(here)
	if err != nil || now == e.Old {
		return err
	}
	if e.Old == 0 {
		if now != e.New {
			return nil // replaced by somebody else
		}
		return x.make(staged, func() error { return x.move(here, staged) })
	}
	for _, place := range []string{aside, staged} {
		ino, err := x.inode(place)
		switch {
		case err != nil:
			return err
		case ino != e.Old:
			continue
		case now != 0 && now == e.New && place == staged:
			return x.replaceEntry(here, staged, x.beside("new-"+strconv.Itoa(i)))
		case now != 0:
			if err := x.move(here, x.beside("new-"+strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return x.move(place, here)
	}
	return fmt.Errorf("the old one is gone: %w", fs.ErrNotExist)
}

// closed does what shows, for a moment, files of two states beside each other.
func (x *exchanger) closed(needed bool, do func() error) error {
	if !needed {
		return errors.Join(do(), x.flush())
	}
	s := &swapper{root: x.root, pause: pauses(x.ctx), swapRequest: swapRequest{Target: x.Target, Stage: x.Stage, Calm: x.Calm}}
	return errors.Join(s.closed(do), x.flush())
}

// flush puts on the disk what was renamed, wherever below the docroot it was.
func (x *exchanger) flush() error {
	dir, err := openDir(x.root, ".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("syncing directories: %w", err)
	}
	return nil
}
