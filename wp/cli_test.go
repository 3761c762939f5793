package wp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/wptest"
)

// shellSite is a site whose PHP is a shell script.
func shellSite(t *testing.T, script string) (*CLI, Site) {
	t.Helper()
	php := filepath.Join(wptest.Dir(t), "php")
	if err := os.WriteFile(php, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	_, site := fakeSite(t)
	return fakeCLI(t, php), site
}

func TestRunGivesNothingButTheListedEnvironment(t *testing.T) {
	t.Setenv("WP_CLI_REQUIRE", "/home/alice/x.php") // what the worker has is not what the child gets
	t.Setenv("WPTK_REDIS_PASSWORD", "hunter2")
	cli, site := shellSite(t, `echo "<<wptk $WPTK_NONCE"; /usr/bin/env; echo "cwd=$(pwd)"`)
	res, err := cli.Run(t.Context(), site, command("x", "y"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(res.Stdout)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	tmp, nonce := env["TMPDIR"], env["WPTK_NONCE"]
	delete(env, "_")
	delete(env, "PWD") // both made by the shell
	want := map[string]string{
		"PATH": searchPath, "HOME": cli.dirs.empty, "LANG": "C.UTF-8", "TMPDIR": tmp, "cwd": cli.dirs.empty,
		"WP_CLI_CONFIG_PATH": cli.dirs.config, "WP_CLI_PACKAGES_DIR": cli.dirs.empty, "WP_CLI_CACHE_DIR": tmp + "/cache",
		"WP_CLI_DISABLE_AUTO_CHECK_UPDATE": "1", "WP_CLI_STRICT_ARGS_MODE": "1", "WP_CLI_FORCE_USER_LOGIN": "1",
		"WPTK_COMMAND": "x y", "WPTK_NONCE": nonce,
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if filepath.Dir(tmp) != cli.dirs.tmp || len(nonce) < 20 {
		t.Errorf("tmp %q nonce %q", tmp, nonce)
	}
}

func TestTemporaryDirectoryIsTheTenantsAndGoesAway(t *testing.T) {
	t.Parallel()
	cli, site := shellSite(t, `echo "<<wptk $WPTK_NONCE"; stat -c '%a %u' "$TMPDIR"
		mkdir -p "$TMPDIR/a/b"; ln -s /etc "$TMPDIR/a/etc"; echo x >"$TMPDIR/a/b/c"; chmod 0500 "$TMPDIR/a/b"`)
	res, err := cli.Run(t.Context(), site, command("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(res.Stdout)), fmt.Sprintf("700 %d", site.User.UID); got != want {
		t.Errorf("mode and owner %q, want %q", got, want)
	}
	left, err := os.ReadDir(cli.dirs.tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Error(err)
	}
}

func TestSweepRemovesWhatAKilledWorkerLeft(t *testing.T) {
	t.Parallel()
	cli, site := fakeSite(t)
	dir, err := cli.dirs.temp(site.User)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/left", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := cli.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(cli.dirs.tmp); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestHooksReachTheRun(t *testing.T) {
	t.Parallel()
	cli, site := shellSite(t, `echo "<<wptk $WPTK_NONCE"; cat <&3; echo; echo "key hunter2" >&2; exit 3`)
	lock, err := os.Open(cli.dirs.config)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var log []string
	var started proc.Record
	ctx := WithRun(t.Context(), RunHooks{
		Log: func(line string) { log = append(log, line) }, Secrets: []string{"hunter2"}, Keep: []*os.File{lock},
		Started: func(r proc.Record) error { started = r; return nil },
	})
	var seen []string
	cli.observe = func(command string, seconds float64, exit proc.Exit) {
		seen = append(seen, fmt.Sprint(command, " ", exit.Code, " ", seconds > 0))
	}

	_, err = cli.must(ctx, site, command("plugin", "list"))
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
	if want := []string{"$ wp plugin list", "apache_modules:", "  - mod_rewrite", "key [redacted]"}; !slices.Equal(log, want) {
		t.Errorf("log %q", log)
	}
	if !slices.Equal(seen, []string{"plugin list 3 true"}) || started.PID == 0 {
		t.Errorf("observed %q, started %+v", seen, started)
	}

	refused := errors.New("not recorded")
	ctx = WithRun(t.Context(), RunHooks{Started: func(proc.Record) error { return refused }})
	if _, err := cli.Run(ctx, site, command("x")); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
}

func TestEndlessRunIsStoppedAtItsDeadline(t *testing.T) {
	t.Parallel()
	cli, site := shellSite(t, `exec sleep 1000`)
	if _, err := cli.Run(t.Context(), site, command("x").within(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("own deadline: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ctx = WithRun(ctx, RunHooks{Started: func(proc.Record) error { cancel(); return nil }})
	if _, err := cli.Run(ctx, site, command("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFloodIsCutAndNotParsed(t *testing.T) {
	t.Parallel()
	cli, site := shellSite(t, `echo "<<wptk $WPTK_NONCE"; head -c 3000000 /dev/zero | tr '\0' '['; echo; echo "wptk>> $WPTK_NONCE"`)
	var lines int
	ctx := WithRun(t.Context(), RunHooks{Log: func(string) { lines++ }})
	if _, err := cli.PluginList(ctx, site); !errors.Is(err, ErrOutputTooLong) {
		t.Errorf("error %v", err)
	}
	if lines > 3 {
		t.Errorf("%d log lines", lines)
	}
}

func TestStateDirectoryMustBeOursAndOpen(t *testing.T) {
	t.Parallel()
	phar := filepath.Join(wptest.Dir(t), "wp-cli.phar")
	if err := os.WriteFile(phar, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"closed to tenants":     func(dir string) error { return os.Chmod(dir, 0o700) },
		"writable for others":   func(dir string) error { return os.Chmod(dir, 0o777) },
		"link at our directory": func(dir string) error { return os.Symlink("/etc", dir+"/wp-cli") },
	} {
		dir := wptest.Dir(t)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := NewCLI(CLIConfig{PHP: "/bin/sh", Phar: phar, StateDir: dir}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := os.Chmod(phar, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]CLIConfig{
		"phar that others can write": {PHP: "/bin/sh", Phar: phar},
		"no phar":                    {PHP: "/bin/sh", Phar: phar + "x"},
		"relative phar":              {PHP: "/bin/sh", Phar: "wp-cli.phar"},
		"no PHP":                     {PHP: "no-such-php", Phar: phar},
	} {
		cfg.StateDir = wptest.Dir(t)
		if _, err := NewCLI(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestStateFilesAreRenewed(t *testing.T) {
	t.Parallel()
	dir := wptest.Dir(t)
	first, err := makeRunDirs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.php("run.php"), []byte("<?php // of an older version"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := makeRunDirs(dir); err != nil {
		t.Fatal(err)
	}
	want, err := phpFiles.ReadFile("php/run.php")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(first.php("run.php")); err != nil || string(got) != string(want) {
		t.Errorf("run.php is %d bytes, %v", len(got), err)
	}
}
