package wp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// This file runs as the tenant.

func init() {
	register("wp.core.stage", childStageCore)
	registerSwap("wp.core.carry", (*swapper).carry)
	registerSwap("wp.core.swap", (*swapper).swap)
	registerSwap("wp.core.swapback", (*swapper).swapBack)
	registerSwap("wp.core.drop", (*swapper).drop)
}

func childStageCore(ctx context.Context, c child) (any, error) {
	stage, err := openStage(c.root, c.Stage)
	if err != nil {
		return nil, fmt.Errorf("making stage: %w", err)
	}
	defer stage.Close()
	folders, _, err := survey(c.Source)
	if err != nil {
		return nil, err
	}
	var wanted []folder
	var total int64
	for _, f := range folders {
		if f.rel == "wp-content" || strings.HasPrefix(f.rel, "wp-content/") {
			continue
		}
		for _, info := range f.files {
			total += info.Size()
		}
		wanted = append(wanted, f)
	}
	return nil, copyFolders(ctx, c.Source, wanted, total, stage, c.out)
}

func registerSwap(name string, fn func(*swapper) (any, error)) {
	proc.Register(name, func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		s := &swapper{pause: pauses(ctx)}
		if err := json.Unmarshal(in, &s.swapRequest); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		root, err := os.OpenRoot(s.Home)
		if err != nil {
			return nil, fmt.Errorf("opening domain directory: %w", err)
		}
		defer root.Close()
		s.root = root
		return fn(s)
	})
}

// swapper exchanges entries between the docroot and a stage, both below root.
type swapper struct {
	swapRequest
	root  *os.Root
	pause func(time.Duration)
}

// swapRecord is in the stage while old files are, or may be, in it. It is written before the
// first rename, so that every later call knows which file is which.
type swapRecord struct {
	Entries []swapEntry `json:"entries"`
	Gone    []string    `json:"gone,omitempty"`
}

// swapEntry names one exchange by the inodes of both sides; an inode stays with a file or
// directory whatever its name.
type swapEntry struct {
	Name string `json:"name"`
	Old  uint64 `json:"old,omitempty"` // 0: there was nothing
	New  uint64 `json:"new"`
}

const (
	swapFile   = ".wptk-swap"
	swapAside  = ".wptk-aside-" // an old file between two renames, where they cannot be one
	swapGone   = ".wptk-gone-"
	closedSign = ".maintenance"
)

func (s *swapper) here(name string) string   { return path.Join(s.Target, name) }
func (s *swapper) staged(name string) string { return path.Join(s.Stage, name) }

func (s *swapper) inode(name string) (uint64, error) {
	info, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s has no inode", name)
	}
	return st.Ino, nil
}

// carry links files into the stage: the same file in both, whichever of them stays.
func (s *swapper) carry() (any, error) {
	left := []string{}
	for _, p := range s.Names {
		err := s.root.MkdirAll(path.Dir(s.staged(p)), 0o755)
		if err == nil {
			err = s.root.Link(s.here(p), s.staged(p))
		}
		if errors.Is(err, fs.ErrPermission) { // a file of somebody else may be read, not linked
			err = s.copy(p)
		}
		switch {
		case err == nil, errors.Is(err, fs.ErrExist):
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
			return nil, fmt.Errorf("carrying %s over: %w", p, err)
		default:
			left = append(left, p)
		}
	}
	return left, nil
}

func (s *swapper) copy(p string) error {
	data, err := readCapped(s.root, s.here(p), MaxFile)
	if err != nil {
		return err
	}
	dir, err := s.root.OpenRoot(path.Dir(s.staged(p)))
	if err != nil {
		return err
	}
	defer dir.Close()
	return replace(dir, path.Base(p), data, 0o644)
}

