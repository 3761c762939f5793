package wp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/wispanel/wptk/wp/proc"
)

// Engine installs WordPress from the node's own, verified copy, with opcodes that were
// compiled once. A PHP that finds its opcodes in a cache starts in half the time, but the
// cache is trusted blindly: whoever can write an entry decides what the next reader runs,
// and whoever can open one can lock it (flock) and have all readers wait. So no tenant
// comes near it: the runs have a user id that no account has, they execute nothing but
// WordPress itself, WP-CLI and our own files, and only they may enter the cache, which
// belongs to root. docs/decisions/0050-engine.md has the reasons.
type Engine struct {
	cli *CLI
	db  *Admin
	log *slog.Logger
	dir string // <state>/engine
	// dbHost is DB_HOST of new installs.
	dbHost string

	asked  chan CoreTree
	wanted chan goldenAsk
	mu     sync.Mutex
	warm   map[string]warmCore // by directory of the core
	golden map[goldenKey]goldenKept
	runs   atomic.Uint32
}

// warmCore is a cache for one copy of WordPress.
type warmCore struct {
	opcodes string   // directory whose entries are named by PHP's build
	builds  []string // those names: of files, and of files in a phar
	stamp   string   // of PHP when it was made
}

// Runs of the engine have ids of a range that systemd and shadow leave alone, each run
// another one, so that they cannot see each other either. The group may enter the cache.
const (
	engineUIDs = 2_000_000_000
	engineGID  = engineUIDs
)

// ErrEngineCold says that there are no opcodes for this WordPress (yet): install it the
// other way.
var ErrEngineCold = errors.New("the engine is not prepared for this WordPress")

// NewEngine makes an engine that knows no WordPress yet: Run prepares it. What an earlier
// worker has prepared is thrown away, since PHP may have changed.
func NewEngine(cli *CLI, db *Admin, stateDir, dbHost string, log *slog.Logger) (*Engine, error) {
	e := &Engine{cli: cli, db: db, log: log, dir: filepath.Join(stateDir, "engine"), dbHost: dbHost,
		asked: make(chan CoreTree, 4), warm: map[string]warmCore{},
		wanted: make(chan goldenAsk, 8), golden: map[goldenKey]goldenKept{}}
	if err := os.RemoveAll(e.dir); err != nil {
		return nil, fmt.Errorf("clearing the engine's directory: %w", err)
	}
	if err := ensureDir(e.dir, 0o711); err != nil {
		return nil, fmt.Errorf("making the engine's directory: %w", err)
	}
	return e, nil
}

// Run prepares what Ask and HasTemplate ask for until ctx ends, one after the other.
func (e *Engine) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case core := <-e.asked:
			if err := e.prepare(ctx, core); err != nil && ctx.Err() == nil {
				e.log.Warn("preparing the engine", "path", core.Dir, "err", err)
			}
		case ask := <-e.wanted:
			if err := e.prepareGolden(ctx, ask); err != nil && ctx.Err() == nil {
				e.log.Warn("preparing a template", "path", ask.core.Dir, "err", err)
			}
		}
	}
}

// Ask has a WordPress prepared in the background, unless it is or too many wait already.
func (e *Engine) Ask(core CoreTree) {
	select {
	case e.asked <- core:
	default:
	}
}

// EngineInstall is what an install by the engine needs to know: the site's address, and
// what its wp-config.php says of the database.
type EngineInstall struct {
	URL string
	ConfigOptions
	InstallOptions
}

// Ready tells whether a core is prepared, and has it prepared if not.
func (e *Engine) Ready(core CoreTree) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.warm[core.Dir]
	if !ok {
		e.Ask(core)
	}
	return ok
}

// Install fills an empty database as CoreInstall does. The site's files are not needed;
// Rewrites of the result is to be written there. errors.Is ErrEngineCold when the core is
// not prepared; then it will be soon. A network and other languages than English are not
// for the engine.
func (e *Engine) Install(ctx context.Context, core CoreTree, in EngineInstall) (Installed, error) {
	e.mu.Lock()
	warm, ok := e.warm[core.Dir]
	e.mu.Unlock()
	if !ok {
		e.Ask(core)
		return Installed{}, ErrEngineCold
	}
	if now, err := e.stamp(ctx, warm.stamp); err != nil || now != warm.stamp {
		e.cool(core)
		e.Ask(core)
		return Installed{}, errors.Join(ErrEngineCold, err)
	}
	return e.installBy(ctx, warm, core, in)
}

