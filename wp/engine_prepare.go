package wp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/wp/proc"
)

// prepare makes the opcodes of one core: a real installation into a database that is then
// dropped leaves exactly those that an installation needs. They are made by a process
// without any rights, in a directory of its own, and copied into one that is root's.
func (e *Engine) prepare(ctx context.Context, core CoreTree) (err error) {
	e.mu.Lock()
	_, ready := e.warm[core.Dir]
	e.mu.Unlock()
	if ready {
		return nil
	}
	stamp, err := e.stamp(ctx, "")
	if err != nil {
		return err
	}
	if err := onlyOursWrite(core.Dir); err != nil {
		return err
	}
	made := filepath.Join(e.dir, "new-"+rand.Text())
	who := e.identity()
	if err := os.Mkdir(made, 0o700); err != nil {
		return fmt.Errorf("making directory for opcodes: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	if who.UID != 0 {
		if err := os.Lchown(made, int(who.UID), int(who.GID)); err != nil {
			return fmt.Errorf("making directory for opcodes: %w", err)
		}
	}
	if err := e.rehearse(ctx, core, who, made); err != nil {
		return err
	}
	warm, err := e.takeOver(ctx, made)
	if err != nil {
		return err
	}
	warm.stamp = stamp
	e.mu.Lock()
	e.warm[core.Dir] = warm
	e.mu.Unlock()
	e.log.Info("engine prepared", "path", core.Dir)
	return nil
}

// rehearse installs once, with a cache that this run may write.
func (e *Engine) rehearse(ctx context.Context, core CoreTree, who proc.Identity, cache string) error {
	in := EngineInstall{URL: "http://rehearsal.invalid", ConfigOptions: ConfigOptions{TablePrefix: "wp_"},
		InstallOptions: InstallOptions{Title: "Rehearsal", AdminUser: "rehearsal", AdminEmail: "nobody@example.com", AdminPassword: NewPassword(32)}}
	_, err := e.inScratch(ctx, in, func(in EngineInstall) (Installed, error) {
		return e.installAs(ctx, who, core, in, &engineRun{cache: cache})
	})
	if err != nil {
		return fmt.Errorf("rehearsing an installation: %w", err)
	}
	return nil
}

// inScratch lets do work in an empty database, which is dropped afterwards. There is one for
// the whole engine, whose Run does one thing at a time.
func (e *Engine) inScratch(ctx context.Context, in EngineInstall, do func(EngineInstall) (Installed, error)) (got Installed, err error) {
	name := rehearsalName(e.dir)
	host, err := e.db.UserHost(ctx, e.dbHost)
	if err != nil {
		return got, err
	}
	drop := func() error {
		undo := context.WithoutCancel(ctx)
		return errors.Join(e.db.DropUser(undo, name, host), e.db.DropDatabase(undo, name))
	}
	if err := drop(); err != nil { // what a killed worker has left
		return got, err
	}
	in.DBName, in.DBUser, in.DBPassword, in.DBHost = name, name, NewPassword(32), e.dbHost
	defer func() { err = errors.Join(err, drop()) }()
	for _, make := range []func() error{
		func() error { return e.db.CreateDatabase(ctx, name) },
		func() error { return e.db.EnsureUser(ctx, name, host, in.DBPassword) },
		func() error { return e.db.Grant(ctx, name, name, host) },
	} {
		if err := make(); err != nil {
			return got, err
		}
	}
	return do(in)
}

// rehearsalName is the node's own, as nodes may share a database server.
func rehearsalName(dir string) string {
	host, _ := os.Hostname() // "" is as good as any
	sum := sha256.Sum256([]byte(host + "\x00" + dir))
	return "wptk_rehearsal_" + hex.EncodeToString(sum[:6])
}

// takeOver copies opcodes into a directory of root's that only the engine may enter.
func (e *Engine) takeOver(ctx context.Context, made string) (w warmCore, err error) {
	entries, err := os.ReadDir(made)
	if err != nil {
		return w, fmt.Errorf("listing opcodes: %w", err)
	}
	w.opcodes = filepath.Join(e.dir, rand.Text())
	for _, entry := range entries {
		if !entry.IsDir() || !buildName.MatchString(entry.Name()) || entry.Name()[:32] != entries[0].Name()[:32] {
			return w, fmt.Errorf("listing opcodes: PHP has made %q", entry.Name())
		}
		w.builds = append(w.builds, entry.Name())
	}
	if len(w.builds) == 0 {
		return w, errors.New("listing opcodes: PHP has made none; opcache is not installed")
	}
	if err := os.Mkdir(w.opcodes, 0o700); err != nil {
		return w, fmt.Errorf("making directory for opcodes: %w", err)
	}
	root, err := os.OpenRoot(w.opcodes)
	if err != nil {
		return w, fmt.Errorf("opening directory for opcodes: %w", err)
	}
	defer root.Close()
	if err := copyTree(ctx, made, root, nil); err != nil {
		return w, errors.Join(err, os.RemoveAll(w.opcodes))
	}
	if os.Geteuid() != 0 {
		return w, nil
	}
	return w, errors.Join(root.Lchown(".", 0, engineGID), root.Chmod(".", 0o750))
}

// onlyOursWrite: every file of the core is PHP that runs for all tenants.
func onlyOursWrite(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("looking at WordPress: %w", err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("looking at WordPress: %w", err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK || st.Mode&0o022 != 0 || st.Uid != 0 && st.Uid != uint32(os.Geteuid()) {
			return fmt.Errorf("looking at WordPress: %s can be changed by others", path)
		}
		return nil
	})
}

// phpParts has PHP name the files that decide which opcodes it understands.
const phpParts = `echo json_encode( array_values( array_filter( array_merge(
	array( PHP_BINARY, php_ini_loaded_file(), ini_get( 'extension_dir' ), PHP_CONFIG_FILE_SCAN_DIR ),
	array_map( 'trim', explode( ',', (string) php_ini_scanned_files() ) ) ) ) ) );`

// stamp changes when PHP, its extensions or its settings do. before is an earlier one,
// which names the files; without it PHP is asked for them.
func (e *Engine) stamp(ctx context.Context, before string) (string, error) {
	var paths []string
	if before != "" {
		var old []stampedFile
		if err := json.Unmarshal([]byte(before), &old); err != nil {
			return "", fmt.Errorf("reading stamp: %w", err)
		}
		for _, f := range old {
			paths = append(paths, f.Path)
		}
	} else {
		out, errs := proc.Capped(maxStderr), proc.Capped(maxStderr)
		exit, err := proc.Run(ctx, proc.Spec{Path: e.cli.php, Args: append(append([]string{}, phpFlags...), "-r", phpParts),
			Env: e.cli.env(Site{}, Command{}, e.cli.dirs.empty, ""), Dir: e.cli.dirs.empty, Stdout: out, Stderr: errs, As: e.identity()})
		if err != nil {
			return "", fmt.Errorf("asking PHP for its parts: %w", err)
		}
		if err := json.Unmarshal(bytes.TrimSpace(out.Bytes()), &paths); err != nil || exit.Code != 0 {
			return "", fmt.Errorf("asking PHP for its parts: exit status %d: %s", exit.Code, proc.CleanText(errs.Bytes()))
		}
		paths = append(paths, e.cli.phar)
	}
	files := make([]stampedFile, len(paths))
	for i, path := range paths {
		files[i].Path = path
		if info, err := os.Stat(path); err == nil { // what is gone stays at zero
			files[i].Size, files[i].Time = info.Size(), info.ModTime().UnixNano()
		}
	}
	b, err := json.Marshal(files)
	return string(b), err
}

type stampedFile struct {
	Path string
	Size int64
	Time int64 // ns
}
