package proc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// homeGroup is where this process goes when its group is divided.
const homeGroup = "worker"

// ownGroup answers the group of this process as a directory that can be divided.
func ownGroup(undelegated bool) (string, error) {
	mount, err := groupMount("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("reading own control group: %w", err)
	}
	path, err := unifiedPath(string(text))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(mount, path)
	if filepath.Base(dir) == homeGroup { // we have been here before
		dir = filepath.Dir(dir)
	}
	// The root group alone has no type; it may have processes and groups, and nobody moves.
	if _, err := os.Stat(filepath.Join(dir, "cgroup.type")); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat("/run/systemd/system"); err == nil && !undelegated {
			return "", fmt.Errorf("%s belongs to systemd", dir)
		}
		return dir, nil
	}
	if !undelegated && path != "/" && !delegated(dir) {
		return "", fmt.Errorf("%s is not delegated (Delegate=yes in its unit)", dir)
	}
	return dir, moveDown(dir)
}

// groupMount finds where the control group file system is mounted.
func groupMount(mountinfo string) (string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return "", fmt.Errorf("reading mounts: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// id parent major:minor root mountpoint options… - type source options: proc(5)
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if len(fields) >= 5 && strings.HasPrefix(after, "cgroup2 ") {
			return fields[4], nil
		}
	}
	return "", errors.Join(errors.New("version 2 is not mounted"), lines.Err())
}

// unifiedPath is the line of version 2 in /proc/PID/cgroup: "0::/system.slice/…".
func unifiedPath(text string) (string, error) {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && filepath.IsAbs(path) && filepath.Clean(path) == path {
			return path, nil
		}
	}
	return "", errors.New("the process is in no group of version 2")
}

// delegated reports whether systemd has said that the group is its service's to divide
// (CGROUP_DELEGATION.md). The attribute in "user" came later and can be read without
// CAP_SYS_ADMIN.
func delegated(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// moveDown moves all processes of a group into one below it.
func moveDown(dir string) error {
	home := filepath.Join(dir, homeGroup)
	if err := os.Mkdir(home, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making control group: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("reading processes of control group: %w", err)
	}
	for pid := range strings.FieldsSeq(string(text)) {
		err := os.WriteFile(filepath.Join(home, "cgroup.procs"), []byte(pid), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended meanwhile
			return fmt.Errorf("moving process %s: %w", pid, err)
		}
	}
	return nil
}
