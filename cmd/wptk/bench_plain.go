package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/proc"
)

// plainWP is what people do without a toolkit: WP-CLI and a shell, as the site's user. It
// gets every advantage that does not change what is measured: its download cache is warm,
// the database and its user are made before the clock starts, and the address of the site
// refuses connections at once, so that WordPress's own probes of it cost nothing.
type plainWP struct {
	site          *e2eSite
	db            *wp.Admin
	version, core string // core is the unpacked WordPress
	php, phar     string
	dir, cache    string // of the tenant
	n             int
}

// refusingURL is an address where nobody listens.
const refusingURL = "http://127.0.0.1:9"

func newPlainWP(ctx context.Context, site *e2eSite) (*plainWP, error) {
	packages, err := devstack.Cache()
	if err != nil {
		return nil, err
	}
	p := &plainWP{site: site, version: site.version, core: filepath.Join(packages, "core", site.version, "wordpress"),
		phar: filepath.Join(packages, "wp-cli", "wp-cli.phar"), dir: filepath.Join(site.root, "plain"), cache: filepath.Join(site.root, "wp-cli-cache")}
	if p.php, err = program("php"); err != nil {
		return nil, err
	}
	if p.db, err = wp.NewAdmin(site.e2e.stack.mariadb.DSN()); err != nil {
		return nil, err
	}
	// Packed here and unpacked there by the tenant: root writes nothing in the tenant's tree.
	archive := site.e2e.state.dir("wordpress-" + p.version + ".tar.gz")
	if err := packCore(archive, p.core); err != nil {
		return nil, errors.Join(err, p.db.Close())
	}
	cached := filepath.Join(p.cache, "core", "wordpress-"+p.version+"-en_US.tar.gz")
	err = p.sh(ctx, `mkdir -p "$1" "$(dirname "$3")" && cp "$2" "$3"`, p.dir, archive, cached)
	if err != nil {
		return nil, errors.Join(err, p.db.Close())
	}
	return p, nil
}

// packCore makes the archive that WP-CLI would have in its cache.
func packCore(archive, core string) error {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	err := filepath.WalkDir(core, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(core, path)
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: "wordpress/" + rel, Mode: 0o644, Size: int64(len(raw)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	})
	if err := errors.Join(err, w.Close(), zipped.Close()); err != nil {
		return fmt.Errorf("packing WordPress: %w", err)
	}
	if err := os.WriteFile(archive, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("packing WordPress: %w", err)
	}
	return nil
}

// plainSite is a site that is made by hand.
type plainSite struct{ dir, db, password string }

// next is a fresh directory's name, with an empty database for it.
func (p *plainWP) next(ctx context.Context) (plainSite, error) {
	p.n++
	s := plainSite{dir: filepath.Join(p.dir, strconv.Itoa(p.n)), db: "plain_" + strconv.Itoa(p.n), password: wp.NewPassword(24)}
	err := p.db.CreateDatabase(ctx, s.db)
	if err == nil {
		err = p.db.CreateUser(ctx, s.db, "localhost", s.password)
	}
	if err == nil {
		err = p.db.Grant(ctx, s.db, s.db, "localhost")
	}
	return s, err
}

// install is the script: files, wp-config.php, tables, and everything on the disk.
func (p *plainWP) install(ctx context.Context, s plainSite, byCopy bool) error {
	steps := []func() error{
		func() error { return p.wp(ctx, s, "core", "download", "--version="+p.version) },
		func() error {
			return p.wp(ctx, s, "config", "create", "--dbname="+s.db, "--dbuser="+s.db, "--dbpass="+s.password,
				"--dbhost=localhost:"+p.site.e2e.stack.mariadb.Socket)
		},
		func() error {
			return p.wp(ctx, s, "core", "install", "--url="+refusingURL, "--title=Plain", "--admin_user="+demoAdmin,
				"--admin_password="+s.password, "--admin_email="+demoEmail, "--skip-email")
		},
		func() error { return p.sh(ctx, `sync -f "$1"`, s.dir) },
	}
	if byCopy {
		steps[0] = func() error { return p.sh(ctx, `cp -a --no-preserve=ownership "$1" "$2"`, p.core, s.dir) }
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *plainWP) wp(ctx context.Context, s plainSite, args ...string) error {
	return p.run(ctx, p.php, append([]string{"-d", "memory_limit=512M", p.phar, "--path=" + s.dir, "--no-color"}, args...))
}

// sh runs a script of ours; the values are its arguments.
func (p *plainWP) sh(ctx context.Context, script string, args ...string) error {
	return p.run(ctx, "/bin/sh", append([]string{"-c", script, "sh"}, args...))
}

func (p *plainWP) run(ctx context.Context, path string, args []string) error {
	var out bytes.Buffer
	exit, err := proc.Run(ctx, proc.Spec{Path: path, Args: args, Dir: p.site.root, As: p.site.user, Stdout: &out, Stderr: &out,
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + p.site.root, "TMPDIR=" + p.site.tmp(), "LC_ALL=C.UTF-8",
			"WP_CLI_CACHE_DIR=" + p.cache, "WP_CLI_DISABLE_AUTO_CHECK_UPDATE=1"}})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit status %d", exit.Code)
	}
	if err != nil {
		return fmt.Errorf("running %s: %w: %.400s", filepath.Base(path), err, clean(out.String()))
	}
	return nil
}
