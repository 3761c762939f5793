package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/proc"
)

// run opens what the worker needs and serves until ctx ends or a part fails. The
// order matters: the node's lock first, then the end of what an earlier worker
// left running, and only then this node's lanes.
func run(ctx context.Context, log *slog.Logger, cfg *Config) error {
	log = log.With("node", cfg.Node)
	state, err := openState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer state.Close() //nolint:errcheck // the process ends
	runs := &runs{dir: state.runsDir(), log: log}
	if err := runs.killStrays(); err != nil {
		return err
	}
	journal, err := tasks.OpenJournal(state.journalDir(), log)
	if err != nil {
		return err
	}
	defer journal.Close() //nolint:errcheck // the process ends

	reg := boot.NewRegistry()
	metrics := queue.NewMetrics(reg)
	if err := contain(cfg, metrics, log); err != nil {
		return err
	}
	host, err := openHost(cfg, metrics, log)
	if err != nil {
		return err
	}
	defer host.DB.Close() //nolint:errcheck // the process ends
	host.Archives = state.archivesDir()
	if host.Snapshots, err = wp.OpenSnapshots(state.snapshotsDir()); err != nil {
		return err
	}
	if host.Engine, err = wp.NewEngine(host.CLI, host.DB, cfg.StateDir, cfg.DBHost, log); err != nil {
		return err
	}
	restic, err := openBackups(cfg, state, log)
	if err != nil {
		return err
	}
	if restic != nil {
		host.Backups, host.BackupKeep = restic, wp.BackupKeep{Days: cfg.BackupKeepDays, Last: cfg.BackupKeepLast}
	}
	if err := host.CLI.Sweep(); err != nil {
		return err
	}
	store, err := openStore(ctx, cfg, state, metrics, log)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the process ends
	info, err := programs(ctx, host.CLI, cfg.StateDir, log)
	if err != nil {
		return fmt.Errorf("checking --php and --wp-cli: %w", err)
	}
	exports, err := listenForExports(cfg, host, log)
	if err != nil {
		return err
	}
	defer exports.close()
	about := describe(ctx, cfg, state, host, info, log)
	about.Exports = exports.addr()
	node := queue.NewNode(store, about)
	if err := node.Register(ctx); err != nil {
		return err
	}
	past, err := state.openEnded(cfg)
	if err != nil {
		return err
	}
	h := &handler{state: state, runs: runs, host: host, journal: journal, ended: past, timed: timedJournal{journal, metrics}, metrics: metrics, turns: newTurns(), log: log}
	replays := &replays{journal: journal, past: past, node: node, ledger: queue.NewClient(store), metrics: metrics, live: &h.live, log: log, told: make(map[string]bool)}
	if err := replays.look(ctx); err != nil {
		return err
	}
	reg.MustRegister(newGauges(cfg, node, host.DB, about, log))
	w := &worker{cfg: cfg, log: log, reg: reg, node: node, host: host, store: store, exports: exports, replays: replays}
	if restic != nil {
		w.keeper = newKeeper(restic, queue.NewClient(store), host, node.ClockRight, log)
	}
	return w.serve(ctx, info, h)
}

// worker is what serve ties together.
type worker struct {
	cfg   *Config
	log   *slog.Logger
	reg   *prometheus.Registry
	node  *queue.Node
	host  *wp.Host
	store *queue.Store

	exports *exports
	replays *replays
	keeper  *keeper // nil: the node keeps no backups
}

func (w *worker) serve(ctx context.Context, info wp.Info, h *handler) error {
	inv := w.inventory(info, h)
	h.inventory, h.catalog, h.keeper = inv, queue.NewClient(w.store), w.keeper
	w.exports.serves(h.runs, h.catalog)
	w.log.Info("serving", "php", info.PHP, "wp_cli", info.WPCLI, "packages", w.cfg.Packages)
	return boot.Together(ctx,
		w.node.Run,
		w.watchdog,
		inv.run,
		inv.inspector.run,
		(&archives{dir: w.host.Archives, clock: w.node.ClockRight, log: w.log}).run,
		(&snapshots{handler: h, clock: w.node.ClockRight, ledger: queue.NewClient(w.store)}).run,
		(&claims{handler: h, databases: hostClaims{w.host}, ledger: queue.NewClient(w.store)}).run,
		(&endings{host: w.host, state: h.state, ledger: queue.NewClient(w.store), log: w.log}).run,
		func(ctx context.Context) error { return h.ended.run(ctx, w.node.ClockRight, w.log) },
		w.exports.run,
		w.replays.run,
		w.prepareEngine,
		w.keeper.run,
		func(ctx context.Context) error { return w.node.Serve(ctx, h.queueHandler()) },
		func(ctx context.Context) error {
			return boot.ServeMetrics(ctx, w.log, w.cfg.MetricsListen, w.reg, w.healthy)
		},
	)
}

