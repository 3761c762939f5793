package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// binaries are the programs beside this one. The stand-in for PHP is for chaos alone and
// may be missing.
type binaries struct{ api, worker, shim string }

// programs finds wptk-api and wptk-worker beside the running program. There are none
// under `go run`; then they are built from the sources.
func (d *demo) programs(ctx context.Context) (binaries, error) {
	self, err := os.Executable()
	if err != nil {
		return binaries{}, fmt.Errorf("finding this program: %w", err)
	}
	if b, ok := binariesIn(filepath.Dir(self)); ok {
		return b, nil
	}
	d.tell("Building wptk-api and wptk-worker; the first time takes a minute.")
	var b binaries
	err = d.phase("build", func() error {
		b, err = build(ctx)
		return err
	})
	return b, err
}

func binariesIn(dir string) (binaries, bool) {
	b := binaries{api: filepath.Join(dir, "wptk-api"), worker: filepath.Join(dir, "wptk-worker")}
	for _, path := range []string{b.api, b.worker} {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return b, false
		}
	}
	if shim := filepath.Join(dir, "wptk-shim"); executable(shim) {
		b.shim = shim
	}
	return b, true
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

const buildPatience = 10 * time.Minute // the first time everything is compiled

// build makes the programs in the cache; go does nothing when they are up to date.
func build(ctx context.Context) (binaries, error) {
	root, err := moduleRoot()
	if err != nil {
		return binaries{}, err
	}
	tool, err := program("go")
	if err != nil {
		tool = filepath.Join(runtime.GOROOT(), "bin", "go") //nolint:staticcheck // where this program was built
	}
	dir, err := demoDir()
	if err != nil {
		return binaries{}, err
	}
	dir = filepath.Join(dir, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return binaries{}, fmt.Errorf("making the folder for the programs: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return binaries{}, fmt.Errorf("locking the folder for the programs: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return binaries{}, fmt.Errorf("locking the folder for the programs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	for name, source := range map[string]string{"wptk-api": "./cmd/api", "wptk-worker": "./cmd/worker", "wptk-shim": "./cmd/shim"} {
		var out bytes.Buffer
		exit, err := proc.Run(ctx, proc.Spec{Path: tool, Args: []string{"build", "-buildvcs=false", "-trimpath", "-o", filepath.Join(dir, name), source},
			Env: os.Environ(), Dir: root, Stdout: &out, Stderr: &out, Trusted: true})
		if err != nil {
			return binaries{}, fmt.Errorf("building %s: %w", name, err)
		}
		if exit.Code != 0 {
			return binaries{}, fmt.Errorf("building %s: exit status %d\n%s", name, exit.Code, out.Bytes())
		}
	}
	b, ok := binariesIn(dir)
	if !ok {
		return b, errors.New("building the programs: go made none")
	}
	return b, nil
}

var modulePath = regexp.MustCompile(`(?m)^module github\.com/wispanel/wptk$`)

// moduleRoot looks for our sources from the working directory upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the sources: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && modulePath.Match(mod) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("finding wptk-api and wptk-worker: they are not beside wptk, and this is not the source folder where they could be built (make build)")
		}
	}
}
