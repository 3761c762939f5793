package wp

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// phpFiles are those that WP-CLI loads (--require). Each is on the node's disk under its name.
//
//go:embed php/*.php
var phpFiles embed.FS

// wpcliConfig is read as the global configuration of WP-CLI. mod_rewrite is declared so
// that "rewrite" commands with --hard write .htaccess; other web servers ignore that file.
const wpcliConfig = "apache_modules:\n  - mod_rewrite\n"

const searchPath = "/usr/local/bin:/usr/bin:/bin"

// runDirs are our files and directories around every run. All but the temporary ones belong
// to us, and tenants can only read them.
type runDirs struct {
	base   string // with phpFiles in it
	empty  string // home, working and package directory of every run
	config string
	tmp    string // parent of the temporary directories; can be entered but not listed
}

func makeRunDirs(state string) (runDirs, error) {
	if !filepath.IsAbs(state) {
		return runDirs{}, fmt.Errorf("%q is not an absolute path", state)
	}
	base := filepath.Join(state, "wp-cli")
	d := runDirs{
		base:   base,
		empty:  filepath.Join(base, "empty"),
		config: filepath.Join(base, "config.yml"),
		tmp:    filepath.Join(base, "tmp"),
	}
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{state, 0o711}, {base, 0o755}, {d.empty, 0o555}, {d.tmp, 0o711}} {
		if err := ensureDir(dir.path, dir.mode); err != nil {
			return runDirs{}, err
		}
	}
	return d, errors.Join(ensureFile(d.config, []byte(wpcliConfig)), d.writePHP())
}

// php is where one of phpFiles is on the node.
func (d runDirs) php(name string) string { return filepath.Join(d.base, name) }

func (d runDirs) writePHP() error {
	entries, err := phpFiles.ReadDir("php")
	if err != nil {
		return fmt.Errorf("listing PHP files: %w", err)
	}
	for _, e := range entries {
		src, err := phpFiles.ReadFile("php/" + e.Name())
		if err != nil {
			return fmt.Errorf("reading %s: %w", e.Name(), err)
		}
		if err := ensureFile(d.php(e.Name()), src); err != nil {
			return err
		}
	}
	return nil
}

// ensureDir makes a directory, or checks that one that exists is ours and that tenants can
// enter but not change it.
func ensureDir(path string, mode os.FileMode) error {
	switch err := os.Mkdir(path, mode); {
	case err == nil:
		if err := os.Chmod(path, mode); err != nil { // whatever the umask left
			return fmt.Errorf("setting mode: %w", err)
		}
	case !errors.Is(err, os.ErrExist):
		return fmt.Errorf("making directory: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s must be a directory of uid %d", path, os.Geteuid())
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s must not be writable for others", path)
	case st.Mode&0o001 == 0:
		return fmt.Errorf("%s must be open to be entered by tenants: chmod o+x", path)
	}
	return nil
}

// ensureFile writes a file unless it is there already. It is replaced by a rename, since a
// run of another worker of this node may be reading it.
func ensureFile(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	next := path + "." + rand.Text()
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	err := os.Chmod(next, 0o644)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(next))
	}
	return nil
}

// temp makes a directory that only the tenant can use. Root makes it inside a directory of
// its own and does nothing in it afterwards.
func (d runDirs) temp(who proc.Identity) (string, error) {
	dir := filepath.Join(d.tmp, rand.Text())
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return dir, nil
	}
	if err := os.Lchown(dir, int(who.UID), int(who.GID)); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

// discard removes a temporary directory. It is empty after nearly every run; if it is not,
// the tenant empties it.
func (d runDirs) discard(dir string, who proc.Identity, log *slog.Logger) {
	err := unix.Rmdir(dir)
	if errors.Is(err, unix.ENOTEMPTY) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = proc.Call(ctx, who, proc.CallOptions{Writable: []string{dir}}, emptyDirCall, dir, nil)
		err = errors.Join(err, unix.Rmdir(dir))
	}
	if err != nil {
		log.Warn("removing temporary directory", "path", dir, "err", err)
	}
}

// Sweep removes the temporary directories of runs that a killed worker has left behind. No
// run may be going on: a worker calls it once, after it has ended strays.
func (c *CLI) Sweep() error {
	left, err := os.ReadDir(c.dirs.tmp)
	if err != nil {
		return fmt.Errorf("listing temporary directories: %w", err)
	}
	for _, entry := range left {
		path := filepath.Join(c.dirs.tmp, entry.Name())
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("looking at temporary directory: %w", err)
		}
		c.dirs.discard(path, proc.Identity{UID: st.Uid, GID: st.Gid}, c.log)
	}
	return nil
}

const emptyDirCall = "wp.empty-dir"

func init() { proc.Register(emptyDirCall, emptyDir) }

func emptyDir(_ context.Context, in json.RawMessage, _ io.Writer) (any, error) {
	var dir string
	if err := json.Unmarshal(in, &dir); err != nil {
		return nil, fmt.Errorf("reading directory name: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, removeAll(root, name))
	}
	return nil, err
}

// findProgram resolves a bare name in the search path that children get.
func findProgram(name, fallback string) (string, error) {
	if name == "" {
		name = fallback
	}
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return name, err
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %s in %s", os.ErrNotExist, name, searchPath)
}

// ownedFile checks that a file that we make others run cannot be changed by them.
func ownedFile(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || (st.Uid != 0 && st.Uid != uint32(os.Geteuid())) {
		return fmt.Errorf("%s must be a file of root or of uid %d that others cannot write", path, os.Geteuid())
	}
	return nil
}
