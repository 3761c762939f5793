// Package boot is the start-up code that the API, the worker and the command
// line share: settings, logger, signals, the port for metrics.
//
// A setting is written once, as a field of a struct: its tags are the flag, the
// environment variable and the help text. Flags win over the environment, the
// environment over the file named by --config.
package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"

	"github.com/wispanel/wptk/tasks/failpoint"
)

// Base holds the settings every process has. Embed it in the settings struct.
type Base struct {
	Config    kong.ConfigFlag  `help:"YAML file with settings; flags and environment win over it." placeholder:"FILE"`
	LogLevel  slog.Level       `help:"Least severe level that is logged: debug, info, warn, error." default:"info"`
	LogFormat string           `help:"How log lines are written." enum:"json,text" default:"json"`
	Version   kong.VersionFlag `help:"Print the version and exit." env:"-"`

	Man     ManFlag     `hidden:"" env:"-" help:"Print the manual page and exit."`
	Example ExampleFlag `help:"Print a settings file with every setting, commented out, and exit." env:"-"`

	CPUProfile string `name:"cpu-profile" hidden:"" help:"File for a CPU profile of the whole run."`
}

func (b *Base) base() *Base { return b }

// Settings is a pointer to a struct that embeds Base.
type Settings interface {
	base() *Base
	// Validate reports every setting that is wrong, naming the flag.
	Validate() error
}

// Main parses args into cfg and calls run with a context that ends on SIGINT or
// SIGTERM. It returns the exit status: 0 done, 1 run failed, 2 bad settings.
func Main(name, about string, cfg Settings, run func(context.Context, *slog.Logger) error) int {
	if err := Parse(name, about, cfg, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	}
	log := NewLogger(os.Stderr, cfg)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { tell(log, stopping) })
	profiled, err := profileCPU(cfg.base().CPUProfile)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	}
	defer func() {
		if err := profiled(); err != nil {
			log.Error("ending profile", "err", err)
		}
	}()
	if points := os.Getenv(failpoint.Variable); points != "" {
		if err := failpoint.Arm(points); err != nil {
			log.Error("stopped", "err", err)
			return 2
		}
		log.Warn("this process will stop at points that it was told", "points", points)
	}
	log.Info("starting", "process", name, "version", Version(), "settings", Dump(cfg))
	if err := run(ctx, log); err != nil && !errors.Is(err, context.Canceled) {
		log.Error("stopped", "err", err)
		return 1
	}
	log.Info("stopped")
	return 0
}

// Parse fills cfg from args, the environment (WPTK_…) and the --config file.
func Parse(name, about string, cfg Settings, args []string) error {
	parser, err := kong.New(cfg, Options(name, about)...)
	if err != nil {
		return fmt.Errorf("reading settings: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	return nil
}

// Options make a kong parser that reads settings as every process of ours does.
func Options(name, about string) []kong.Option {
	return []kong.Option{
		kong.Name(name), kong.Description(about), kong.DefaultEnvars("WPTK"),
		kong.Configuration(fileLoader), kong.Vars{"version": Version()},
	}
}

// fileLoader reads a YAML settings file: a line for each flag, without its dashes. Kong asks
// resolvers after it has applied the environment and would let the file win, so a flag
// whose variable is set is left alone here.
func fileLoader(r io.Reader) (kong.Resolver, error) {
	file := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&file); err != nil && !errors.Is(err, io.EOF) { // no line at all is fine
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if _, set := os.LookupEnv(name); set {
				return nil, nil
			}
		}
		return file[flag.Name], nil
	}), nil
}

// NewLogger makes the process's logger as cfg says.
func NewLogger(w io.Writer, cfg Settings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.base().LogLevel}
	if cfg.base().LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
