package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/cmd/internal/verdict"
)

// mariadbDown takes the database server away for a while, again and again.
func mariadbDown(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	rounds := a.n(3, 1)
	for range rounds {
		ids, err := a.askAll(ctx, a.setting.domains/rounds)
		if err != nil {
			return err
		}
		if err := w.until(ctx, ids, 1, installing); err != nil {
			return err
		}
		const away = 5 * time.Second
		a.fault("kill -9 of MariaDB, which stays away for %s", short(away))
		a.stack.mariadb.Kill()
		if err := pause(ctx, away); err != nil {
			return err
		}
		if err := a.stack.mariadb.Start(ctx); err != nil {
			return err
		}
		if err := w.settle(ctx, 2*time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// What a site's code may do to a node, each on a domain of its own, and how soon an op
// that never ends must be gone after it was cancelled.
var badPHP = []verdict.ShimFault{verdict.Hang, verdict.Flood, verdict.Fork}

const (
	cancelGoal = 10 * time.Second
	memoryGoal = 256 << 20 // bytes of a worker whose sites print without end
)

// phpFaults has sites that hang, print without end, and leave processes behind, among
// good ones. What does not end is cancelled.
func phpFaults(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	node := a.nodes[0]
	for i, fault := range badPHP {
		a.fault("PHP of %s: %s", node.domains[i], fault)
		a.shim.Faults[node.domains[i]] = fault
	}
	if err := a.tellShim(); err != nil {
		return err
	}
	ids, err := a.askAll(ctx, a.setting.domains)
	if err != nil {
		return err
	}
	if err := w.until(ctx, ids, len(ids)-2, isDone); err != nil { // all but the two that do not end
		return err
	}
	for i := range 2 {
		began := time.Now()
		if _, err := a.stack.client.post(ctx, "/wordpress/operations/"+ids[i]+"/cancel", struct{}{}, nil); err != nil {
			return fmt.Errorf("cancelling: %w", err)
		}
		if err := w.until(ctx, ids[i:i+1], 1, isDone); err != nil {
			return err
		}
		took := time.Since(began)
		a.marks[string(badPHP[i])+"_cancelled_s"] = figure(took.Seconds())
		a.goal(took <= cancelGoal, "%s ended %s s after it was cancelled", badPHP[i], digits(took.Seconds(), 1))
	}
	peak, err := memoryPeak(node.process.process.Pid)
	a.marks["worker_peak_mib"] = peak >> 20
	a.goal(peak <= memoryGoal, "the worker took %d MiB", peak>>20)
	return err
}

// memoryPeak is the most memory that a process has had, in bytes.
func memoryPeak(pid int) (int64, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("reading process status: %w", err)
	}
	for line := range bytes.Lines(raw) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(strings.Fields(string(value))[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("reading process status: no VmHWM")
}

// diskSizes are those of the file systems that sites are installed on: they are full at
// different moments of the copy. The last one is large enough.
var diskSizes = []string{"8k", "64k", "200k", "16m"}

// errCannotMount says that this machine does not let us.
var errCannotMount = errors.New("needs root that may mount a tmpfs")

// diskFull installs on file systems that are too small, and with a full disk under the
// journal, where nothing may be done that could not be written down.
func diskFull(ctx context.Context, a *arena, _ *chaosRunCmd) error {
	w := a.watchAll(ctx)
	defer w.stop()
	n := a.nodes[0]
	defer a.unmountAll()
	for i, size := range diskSizes {
		dir := filepath.Join(n.site.root, "domains", n.domains[i])
		options := fmt.Sprintf("size=%s,uid=%d,gid=%d,mode=0711", size, n.site.user.UID, n.site.user.GID)
		if err := a.mount(dir, options); err != nil {
			return err
		}
		a.fault("a file system of %s", size)
	}
	var ids []string
	for range diskSizes {
		id, err := a.insist(ctx, n.next())
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := w.until(ctx, ids, len(ids), isDone); err != nil {
		return err
	}
	for i, id := range ids[:len(ids)-1] {
		op := w.state(id)
		a.goal(op.Error != nil && op.Error.Code == "disk_full", "on %s it ended as %s", diskSizes[i], op.failure())
	}
	if err := a.fullJournal(ctx, w); err != nil {
		return err
	}
	// While they are mounted: what is left on them counts.
	return a.survey(ctx)
}

// fullJournal fills the disk of a second node's journal while its op waits.
func (a *arena) fullJournal(ctx context.Context, w *watcher) error {
	n := a.nodes[1]
	state := a.state.dir(n.id, "state", "journal")
	if err := n.stop(); err != nil {
		return err
	}
	if err := a.mount(state, "size=64k,mode=0700"); err != nil {
		return err
	}
	filler := filepath.Join(state, "filler")
	if err := fill(filler); err != nil {
		return err
	}
	a.fault("the disk of the journal is full")
	if err := n.start(); err != nil {
		return err
	}
	domain := n.next()
	id, err := a.insist(ctx, domain)
	if err != nil {
		return err
	}
	if err := w.until(ctx, []string{id}, 1, func(op operation) bool { return op.Attempt > 0 }); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	begun, err := a.begun(domain, "core install")
	a.goal(begun == 0 && !w.state(id).Done, "something was done that could not be written down")
	if err := errors.Join(err, os.Remove(filler)); err != nil {
		return err
	}
	return w.until(ctx, []string{id}, 1, isDone)
}

// fill writes until the disk is full.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("filling a disk: %w", err)
	}
	defer f.Close()
	for block := make([]byte, 1<<10); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("filling a disk: %w", err)
		}
	}
}

func (a *arena) mount(dir, options string) error {
	if !a.root {
		return errCannotMount
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	if errors.Is(err, unix.EPERM) {
		return errCannotMount
	}
	if err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	a.mounts = append(a.mounts, dir)
	return nil
}

func (a *arena) unmountAll() {
	for _, dir := range a.mounts {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			a.log.Error("unmounting", "path", dir, "err", err)
		}
	}
	a.mounts = nil
}
