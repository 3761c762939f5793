package wp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// CLIConfig says which programs make up WP-CLI on this node.
type CLIConfig struct {
	PHP      string // name or absolute path; "php" when empty
	Phar     string // absolute path of wp-cli.phar, writable for nobody but root or us
	StateDir string // where our PHP files, the empty home and temporary folders are kept; tenants must be able to enter it
	Limits   proc.Limits
	Log      *slog.Logger // slog.Default when nil
	// Observe is told of every run, for metrics. May be nil.
	Observe func(command string, seconds float64, exit proc.Exit)
}

// CLI runs WP-CLI commands on sites, each as the site's own user. It never changes and may
// be used from many goroutines.
type CLI struct {
	php, phar string
	dirs      runDirs
	limits    proc.Limits
	log       *slog.Logger
	observe   func(command string, seconds float64, exit proc.Exit)
	// record is set by tests that keep real runs to be replayed.
	record func(args []string, stdin, nonce string, stdout, stderr []byte, code int)
}

// RunHooks is what the caller of a command wants to do with its process. It travels in the
// context (WithRun), because it belongs to the op around the command, not to the command.
type RunHooks struct {
	// Log receives the command line and the cleaned, redacted output, line by line.
	Log func(line string)
	// Secrets are blotted out of the log and of errors, besides those of the command.
	Secrets []string
	// Keep are descriptors to be inherited, such as the site's lock.
	Keep []*os.File
	// Started is called before the program runs; its error stops the run.
	Started func(proc.Record) error
}

type hooksKey struct{}

// WithRun returns a context whose commands use h.
func WithRun(ctx context.Context, h RunHooks) context.Context {
	return context.WithValue(ctx, hooksKey{}, h)
}

// Result is what a command left behind.
type Result struct {
	// Stdout is what the command itself printed. What the site's code printed around it
	// is not in here.
	Stdout []byte
	// Stderr is cleaned and redacted, at most 64 KiB.
	Stderr string
	Exit   proc.Exit
}

const (
	maxStdout = 1 << 20
	maxStderr = 64 << 10
)

// NewCLI prepares StateDir and checks what it was given.
func NewCLI(cfg CLIConfig) (*CLI, error) {
	c := &CLI{limits: cfg.Limits, log: cfg.Log, observe: cfg.Observe}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.observe == nil {
		c.observe = func(string, float64, proc.Exit) {}
	}
	var err error
	if c.php, err = findProgram(cfg.PHP, "php"); err != nil {
		return nil, fmt.Errorf("finding PHP: %w", err)
	}
	if err := ownedFile(cfg.Phar); err != nil {
		return nil, fmt.Errorf("checking wp-cli: %w", err)
	}
	c.phar = cfg.Phar
	if c.dirs, err = makeRunDirs(cfg.StateDir); err != nil {
		return nil, fmt.Errorf("preparing state directory of wp-cli: %w", err)
	}
	return c, nil
}

// Run runs one command on one site. The error says that it could not be run, was refused,
// or was stopped (errors.Is tells context.DeadlineExceeded from context.Canceled). A nonzero
// exit status is in the result; the typed methods turn it into an *ExitError.
func (c *CLI) Run(ctx context.Context, site Site, cmd Command) (Result, error) {
	if err := errors.Join(cmd.err, site.check()); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cmd.timeout,
		fmt.Errorf("wp %s took longer than %v", cmd.Name(), cmd.timeout))
	defer cancel()

	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	tmp, err := c.dirs.temp(site.User)
	if err != nil {
		return Result{}, fmt.Errorf("making temporary directory: %w", err)
	}
	defer c.dirs.discard(tmp, site.User, c.log)
	if cmd.engine != nil {
		forget, err := cmd.engine.enter(tmp)
		if err != nil {
			return Result{}, fmt.Errorf("showing the opcode cache: %w", err)
		}
		defer forget()
	}

	nonce := rand.Text()
	stdout, stderr := proc.Capped(maxStdout), proc.Capped(maxStderr)
	args, began := c.args(site, cmd), time.Now()
	exit, err := proc.Run(ctx, proc.Spec{
		Path: c.php, Args: args, Env: c.env(site, cmd, tmp, nonce), Dir: c.dirs.empty,
		Stdin: strings.NewReader(cmd.standardInput()), Stdout: stdout, Stderr: stderr,
		As: site.User, Limits: c.limits, Keep: hooks.Keep, Started: hooks.Started, Writable: cmd.writable(tmp),
	})
	c.observe(cmd.Name(), time.Since(began).Seconds(), exit)
	if c.record != nil {
		c.record(args, cmd.standardInput(), nonce, stdout.Bytes(), stderr.Bytes(), exit.Code)
	}

	hide := newRedactor(append(cmd.secrets(), hooks.Secrets...))
	section, noise := splitSection(stdout.Bytes(), nonce)
	res := Result{Stdout: section, Stderr: hide.clean(stderr.Bytes()), Exit: exit}
	writeLog(hooks.Log, hide, cmd, res, noise)
	if err != nil {
		return res, fmt.Errorf("running wp %s on %s: %w", cmd.Name(), site.Domain, err)
	}
	if cmd.data && stdout.Omitted() > 0 {
		return res, fmt.Errorf("running wp %s on %s: %w", cmd.Name(), site.Domain, ErrOutputTooLong)
	}
	return res, nil
}

// must is Run for commands of which every exit status but 0 is a failure.
func (c *CLI) must(ctx context.Context, site Site, cmd Command) ([]byte, error) {
	res, err := c.Run(ctx, site, cmd)
	if err != nil {
		return nil, err
	}
	if res.Exit.Code != 0 {
		return nil, newExitError(cmd, res)
	}
	return res.Stdout, nil
}
