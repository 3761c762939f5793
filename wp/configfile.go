package wp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

const (
	configName    = "wp-config.php"
	newConfigMode = 0o640
)

// LoadConfig reads the install's wp-config.php, where WordPress looks for it: in the
// docroot, or one level up if nothing else is installed there. It answers the file's
// path; errors.Is fs.ErrNotExist when there is none.
func (h *Host) LoadConfig(ctx context.Context, site Site) (string, Text, error) {
	return h.Files.loadConfig(ctx, site)
}

func (f Files) loadConfig(ctx context.Context, site Site) (string, Text, error) {
	file := filepath.Join(site.Docroot, configName)
	t, err := f.Load(ctx, site, file, MaxConfigSize)
	if err != nil || t.Exists {
		return file, t, err
	}
	above := filepath.Dir(site.Docroot)
	if above != site.Home && !strings.HasPrefix(above, site.Home+"/") {
		return "", Text{}, fmt.Errorf("finding wp-config.php: %w", fs.ErrNotExist)
	}
	other, err := f.Load(ctx, site, filepath.Join(above, "wp-settings.php"), MaxFile)
	if err != nil {
		return "", Text{}, err
	}
	file = filepath.Join(above, configName)
	if !other.Exists {
		if t, err = f.Load(ctx, site, file, MaxConfigSize); err != nil || t.Exists {
			return file, t, err
		}
	}
	return "", Text{}, fmt.Errorf("finding wp-config.php: %w", fs.ErrNotExist)
}

// ChangeConfig rewrites wp-config.php as the tenant: PHP has parsed what edit answers
// before the file gets it in one rename, owner, group and mode stay, and the file is
// read again afterwards. Errors of edit come back as they are; ErrFixed when the file
// is not the tenant's to replace.
func (h *Host) ChangeConfig(ctx context.Context, site Site, edit func(src []byte) ([]byte, error)) error {
	file, _, err := h.LoadConfig(ctx, site)
	if err != nil {
		return err
	}
	var wrote []byte
	err = h.Files.Change(ctx, site, file, MaxConfigSize, newConfigMode, func(t Text) ([]byte, error) {
		if !t.Exists {
			return nil, fmt.Errorf("changing wp-config.php: %w", fs.ErrNotExist)
		}
		next, err := edit(t.Data)
		if err != nil {
			return nil, err
		}
		if wrote = next; bytes.Equal(next, t.Data) {
			return next, nil
		}
		return next, h.CLI.Lint(ctx, site, next)
	})
	if err != nil {
		return err
	}
	now, err := h.Files.Load(ctx, site, file, MaxConfigSize)
	if err == nil && !bytes.Equal(now.Data, wrote) {
		err = fmt.Errorf("reading back wp-config.php: %w", ErrNotApplied)
	}
	return err
}

// ErrLint says that PHP does not understand a file.
var ErrLint = errors.New("PHP cannot parse it")

const lintTime = 20 * time.Second

// Lint has PHP parse a source, as the tenant and without running it.
func (c *CLI) Lint(ctx context.Context, site Site, src []byte) error {
	if err := site.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lintTime)
	defer cancel()
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	out := proc.Capped(maxStderr)
	exit, err := proc.Run(ctx, proc.Spec{
		Path: c.php, Args: []string{"-n", "-d", "display_errors=stderr", "-l"}, Dir: c.dirs.empty,
		Env:   []string{"PATH=" + searchPath, "HOME=" + c.dirs.empty, "LANG=C.UTF-8"},
		Stdin: bytes.NewReader(src), Stdout: out, Stderr: out,
		As: site.User, Limits: c.limits, Keep: hooks.Keep, Started: hooks.Started,
	})
	if err != nil {
		return fmt.Errorf("parsing with PHP: %w", err)
	}
	if exit.Code != 0 {
		return fmt.Errorf("%w: %s", ErrLint, cleanLine(string(out.Bytes()), 300))
	}
	return nil
}

// Constants lets PHP say what wp-config.php makes of constants, without starting
// WordPress. One that is not defined is missing from the answer; the values are
// PHP's string conversions.
func (c *CLI) Constants(ctx context.Context, site Site, names ...string) (map[string]string, error) {
	out, err := c.must(ctx, site, configList(names))
	var exit *ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Stderr, "No matching entries found") {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Name  string `json:"name"`
		Value any    `json:"value"`
		Type  string `json:"type"`
	}
	if err := parseJSON(out, &rows); err != nil {
		return nil, fmt.Errorf("reading constants: %w", err)
	}
	values := map[string]string{}
	for _, r := range rows {
		for _, name := range names {
			if r.Type == "constant" && r.Name == name {
				values[name] = constantText(r.Value)
			}
		}
	}
	return values, nil
}

func configList(names []string) Command {
	cmd := command("config", "list")
	for _, name := range names {
		cmd = cmd.arg(name)
	}
	return cmd.flag("strict").fixed("fields", "name,value,type").fixed("format", "json").withoutPlugins().forParser()
}

// constantText is PHP's string conversion of a decoded JSON scalar.
func constantText(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "1"
		}
		return ""
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}
