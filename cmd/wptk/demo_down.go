package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
)

// downPatience bounds taking everything down.
const downPatience = time.Minute

// down ends all processes, removes users and folders, and then looks whether anything
// is left. A second Ctrl-C kills the demo itself; its processes die with it and the
// next start removes the rest.
func (d *demo) down(keepLogs bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), downPatience)
	defer cancel()
	d.tell("Taking everything down.")
	for _, s := range d.sites {
		s.release()
	}
	err := d.phase("stop", func() error { return d.stack.stop(ctx) })
	if keepLogs {
		err = errors.Join(err, d.saveLogs())
	}
	// Before the users are removed: their uids may be somebody else's a moment later.
	d.check("no_process_left", "", d.processesLeft())
	err = errors.Join(err, d.phase("remove", func() error { return d.state.data.remove(ctx) }))
	if d.root {
		d.check("no_user_left", "", d.usersLeft())
	}
	d.check("no_database_left", "", d.databaseLeft())
	d.check("no_folder_left", "", gone(d.state.data.Dir))
	if err != nil {
		return err // the state stays: the next start tries again
	}
	return d.state.forget()
}

// stop ends the processes in the order of who needs whom.
func (s *stack) stop(ctx context.Context) error {
	var wg sync.WaitGroup
	all := s.all()
	errs := make([]error, len(all), len(all)+2)
	for i, p := range all {
		wg.Go(func() { errs[i] = p.Stop(ctx) })
	}
	wg.Wait()
	if s.mariadb != nil {
		s.mariadb.Kill() // its data goes with it
		errs = append(errs, s.mariadb.Stop())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop())
	}
	return errors.Join(errs...)
}

// processesLeft looks whether a process that was started still lives, and for others:
// of the tenants, and ones that mention the run's folder.
func (d *demo) processesLeft() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("listing processes: %w", err)
	}
	var left []string
	for _, r := range d.state.data.Runs {
		if r.Alive() {
			left = append(left, fmt.Sprintf("%d (started by the run)", r.PID))
		}
	}
	for _, server := range []*devstack.Server{d.stack.redis, d.stack.mariadb} {
		if server != nil && server.PID() != 0 {
			left = append(left, fmt.Sprintf("%d (a server)", server.PID()))
		}
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if why := d.isOurs(pid); why != "" {
			left = append(left, fmt.Sprintf("%d (%s)", pid, why))
		}
	}
	if left != nil {
		return fmt.Errorf("still there: %s", strings.Join(left, ", "))
	}
	return nil
}

func (d *demo) isOurs(pid int) string {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	info, err := os.Stat(dir)
	if err != nil {
		return "" // gone meanwhile
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && d.root {
		for _, s := range d.sites {
			if s.user.UID != 0 && st.Uid == s.user.UID {
				return "of " + s.account
			}
		}
	}
	if cmd, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && strings.Contains(string(cmd), d.state.data.Dir) {
		return "in the run's folder"
	}
	return ""
}

func (d *demo) usersLeft() error {
	for _, name := range d.state.data.Users {
		if userExists(name) || groupExists(name) {
			return fmt.Errorf("%s is still there", name)
		}
	}
	return nil
}

// databaseLeft checks that the server's data are gone, and the databases with them.
func (d *demo) databaseLeft() error {
	if d.stack.mariadb == nil {
		return nil
	}
	return gone(d.stack.mariadb.Dir)
}

func gone(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still there", path)
	}
	return nil
}