func (w *worker) inventory(info wp.Info, h *handler) *inventory {
	inv := &inventory{host: w.host, node: w.node, phpVersion: info.PHP, every: w.cfg.ScanInterval, log: w.log,
		memory: newMemory(), inspector: newInspector(w.log)}
	inv.inspector.recall, inv.inspector.keep, inv.inspector.draining = inv.memory.get, inv.keep, w.node.Draining
	inv.inspector.examine = func(ctx context.Context, ref tasks.SiteRef) (wp.Details, error) {
		site, err := h.locate(ref)
		if err != nil {
			return wp.Details{}, err
		}
		started := &opRuns{runs: h.runs}
		defer started.forget()
		return w.host.Examine(wp.WithRun(ctx, wp.RunHooks{Started: started.started}), inv.memory.addressed(site))
	}
	return inv
}

// watchdog says that the node works as soon as it takes work, and then that it lives. A
// Redis or MariaDB that is away is no reason to restart a worker: it waits for them.
func (w *worker) watchdog(ctx context.Context) error {
	boot.Ready(w.log)
	return boot.Watchdog(ctx, w.log, w.node.Alive)
}

// healthy says what keeps the node from working.
func (w *worker) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return errors.Join(w.store.Ping(ctx), w.host.DB.Ping(ctx))
}

func openStore(ctx context.Context, cfg *Config, state *state, metrics *queue.Metrics, log *slog.Logger) (*queue.Store, error) {
	password, err := cfg.Password()
	if err != nil {
		return nil, err
	}
	options := queue.Options{URL: cfg.RedisURL, Username: cfg.RedisUsername, Password: password, MaxIdle: queue.IdleConns, Metrics: metrics}
	if err := cfg.Identify(&options, log, state.signingKey()); err != nil {
		return nil, err
	}
	store, err := queue.Open(ctx, options, log)
	if err != nil {
		return nil, fmt.Errorf("opening Redis (--redis-url): %w", err)
	}
	return store, nil
}

// openHost makes the tools that steps work with.
func openHost(cfg *Config, metrics *queue.Metrics, log *slog.Logger) (*wp.Host, error) {
	layout, err := wp.ParseLayout(cfg.Sites...)
	if err != nil {
		return nil, fmt.Errorf("--sites: %w", err)
	}
	packages, err := wp.OpenPackages(cfg.Packages, filepath.Join(cfg.StateDir, "packages"))
	if err != nil {
		return nil, fmt.Errorf("--packages: %w", err)
	}
	phar := cfg.WPCLI
	if phar == "" {
		phar = packages.WPCLI()
	}
	if phar == "" {
		return nil, errors.New("--wp-cli: the package source has none; name the file")
	}
	cli, err := wp.NewCLI(wp.CLIConfig{PHP: cfg.PHP, Phar: phar, StateDir: cfg.StateDir, Log: log,
		Observe: func(command string, seconds float64, exit proc.Exit) {
			metrics.CLIRun(command, strconv.Itoa(exit.Code), time.Duration(seconds*float64(time.Second)))
			if exit.OutOfMemory {
				metrics.CLIKilled("memory")
			} else if exit.Reason != "" || exit.Signal != 0 { // without a reason of ours it was the kernel, short of memory, or somebody by hand
				metrics.CLIKilled(cmp.Or(exit.Reason, "signal"))
			}
		}})
	if err != nil {
		return nil, err
	}
	dsn, err := boot.ReadSecret("--mysql-dsn-file", cfg.MySQLDSNFile)
	if err != nil {
		return nil, err
	}
	db, err := wp.NewAdmin(dsn)
	if err != nil {
		return nil, fmt.Errorf("--mysql-dsn-file: %w", err)
	}
	measures, err := wp.OpenMeasures(filepath.Join(cfg.StateDir, "measures"))
	if err != nil {
		return nil, err
	}
	cache, err := openObjectCache(cfg)
	if err != nil {
		return nil, err
	}
	return &wp.Host{Node: cfg.Node, CLI: cli, DB: db, Packages: packages, ObjectCache: cache, PHPSocket: cfg.PHPSocket,
		DBHost: cfg.DBHost, SiteURL: cfg.SiteURL, InstallMode: cfg.InstallMode, Layout: layout, Accounts: wp.NewAccounts(layout, cfg.Provision),
		Web: cfg.web(), Measures: measures, Files: wp.Files{Calm: cfg.web().Calm()}}, nil
}

// describe is what the fleet learns about this node.
func describe(ctx context.Context, cfg *Config, state *state, host *wp.Host, info wp.Info, log *slog.Logger) queue.NodeConfig {
	// A source that is slow or away holds up no start.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	versions, err := host.Packages.CoreVersions(ctx)
	if err != nil { // a mirror that is away now may be back for the first install
		log.Warn("listing WordPress versions of the package source", "err", err)
	}
	return queue.NodeConfig{
		ID: cfg.Node, Version: boot.Version(), Recipient: state.key.Recipient(),
		PHP: info.PHP, WPCLI: info.WPCLI, WordPress: versions,
		FastSlots: cfg.SlotsFast, BulkSlots: cfg.SlotsBulk, Provisions: cfg.Provision,
	}
}