func (s *swapper) swap() (any, error) {
	record, err := s.begin()
	if err != nil {
		return nil, err
	}
	return nil, s.closed(func() error {
		for _, e := range record.Entries {
			if err := s.exchange(e); err != nil {
				return fmt.Errorf("exchanging %s: %w", e.Name, err)
			}
		}
		for _, name := range record.Gone {
			err := s.root.Rename(s.here(name), s.staged(swapGone+name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("taking %s away: %w", name, err)
			}
		}
		return s.sync()
	})
}

// closed does what shows, for a moment, files of two states beside each other.
func (s *swapper) closed(do func() error) error {
	open, err := s.close()
	if err != nil {
		return fmt.Errorf("closing the site: %w", err)
	}
	// Of a sign that has been there for long, as a safe update has it, nobody is inside.
	if info, err := s.root.Lstat(s.here(closedSign)); err == nil {
		s.wait(s.Calm.Before-time.Since(info.ModTime()), s.Calm.Before)
	}
	err = do()
	if err == nil && s.ours() { // one of somebody else stays for longer anyway
		s.wait(s.Calm.After, s.Calm.After)
	}
	return errors.Join(err, open())
}

func pauses(ctx context.Context) func(time.Duration) {
	return func(d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// wait pauses for d, but not longer than most, whatever a clock or a tenant's file says.
func (s *swapper) wait(d, most time.Duration) {
	if d > 0 {
		s.pause(min(d, most))
	}
}

// begin gives the record of an earlier call, or writes one.
func (s *swapper) begin() (swapRecord, error) {
	var record swapRecord
	data, err := readCapped(s.root, s.staged(swapFile), 1<<20)
	if err == nil {
		if err := json.Unmarshal(data, &record); err != nil {
			return swapRecord{}, fmt.Errorf("reading what is exchanged: %w", err)
		}
		return record, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return swapRecord{}, fmt.Errorf("reading what is exchanged: %w", err)
	}
	record.Gone = s.Gone
	for _, name := range s.Names {
		e := swapEntry{Name: name}
		if e.Old, err = s.inode(s.here(name)); err != nil {
			return swapRecord{}, fmt.Errorf("looking at %s: %w", name, err)
		}
		if e.Old == 0 && dispensable[name] {
			continue
		}
		if e.New, err = s.inode(s.staged(name)); err != nil || e.New == 0 {
			return swapRecord{}, errors.Join(fmt.Errorf("looking at the new %s: %w", name, fs.ErrNotExist), err)
		}
		if info, err := s.root.Lstat(s.here(name)); err == nil && within(coreDirs, name) && !info.IsDir() {
			return swapRecord{}, fmt.Errorf("%s is a link, or no directory: %w", name, fs.ErrExist)
		}
		record.Entries = append(record.Entries, e)
	}
	stage, err := s.root.OpenRoot(s.Stage)
	if err != nil {
		return swapRecord{}, fmt.Errorf("opening stage: %w", err)
	}
	defer stage.Close()
	if data, err = json.Marshal(record); err == nil {
		err = replace(stage, swapFile, data, 0o600)
	}
	if err != nil {
		return swapRecord{}, fmt.Errorf("noting what is exchanged: %w", err)
	}
	return record, nil
}

// exchange puts the new one in place, wherever an earlier call was cut short.
func (s *swapper) exchange(e swapEntry) error {
	now, err := s.inode(s.here(e.Name))
	if err != nil {
		return err
	}
	aside, err := s.inode(s.staged(swapAside + e.Name))
	switch {
	case err != nil:
		return err
	case now == e.New:
	case now == 0 && (e.Old == 0 || aside == e.Old):
		err = s.root.Rename(s.staged(e.Name), s.here(e.Name))
	case now == e.Old:
		err = s.trade(e.Name)
	default:
		return fmt.Errorf("somebody else has changed it meanwhile: %w", fs.ErrExist)
	}
	if err == nil && e.Old != 0 {
		err = s.settleAside(e.Name)
	}
	return err
}

// trade exchanges the two names in one step where the file system can, else in two.
func (s *swapper) trade(name string) error {
	stage, err := openDir(s.root, s.Stage)
	if err != nil {
		return err
	}
	defer stage.Close()
	docroot, err := openDir(s.root, s.Target)
	if err != nil {
		return err
	}
	defer docroot.Close()
	err = renameExchange(int(stage.Fd()), name, int(docroot.Fd()), name)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOTSUP) {
		err = s.root.Rename(s.here(name), s.staged(swapAside+name))
		if err == nil {
			err = s.root.Rename(s.staged(name), s.here(name))
		}
	}
	return err
}

// renameExchange is replaced by tests of file systems that lack it.
var renameExchange = func(fromDir int, from string, toDir int, to string) error {
	return unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_EXCHANGE)
}

func (s *swapper) settleAside(name string) error {
	err := s.root.Rename(s.staged(swapAside+name), s.staged(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *swapper) swapBack() (any, error) {
	data, err := readCapped(s.root, s.staged(swapFile), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var record swapRecord
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was exchanged: %w", err)
	}
	err = s.closed(func() error {
		for _, e := range record.Entries {
			if err := s.restore(e); err != nil {
				return fmt.Errorf("putting %s back: %w", e.Name, err)
			}
		}
		for _, name := range record.Gone {
			err := s.root.Rename(s.staged(swapGone+name), s.here(name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("putting %s back: %w", name, err)
			}
		}
		return s.sync()
	})
	if err != nil {
		return nil, err
	}
	return nil, s.root.Remove(s.staged(swapFile)) // last: until here the stage is precious
}

// restore puts the old one in place. What else stands there by now goes into the stage.
func (s *swapper) restore(e swapEntry) error {
	now, err := s.inode(s.here(e.Name))
	if err != nil || now == e.Old && e.Old != 0 {
		return err
	}
	if e.Old == 0 {
		if now != e.New {
			return nil // never put there, or replaced by somebody else
		}
		return s.root.Rename(s.here(e.Name), s.staged(e.Name))
	}
	for _, place := range []string{s.staged(swapAside + e.Name), s.staged(e.Name)} {
		ino, err := s.inode(place)
		if err != nil {
			return err
		}
		if ino != e.Old {
			continue
		}
		if now != 0 {
			if err := s.root.Rename(s.here(e.Name), s.staged(swapGone+"new-"+e.Name)); err != nil {
				return err
			}
		}
		return s.root.Rename(place, s.here(e.Name))
	}
	return fmt.Errorf("the old one is gone: %w", fs.ErrNotExist)
}

// close has WordPress answer that it is being updated, for the moment that files of two
// versions stand beside each other. A sign that is there already stays.
func (s *swapper) close() (open func() error, err error) {
	sign := s.here(closedSign)
	// WordPress lets the sign expire after ten minutes, should nobody come to remove it.
	text := fmt.Appendf(nil, "<?php $upgrading = %d; // %s\n", time.Now().Unix(), s.Stage)
	f, err := s.root.OpenFile(sign, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	switch {
	case err == nil:
		_, err = f.Write(text)
		err = errors.Join(err, f.Close())
	case errors.Is(err, fs.ErrExist):
		err = nil
	}
	return func() error {
		if !s.ours() {
			return nil
		}
		return s.root.Remove(sign)
	}, err
}

// ours reports the sign of this exchange, not one of somebody else.
func (s *swapper) ours() bool {
	data, err := readCapped(s.root, s.here(closedSign), 1<<10)
	return err == nil && strings.HasSuffix(string(data), "; // "+s.Stage+"\n")
}

func (s *swapper) sync() error {
	for _, name := range []string{s.Target, s.Stage} {
		dir, err := s.root.OpenRoot(name)
		if err != nil {
			return fmt.Errorf("syncing directories: %w", err)
		}
		if err := errors.Join(syncDir(dir), dir.Close()); err != nil {
			return fmt.Errorf("syncing directories: %w", err)
		}
	}
	return nil
}

func (s *swapper) drop() (any, error) {
	_, err := s.root.Lstat(s.staged(swapFile))
	if err == nil && !s.Sure {
		return nil, fmt.Errorf("removing %s: the old files of WordPress are in it", s.Stage)
	}
	return nil, removeAll(s.root, s.Stage)
}