// installBy installs with opcodes that are there.
func (e *Engine) installBy(ctx context.Context, warm warmCore, core CoreTree, in EngineInstall) (Installed, error) {
	got, err := e.installAs(ctx, e.identity(), core, in, &engineRun{opcodes: warm.opcodes, builds: warm.builds})
	var exit *ExitError
	if errors.As(err, &exit) && (exit.Code < 0 || exit.Code == fatalStatus) {
		e.cool(core) // opcodes of another PHP end like this
	}
	return got, err
}

// fatalStatus is PHP's exit status after a fatal error.
const fatalStatus = 255

func (e *Engine) cool(core CoreTree) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.warm, core.Dir)
}

func (e *Engine) installAs(ctx context.Context, who proc.Identity, core CoreTree, in EngineInstall, run *engineRun) (Installed, error) {
	line, err := in.line(core)
	if err != nil {
		return Installed{}, err
	}
	run.line = line
	cmd := coreInstall(in.InstallOptions).withoutPlugins().hiding(in.DBPassword)
	cmd.engine = run
	site := Site{Domain: "engine", Home: core.Dir, Docroot: core.Dir, URL: in.URL, User: who, checked: true}
	return e.cli.install(ctx, site, cmd, in.AdminUser, coreTables)
}

// identity is a fresh user, or the invoker where there is no root.
func (e *Engine) identity() proc.Identity {
	if os.Geteuid() != 0 {
		return proc.Identity{}
	}
	return proc.Identity{UID: engineUIDs + 1 + e.runs.Add(1)%(1<<20), GID: engineGID, Name: "wptk-engine"}
}

// line is what engine.php reads. The salts are not the site's: nothing that an
// installation leaves behind is made with them.
func (in *EngineInstall) line(core CoreTree) (string, error) {
	if !prefixPattern.MatchString(in.TablePrefix) {
		return "", fmt.Errorf("installing by engine: table prefix %q may have letters, digits and _ only", in.TablePrefix)
	}
	in.fill()
	constants := map[string]string{
		"DB_NAME": in.DBName, "DB_USER": in.DBUser, "DB_PASSWORD": in.DBPassword, "DB_HOST": in.DBHost,
		"DB_CHARSET": in.Charset, "DB_COLLATE": "", "WP_HOME": in.URL, "WP_SITEURL": in.URL,
	}
	if core.Languages != "" {
		constants["WP_LANG_DIR"] = core.Languages
	}
	for _, name := range saltNames {
		constants[name] = newSalt()
	}
	b, err := json.Marshal(map[string]any{"prefix": in.TablePrefix, "constants": constants})
	if err != nil {
		return "", fmt.Errorf("encoding configuration: %w", err)
	}
	return string(b), nil
}

// engineRun is how one command uses the opcodes.
type engineRun struct {
	line    string   // first line of standard input
	opcodes string   // of a warmCore; empty: opcodes are being made
	builds  []string // of the same
	cache   string   // what PHP is told
}

// enter gives PHP a directory of opcodes in the run's own temporary directory, since PHP
// takes none that it cannot write. Its entries for this build of PHP are links to the shared
// ones; another build finds nothing and writes what it makes where nobody else reads it.
func (r *engineRun) enter(tmp string) (forget func(), err error) {
	if r.opcodes == "" {
		return func() {}, nil // prepare has chosen the directory
	}
	r.cache = tmp
	for _, build := range r.builds {
		if err := os.Symlink(filepath.Join(r.opcodes, build), filepath.Join(tmp, build)); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, build := range r.builds {
			_ = os.Remove(filepath.Join(tmp, build)) // if it fails, discard removes it, and tells
		}
	}, nil
}

func (r *engineRun) phpFlags() []string {
	return []string{
		"-d", "opcache.enable=1", "-d", "opcache.enable_cli=1", "-d", "opcache.file_cache_only=1",
		"-d", "opcache.file_cache=" + r.cache,
		"-d", "opcache.file_cache_consistency_checks=0", // of root's own files
	}
}

// buildName is PHP's name for its build, an MD5; opcodes of files in a phar, whose names
// begin with "phar://", come to lie beside it.
var buildName = regexp.MustCompile(`^[0-9a-f]{32}(phar:)?$`)
