package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/wispanel/wptk/cmd/internal/boot"
)

// commands is the whole command line. Settings (API, key, Redis) also come from the
// environment and the --config file; what one call asks for comes from its flags alone.
type commands struct {
	Config   kong.ConfigFlag `help:"YAML file with settings; flags and environment win over it." placeholder:"FILE"`
	LogLevel slog.Level      `help:"Least severe level that is logged on standard error." default:"warn"`
	JSON     bool            `name:"json" help:"One JSON line per answer and event, for programs." env:"-"`
	Man      boot.ManFlag    `hidden:"" env:"-" help:"Print the manual page and exit."`
	access

	Install    installCmd    `cmd:"" help:"Install WordPress on a domain."`
	Ops        opsCmd        `cmd:"" help:"Operations: what was asked for and how it went."`
	Sites      sitesCmd      `cmd:"" help:"The WordPress installs of all nodes."`
	Backups    backupsCmd    `cmd:"" help:"Backups of installs."`
	Rollouts   rolloutsCmd   `cmd:"" help:"Operations on many installs."`
	Schedules  schedulesCmd  `cmd:"" help:"What is asked for again and again."`
	Console    consoleCmd    `cmd:"" help:"A link that opens the operations console in a browser (admin key)."`
	Nodes      nodesCmd      `cmd:"" help:"Hosting nodes (admin key)."`
	Webhooks   webhooksCmd   `cmd:"" help:"Addresses that are told how operations end."`
	Audit      auditCmd      `cmd:"" help:"Who has asked for what (admin key)."`
	Keys       keysCmd       `cmd:"" help:"API keys, made directly in Redis by the operator."`
	Signing    signingCmd    `cmd:"" help:"Keys that APIs sign their orders with, so that nodes need not trust Redis."`
	Redis      redisCmd      `cmd:"" help:"Logins of Redis that can do no more than their process has to."`
	Packages   packagesCmd   `cmd:"" help:"Fill a directory that nodes take WordPress, plugins and themes from."`
	Bench      benchCmd      `cmd:"" help:"Measure beside a baseline."`
	Dashboards dashboardsCmd `cmd:"" help:"Hold the dashboards and alerts against a Prometheus that watches a busy fleet."`
	Simulate   simulateCmd   `cmd:"" help:"A large fleet whose nodes do nothing: what it costs Redis and the API."`
	Chaos      chaosCmd      `cmd:"" help:"Break things and see that the promises hold."`
	Hostile    hostileCmd    `cmd:"" help:"Attack a real stack as an enemy among the customers would, and see that all holds."`
	E2E        e2eSuites     `cmd:"" name:"e2e" help:"Everything the API offers, on real sites."`
	Demo       demoCmd       `cmd:"" help:"The whole toolkit on this machine: two nodes, two real sites."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in a shell."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Print what the last word may become."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1 // the operation failed, or the program did
	exitUsage       = 2
	exitRefused     = 3 // the API cannot be reached, or said no
	exitInterrupted = 130
)

// exitError is an error with a status. One without an error has been reported already.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what a command works with.
type app struct {
	*console
	access
	json bool
	log  *slog.Logger
}

type versionCmd struct{}

// Run prints the version.
func (*versionCmd) Run(a *app) error {
	if a.json {
		return a.object(map[string]string{"version": boot.Version()})
	}
	say(a.out, "%s", boot.Version())
	return nil
}

// exited carries the status of --help and --version out of kong.
type exited int

// run is the program without its process; it returns the exit status.
func run(ctx context.Context, args []string, con *console) (status int) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exited:
			status = int(v)
		default:
			panic(v)
		}
	}()
	var all commands
	parser, err := kong.New(&all, append(boot.Options("wptk", "WisPanel WordPress Toolkit: installs and looks after WordPress on many nodes."),
		kong.Writers(con.out, con.err), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))...)
	if err != nil {
		return report(con, err)
	}
	if len(args) == 1 && args[0] == "--version" {
		args = []string{"version"} // the flag of that name is WordPress's
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(con, &exitError{exitUsage, err})
	}
	a := &app{console: con, access: all.access, json: all.JSON,
		log: slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: all.LogLevel}))}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return report(con, parsed.Run(a))
}

// report tells people what went wrong, one fact a line, and answers the exit status.
func report(con *console, err error) int {
	var withStatus *exitError
	var refused *apiError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &withStatus) && withStatus.err == nil:
		return withStatus.status
	case errors.As(err, &refused):
		refused.explain(con.err)
		return exitRefused
	}
	fmt.Fprintf(con.err, "wptk: %v\n", err)
	switch {
	case withStatus != nil:
		return withStatus.status
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// say writes a line for people; text from elsewhere has been cleaned by the caller.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, strings.TrimSuffix(format, "\n")+"\n", args...)
}
