package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

func (c *Config) checkBackups(wrong func(format string, args ...any)) {
	if (c.Backups == "") != (c.BackupKeyFile == "") {
		wrong("--backups, --backup-key-file: one needs the other; `openssl rand -hex 32` makes a key")
	}
	if c.BackupKeepDays < 0 || c.BackupKeepLast < 0 {
		wrong("--backup-keep-days, --backup-keep-last: not negative")
	}
	if _, _, err := net.SplitHostPort(c.BackupListen); c.BackupListen != "" && err != nil {
		wrong("--backup-listen: %v", err)
	}
}

// openBackups is the store of the node; nil when it has none.
func openBackups(cfg *Config, s *state, log *slog.Logger) (*wp.Restic, error) {
	if cfg.Backups == "" {
		return nil, nil
	}
	key, err := boot.ReadSecret("--backup-key-file", cfg.BackupKeyFile)
	if err != nil {
		return nil, err
	}
	env, err := readEnv(cfg.BackupEnvFile)
	if err != nil {
		return nil, fmt.Errorf("--backup-env-file: %w", err)
	}
	store, err := wp.NewRestic(wp.ResticConfig{
		Program: cfg.Restic, URL: cfg.Backups, Key: []byte(key), StateDir: s.backupsDir(), Env: env, Log: log,
		SSH: wp.ResticSSH{Key: cfg.BackupSSHKey, KnownHosts: cfg.BackupSSHHosts}})
	if err != nil {
		return nil, fmt.Errorf("--backups: %w", err)
	}
	return store, nil
}

// readEnv reads NAME=value lines; # begins a comment.
func readEnv(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var env []string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if name, _, ok := strings.Cut(line, "="); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("line %d is not NAME=value", n)
		}
		env = append(env, line)
	}
	return env, nil
}

// store is what the keeper does to one.
type backupStore interface {
	List(ctx context.Context, account string) ([]wp.BackupKey, error)
	Forget(ctx context.Context, account string, ids ...string) error
	Prune(ctx context.Context) error
}

// keeper ends the time of backups, gives their room back, and writes the list anew when
// Redis has lost it.
type keeper struct {
	store  backupStore
	ledger *queue.Client
	host   *wp.Host
	log    *slog.Logger
	rung   chan string // installs that have a new backup
	clock  rightClock
}

func newKeeper(store backupStore, ledger *queue.Client, host *wp.Host, clock rightClock, log *slog.Logger) *keeper {
	return &keeper{store: store, ledger: ledger, host: host, clock: clock, log: log, rung: make(chan string, 100)}
}

// ended hears of an op that has ended.
func (k *keeper) ended(op tasks.Op) {
	if k == nil || op.Kind != "backup" {
		return
	}
	select {
	case k.rung <- op.Site.ID:
	default: // the next round has them all
	}
}

const keeperRound = 24 * time.Hour

// run keeps the rules until ctx ends. What fails is logged and tried again in the next round.
func (k *keeper) run(ctx context.Context) error {
	if k == nil {
		<-ctx.Done()
		return nil
	}
	k.tell(ctx, "listing backups of the store", k.relist(ctx))
	tick := time.NewTicker(keeperRound)
	defer tick.Stop()
	k.round(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case site := <-k.rung:
			k.tell(ctx, "removing old backups", k.expireNow(ctx, site))
		case <-tick.C:
			k.round(ctx)
		}
	}
}

func (k *keeper) tell(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		k.log.Error(doing, "err", err)
	}
}

// round looks at every install that has backups on this node.
func (k *keeper) round(ctx context.Context) {
	sites := map[string]bool{}
	for f := (queue.BackupFilter{Node: k.host.Node, Limit: 1000}); ; {
		page, err := k.ledger.Backups(ctx, f)
		if err != nil {
			k.tell(ctx, "reading the list of backups", err)
			return
		}
		for _, b := range page.Items {
			sites[b.Site.ID] = true
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	for site := range sites {
		k.tell(ctx, "removing old backups", k.expireNow(ctx, site))
	}
	k.tell(ctx, "giving back the room of old backups", k.store.Prune(ctx))
}

func (k *keeper) expireNow(ctx context.Context, site string) error {
	now, err := k.clock.now(ctx)
	if err != nil {
		return err
	}
	return k.expire(ctx, site, now)
}

// expire removes the backups of an install whose time is over. One whose account is busy
// has its turn in the next round.
func (k *keeper) expire(ctx context.Context, site string, now time.Time) error {
	all, err := k.ledger.SiteBackups(ctx, site)
	if err != nil {
		return err
	}
	over := expired(all, now)
	if len(over) == 0 {
		return nil
	}
	ids := make([]string, len(over))
	for i, b := range over {
		ids[i] = b.ID
	}
	if err := k.store.Forget(ctx, over[0].Site.Account, ids...); err != nil {
		if errors.Is(err, wp.ErrBackupBusy) {
			return nil
		}
		return err
	}
	for _, b := range over {
		if err := k.ledger.RemoveBackup(ctx, b); err != nil {
			return err
		}
		k.log.Info("backup removed; its time is over", "backup", b.ID, "site", site)
	}
	return nil
}

// expired chooses from the backups of one install, newest first, those that no rule keeps:
// neither their time, nor their place among the newest of their sort.
func expired(all []tasks.Backup, now time.Time) (over []tasks.Backup) {
	rank := map[string]int{}
	for _, b := range all {
		sort := b.Reason + " " + b.Type
		rank[sort]++
		among := rank[sort] <= b.KeepLast
		switch {
		case b.KeepUntil.IsZero() && b.KeepLast == 0: // for ever
		case among, now.Before(b.KeepUntil):
		default:
			over = append(over, b)
		}
	}
	return over
}

// relist writes the list of this node's backups anew, from what is beside them in the store.
func (k *keeper) relist(ctx context.Context) error {
	if done, err := k.ledger.BackupsListed(ctx, k.host.Node); err != nil || done {
		return err
	}
	census, err := k.host.Layout.Census()
	if err != nil {
		return err
	}
	accounts := map[string]bool{}
	for _, d := range census.Domains {
		accounts[d.Account] = true
	}
	found := 0
	for account := range accounts {
		keys, err := k.store.List(ctx, account)
		if err != nil {
			return err
		}
		for _, key := range keys {
			n, err := k.relistOne(ctx, key)
			if err != nil {
				return err
			}
			found += n
		}
	}
	k.log.Info("backups listed anew from the store", "backups", found)
	return k.ledger.SetBackupsListed(ctx, k.host.Node)
}

func (k *keeper) relistOne(ctx context.Context, key wp.BackupKey) (int, error) {
	var b tasks.Backup
	if err := json.Unmarshal(key.Record, &b); err != nil || b.Site.Node != k.host.Node {
		return 0, nil //nolint:nilerr // List has told of records that it cannot open
	}
	listed, err := k.ledger.Backup(ctx, b.ID)
	if err == nil {
		return 0, k.ledger.PutBackup(ctx, listed) // in a list that is younger than it, too
	}
	if !errors.Is(err, tasks.ErrNoBackup) {
		return 0, err
	}
	b.Snapshot, b.Incomplete = key.Snapshot, true
	return 1, k.ledger.PutBackup(ctx, b)
}
