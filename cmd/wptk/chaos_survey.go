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
	"syscall"
	"time"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/wp"
)

// survey ends the workers as an operator would, and takes down what is there then: sites,
// databases, database users, and everything that should be gone.
func (a *arena) survey(ctx context.Context) error {
	if a.surveyed { // by the scenario, at a moment of its own
		return nil
	}
	a.surveyed = true
	a.letTidy(ctx)
	var errs []error
	for _, n := range a.nodes {
		errs = append(errs, n.stop(), a.surveyNode(n))
	}
	errs = append(errs, a.surveyDatabases(ctx), a.surveyProcesses(ctx), a.adopt(a.shim.Log))
	return errors.Join(errs...)
}

// letTidy gives workers that have only just started the time to tell the ledger what an
// earlier one knew, and to forget it.
func (a *arena) letTidy(ctx context.Context) {
	rest, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, n := range a.nodes {
		_ = a.await(rest, "journals to be forgotten", func(context.Context) error { // what stays is found below
			left, err := filepath.Glob(a.state.dir(n.id, "state", "journal", "op_*"))
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("%d are there", len(left))
			}
			return err
		})
	}
}

func (a *arena) surveyNode(n *hostNode) error {
	for thing, pattern := range map[verdict.Thing]string{
		verdict.Journal: a.state.dir(n.id, "state", "journal", "*"), verdict.RunFile: a.state.dir(n.id, "state", "runs", "*"),
	} {
		left, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("looking for leftovers: %w", err)
		}
		for _, path := range left {
			a.write(verdict.Fact{What: verdict.Exists, Thing: thing, Name: filepath.Base(path)})
		}
	}
	for _, domain := range n.domains {
		if err := a.surveyDomain(n, domain); err != nil {
			return err
		}
	}
	return nil
}

// surveyDomain finds the sites of a domain, and everything else in its directory.
func (a *arena) surveyDomain(n *hostNode, domain string) error {
	home := filepath.Join(n.site.root, "domains", domain)
	entries, err := os.ReadDir(home)
	if err != nil {
		return fmt.Errorf("reading the domain's directory: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(home, e.Name())
		raw, err := os.ReadFile(filepath.Join(path, "wp-config.php"))
		if strings.HasPrefix(e.Name(), wp.StageName("")) || errors.Is(err, fs.ErrNotExist) {
			a.write(verdict.Fact{What: verdict.Exists, Thing: verdict.Stage, Domain: domain, Name: domain + "/" + e.Name()})
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a site: %w", err)
		}
		config, err := wp.ParseConfig(raw)
		if err != nil {
			return fmt.Errorf("reading a site: %w", err)
		}
		a.write(verdict.Fact{What: verdict.Site, Domain: domain, Database: config.DBName})
		inside, err := filepath.Glob(filepath.Join(path, wp.StageName("*")))
		if err != nil {
			return fmt.Errorf("looking for leftovers: %w", err)
		}
		for _, left := range inside {
			a.write(verdict.Fact{What: verdict.Exists, Thing: verdict.Stage, Domain: domain, Name: domain + "/" + e.Name() + "/" + filepath.Base(left)})
		}
	}
	return nil
}

func (a *arena) surveyDatabases(ctx context.Context) error {
	after, err := a.databases(ctx)
	if err != nil {
		return err
	}
	for _, name := range added(a.before.names, after.names) {
		a.write(verdict.Fact{What: verdict.Exists, Thing: verdict.Database, Name: name})
	}
	for _, user := range added(a.before.users, after.users) {
		name, _, _ := strings.Cut(user, "@")
		a.write(verdict.Fact{What: verdict.Exists, Thing: verdict.User, Name: name})
	}
	return nil
}

// surveyProcesses takes down what still runs of the tenants. What is dying at this moment
// gets a little time.
func (a *arena) surveyProcesses(ctx context.Context) error {
	for began := time.Now(); ; {
		left, err := a.tenantProcesses()
		if err != nil {
			return err
		}
		if len(left) > 0 && time.Since(began) < 2*time.Second {
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		for _, pid := range left {
			a.write(verdict.Fact{What: verdict.Exists, Thing: verdict.Process, PID: pid, Name: strconv.Itoa(pid)})
		}
		return nil
	}
}

// tenantProcesses are those of the tenants' users, and those of the stand-in for PHP.
func (a *arena) tenantProcesses() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	php := a.state.dir("shim", "php")
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil {
			continue // gone meanwhile, or a zombie, which holds nothing
		}
		info, err := os.Stat(filepath.Join("/proc", e.Name()))
		if err != nil {
			continue
		}
		if exe == php || a.root && a.isTenant(info.Sys()) {
			found = append(found, pid)
		}
	}
	return found, nil
}

func (a *arena) isTenant(stat any) bool {
	st, ok := stat.(*syscall.Stat_t)
	for _, n := range a.nodes {
		if ok && st.Uid == n.site.user.UID {
			return true
		}
	}
	return false
}
