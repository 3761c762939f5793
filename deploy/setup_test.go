package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp/proc"
)

func TestMain(m *testing.M) { os.Exit(devstack.Main(m)) }

// nobody is a user without any rights, where we can change user at all.
func nobody() proc.Identity {
	if os.Geteuid() != 0 {
		return proc.Identity{}
	}
	return proc.Identity{UID: 29871, GID: 29871}
}

// run runs a program and returns its exit status and all that it printed.
func run(t *testing.T, s proc.Spec) (int, string) {
	t.Helper()
	var out bytes.Buffer
	s.Stdout, s.Stderr = &out, &out
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	exit, err := proc.Run(ctx, s)
	if err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return exit.Code, out.String()
}

// setup runs deploy/setup.sh as the user that runs the tests.
func setup(t *testing.T, cache string, args ...string) (int, string) {
	t.Helper()
	script, err := filepath.Abs("setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	return run(t, proc.Spec{
		Path: script, Args: args, Trusted: true,
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GOTOOLCHAIN=local", "WPTK_CACHE=" + cache},
	})
}

func realCache(t *testing.T) string { return filepath.Dir(devstack.CacheT(t)) }

func TestSetupWithNothingMissingChangesNothing(t *testing.T) {
	t.Parallel()
	cache := realCache(t)
	before := listing(t, cache)
	for range 2 {
		code, out := setup(t, cache)
		if code != 0 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "ready") {
			t.Fatalf("status %d, it says:\n%s", code, out)
		}
	}
	if after := listing(t, cache); after != before {
		t.Errorf("the cache changed from\n%s\nto\n%s", before, after)
	}
	if code, out := setup(t, cache, "--check"); code != 0 || !strings.Contains(out, "nothing is missing") {
		t.Errorf("--check: status %d:\n%s", code, out)
	}
}

// listing is the package source's shape with the times of change, two levels deep.
func listing(t *testing.T, cache string) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range []string{"*", "*/*", "*/*/*"} {
		paths, err := filepath.Glob(filepath.Join(cache, "packages", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, path, info.Mode(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

func TestPackageSourceCanBeReadByTenantsAndChangedByNobodyElse(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(devstack.CacheT(t), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: fs.ModeDir | 0o755, false: 0o644}[e.IsDir()]; info.Mode() != want {
			return fmt.Errorf("%s is %v, not %v", path, info.Mode(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCheckNamesWhatIsMissingAndInstallsNothing(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(t.TempDir(), "cache")
	code, out := setup(t, cache, "--check")
	if code != 1 || !strings.Contains(out, "packages/wp-cli") || !strings.Contains(out, "packages/core/LATEST") {
		t.Errorf("status %d:\n%s", code, out)
	}
	if _, err := os.Stat(cache); !os.IsNotExist(err) {
		t.Errorf("--check made %s", cache)
	}
}

func TestVerifyNoticesAChangedFile(t *testing.T) {
	t.Parallel()
	packages := devstack.CacheT(t)
	cache := t.TempDir()
	cli := filepath.Join(cache, "packages", "wp-cli")
	if err := os.CopyFS(cli, os.DirFS(filepath.Join(packages, "wp-cli"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"core", "plugins", "themes"} {
		if err := os.Symlink(filepath.Join(packages, name), filepath.Join(cache, "packages", name)); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := setup(t, cache, "--verify"); code != 0 {
		t.Fatalf("unchanged: status %d:\n%s", code, out)
	}
	f, err := os.OpenFile(filepath.Join(cli, "wp-cli.phar"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if code, out := setup(t, cache, "--verify"); code == 0 || !strings.Contains(out, "wp-cli has changed") {
		t.Errorf("changed: status %d:\n%s", code, out)
	}
}

// A machine without PHP, Redis, restic and sudo, played by a PATH that holds only tools
// that every Debian has.
func TestWithoutRootAndSudoSetupSaysWhichCommandToRun(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(openTempDir(t), "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range strings.Fields("bash dirname id sed sort head tail tr cut cat grep flock mkdir printf apt-get apt-cache") {
		for _, dir := range []string{"/usr/bin", "/bin"} {
			if _, err := os.Stat(filepath.Join(dir, tool)); err == nil {
				if err := os.Symlink(filepath.Join(dir, tool), filepath.Join(bin, tool)); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	}
	scripts := filepath.Join(filepath.Dir(bin), "deploy")
	for _, dir := range []string{"setup", "."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.sh"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(scripts, file)
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(target, content, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	cache := filepath.Join(filepath.Dir(bin), "cache")
	if err := os.Mkdir(cache, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(cache, 0o777); err != nil {
		t.Fatal(err)
	}
	code, out := run(t, proc.Spec{
		Path: "/bin/bash", Args: []string{filepath.Join(scripts, "setup.sh")}, As: nobody(),
		Env: []string{"PATH=" + bin, "HOME=/nonexistent", "WPTK_CACHE=" + cache},
	})
	if code != 1 || !strings.Contains(out, "no sudo") || !strings.Contains(out, "apt-get install -y --no-install-recommends php-cli") ||
		!strings.Contains(out, "redis-server") || !strings.Contains(out, "restic") {
		t.Errorf("status %d:\n%s", code, out)
	}
}

// openTempDir is a temporary folder that other users can enter; t.TempDir's parent may not be.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "deploy-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing %s: %v", dir, err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
