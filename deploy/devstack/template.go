package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
)

// logFileSize must be the same when a data folder is made and when it is used.
const logFileSize = "16M"

// populate fills data/db with a fresh MariaDB data folder. Making one takes seconds, so a
// pristine one is kept in the cache for each version of the server and copied.
func populate(ctx context.Context, b *base, mariadbd string, as owner) error {
	target := b.path("data", "db")
	if _, err := os.Stat(filepath.Join(target, "mysql")); err == nil {
		return nil // a folder from an earlier run: its data is wanted
	}
	tmp := b.path("data", "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return fmt.Errorf("making mariadb folder: %w", err)
	}
	if err := as.give(tmp); err != nil {
		return err
	}
	template, err := templatePath(ctx, mariadbd, as)
	if err != nil {
		return err
	}
	if _, err := os.Stat(template); err == nil {
		return copyTree(template, target, as)
	}
	if err := install(ctx, b, target, as); err != nil {
		return err
	}
	// A cache that cannot be written only makes the next start slower.
	if err := keepTemplate(target, template); err != nil {
		slog.Warn("keeping mariadb template", "path", template, "err", err)
	}
	return nil
}

var notInFileName = regexp.MustCompile(`[^A-Za-z0-9.+-]+`)

// templatePath names the template after all that mariadbd says about itself (version,
// vendor, machine), so that an upgrade never meets an old template.
func templatePath(ctx context.Context, mariadbd string, as owner) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := runTool(ctx, mariadbd, []string{"--no-defaults", "--version"}, "/", &out, as); err != nil {
		return "", fmt.Errorf("reading mariadb version: %w", err)
	}
	name := out.String()
	if i := bytes.Index(out.Bytes(), []byte("Ver ")); i >= 0 {
		name = name[i:]
	}
	return filepath.Join(cache, "mariadb", notInFileName.ReplaceAllString(name, "_")+"log"+logFileSize), nil
}

func install(ctx context.Context, b *base, target string, as owner) error {
	tool, err := program("mariadb-install-db", "mysql_install_db")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	err = runTool(ctx, tool, []string{
		"--no-defaults", "--datadir=" + target, "--tmpdir=" + b.path("data", "tmp"),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
		"--force", // older ones want the machine to know its own name, which a bare one may not
		"--innodb-use-native-aio=0", "--innodb-log-file-size=" + logFileSize,
	}, b.path("data"), &out, as)
	if err != nil {
		return fmt.Errorf("making mariadb data folder: %w: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// keepTemplate copies under another name first, so that a template is whole or absent.
func keepTemplate(from, template string) error {
	if err := os.MkdirAll(filepath.Dir(template), 0o755); err != nil {
		return err
	}
	making, err := os.MkdirTemp(filepath.Dir(template), ".making-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(making) //nolint:errcheck // what a failed start leaves, the next removes
	tree := filepath.Join(making, "db")
	if err := copyTree(from, tree, owner{}); err != nil {
		return err
	}
	err = os.Rename(tree, template)
	if errors.Is(err, fs.ErrExist) {
		return nil // another start was faster
	}
	return err
}

// copyTree copies folders and regular files, nothing else, and gives them to the server.
func copyTree(from, to string, as owner) error {
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case e.IsDir():
			err = os.Mkdir(target, 0o700)
		case e.Type().IsRegular():
			err = copyFile(path, target)
		default:
			return fmt.Errorf("%s is neither file nor folder", path)
		}
		if err != nil {
			return err
		}
		return as.give(target)
	})
	if err != nil {
		return fmt.Errorf("copying mariadb data folder: %w", err)
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
