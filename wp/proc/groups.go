package proc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Groups is a directory of the control group file system (version 2) in which every
// tenant's run gets a group of its own: what all its processes use together has a limit, and
// one write ends them all.
type Groups struct {
	dir     string // the runs' groups are below it
	limits  GroupLimits
	has     []string
	log     *slog.Logger
	observe func(limit string)
}

// GroupLimits bound all processes of one run together. Zero is no limit.
type GroupLimits struct {
	Memory    int64 // bytes; what it keeps of files counts, and is let go first
	Processes int   // threads count
	CPUs      float64
}

// GroupsConfig says where groups are made.
type GroupsConfig struct {
	Limits GroupLimits
	// Name tells workers of one machine apart.
	Name string
	// Dir is a directory of the control group file system that nobody else makes groups in;
	// empty: the group that this process was started in.
	Dir string
	// Undelegated takes the process's own group even when the service manager has not said
	// that it is the process's to divide.
	Undelegated bool
	Log         *slog.Logger
	Observe     func(limit string) // a run has met a limit: "memory" or "processes"
}

// ErrNoGroups says why this process cannot make control groups.
var ErrNoGroups = errors.New("no control groups")

// wanted are the controllers that limits need. Without the first two there is no use in it.
var wanted = []string{"memory", "pids", "cpu"}

// OpenGroups prepares the directory and ends what an earlier process has left in it. It may
// move this process (and what else is in its group) one group down: the kernel lets a group
// have processes or divide its resources, not both. No run may be going on. The error is
// ErrNoGroups when the machine, or whoever started the process, does not offer them.
func OpenGroups(cfg GroupsConfig) (*Groups, error) {
	dir := cfg.Dir
	if dir == "" {
		var err error
		if dir, err = ownGroup(cfg.Undelegated); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoGroups, err)
		}
	}
	g := &Groups{dir: filepath.Join(dir, "runs-"+cfg.Name), limits: cfg.Limits, log: cfg.Log, observe: cfg.Observe}
	if g.log == nil {
		g.log = slog.Default()
	}
	if g.observe == nil {
		g.observe = func(string) {}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoGroups, err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "cgroup.kill")); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: the kernel cannot end a group (Linux 5.14 and later can)", ErrNoGroups), os.Remove(g.dir))
	}
	for _, controller := range wanted {
		if enable(dir, controller) && enable(g.dir, controller) {
			g.has = append(g.has, controller)
		}
	}
	for _, must := range wanted[:2] {
		if !slices.Contains(g.has, must) {
			return nil, errors.Join(fmt.Errorf("%w: %s is not handed down to %s", ErrNoGroups, must, dir), os.Remove(g.dir))
		}
	}
	return g, g.sweep()
}

// Controllers are those that limit runs: memory, pids, cpu.
func (g *Groups) Controllers() []string { return g.has }

func enable(dir, controller string) bool {
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0) == nil
}

// sweep ends what is in groups of earlier runs.
func (g *Groups) sweep() error {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return fmt.Errorf("listing control groups: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, endGroup(filepath.Join(g.dir, e.Name()), killPatience))
		}
	}
	return errors.Join(errs...)
}

// group is the control group of one run; nil is none.
type group struct {
	of  *Groups
	dir string
	fd  *os.File // the directory, for the supervisor
}

// enter makes the group of a run.
func (g *Groups) enter() (*group, error) {
	if g == nil {
		return nil, nil
	}
	made := &group{of: g, dir: filepath.Join(g.dir, rand.Text())}
	err := os.Mkdir(made.dir, 0o755)
	if err == nil {
		err = g.limit(made.dir)
	}
	if err == nil {
		made.fd, err = os.Open(made.dir)
	}
	if err != nil {
		_ = os.Remove(made.dir)
		return nil, fmt.Errorf("making control group: %w", err)
	}
	return made, nil
}

// limit sets the limits of a group in which nothing runs yet.
func (g *Groups) limit(dir string) error {
	set := func(controller, file, value string) error {
		if !slices.Contains(g.has, controller) {
			return nil
		}
		err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
		if errors.Is(err, os.ErrNotExist) && file == "memory.swap.max" {
			return nil // a kernel without swap
		}
		return err
	}
	var errs []error
	if g.limits.Memory > 0 {
		errs = append(errs,
			set("memory", "memory.max", strconv.FormatInt(g.limits.Memory, 10)),
			set("memory", "memory.swap.max", "0"),
			set("memory", "memory.oom.group", "1")) // half a run is none
	}
	if g.limits.Processes > 0 {
		errs = append(errs, set("pids", "pids.max", strconv.Itoa(g.limits.Processes)))
	}
	if g.limits.CPUs > 0 {
		const period = 100_000 // µs
		errs = append(errs, set("cpu", "cpu.max", fmt.Sprintf("%d %d", int(g.limits.CPUs*period), period)))
	}
	return errors.Join(errs...)
}

// release lets go of what the supervisor holds as well.
func (g *group) release() {
	if g != nil && g.fd != nil {
		_ = g.fd.Close()
		g.fd = nil
	}
}

// end removes the group with all that is in it, and tells whether the run had used up its
// memory.
func (g *group) end(patience time.Duration) (outOfMemory bool, err error) {
	if g == nil {
		return false, nil
	}
	g.release()
	outOfMemory = counted(filepath.Join(g.dir, "memory.events"), "oom_kill") > 0
	if outOfMemory {
		g.of.observe("memory")
	}
	if counted(filepath.Join(g.dir, "pids.events"), "max") > 0 {
		g.of.observe("processes")
	}
	return outOfMemory, endGroup(g.dir, patience)
}

// endGroup kills what is in a group and removes it. A group that is gone is no error.
func endGroup(dir string, patience time.Duration) error {
	for end, pause := time.Now().Add(patience), time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := unix.Rmdir(dir)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("removing control group %s: %w", dir, err)
		case time.Now().After(end):
			return fmt.Errorf("%w: control group %s", ErrStillAlive, dir)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("ending control group %s: %w", dir, err)
		}
		<-time.After(pause)
	}
}

// counted reads one number of a file of "name number" lines; 0 when it is not there.
func counted(path, name string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(rest))
			return n
		}
	}
	return 0
}

// killGroup ends all processes of the group whose directory fd is, at once: no fork gets
// away. Errors leave the work to whoever goes through the processes one by one.
func killGroup(fd int) {
	kill, err := unix.Openat(fd, "cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(kill, []byte("1"))
	_ = unix.Close(kill)
}
