package wp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// CopySettled is how a copy of a site sees itself once it is one of its own.
type CopySettled struct {
	Staging bool   `json:"staging"` // it sends no mail
	Public  bool   `json:"public"`  // it does not ask search engines to stay away
	Title   string `json:"title"`
	Version string `json:"version"` // of WordPress
	SiteURL string `json:"siteurl"` // as the tables have it
}

// SettleCopy takes out of a copy what is the original's alone (login links, the address of a
// hidden login page, the lock of a running cron), gives it a title unless that is empty, and
// makes it a staging copy, or ends its being one. The site's plugins are not loaded. Errors:
// an *AccessError when the must-use plugin that guards a staging copy cannot be put in place.
func (c *CLI) SettleCopy(ctx context.Context, site Site, title string, staging bool) (CopySettled, error) {
	var got CopySettled
	if err := c.ask(ctx, site, settleCopy(title, staging), &got); err != nil {
		return CopySettled{}, err
	}
	got.Title, got.Version, got.SiteURL = cleanField(got.Title), cleanField(got.Version), cleanField(got.SiteURL)
	if got.Staging != staging || staging && got.Public {
		return got, fmt.Errorf("settling copy: %w: %+v", ErrNotApplied, got)
	}
	return got, nil
}

func settleCopy(title string, staging bool) Command {
	return access("settle-copy", struct {
		Title   string `json:"title"`
		Staging bool   `json:"staging"`
		Plugin  string `json:"plugin"`
	}{title, staging, muPlugin})
}

// BrokenValues are the values of a database that look serialized, or like JSON, and cannot be
// read by PHP.
type BrokenValues struct {
	Checked int64    `json:"checked"`
	Broken  int64    `json:"broken"`
	Where   []string `json:"where"` // table.column of the first ten
}

const brokenTime = 20 * time.Minute

// BrokenValues has PHP read every such value of the tables that begin with prefix ("" is all),
// as the site's user and without starting WordPress. No class of the site is made.
func (h *Host) BrokenValues(ctx context.Context, site Site, login Login, prefix string) (BrokenValues, error) {
	if err := site.check(); err != nil {
		return BrokenValues{}, err
	}
	question := struct {
		Host     string `json:"host"`
		Port     int    `json:"port"`
		Socket   string `json:"socket"`
		User     string `json:"user"`
		Password string `json:"password"`
		Name     string `json:"name"`
		Prefix   string `json:"prefix"`
	}{User: login.User, Password: login.Password, Name: login.Name, Prefix: prefix}
	switch network, addr := doorOf(login.Host, h.DB); network {
	case "unix":
		question.Host, question.Socket = "localhost", addr
	default:
		host, port, err := net.SplitHostPort(addr)
		if err == nil {
			_, err = fmt.Sscan(port, &question.Port)
		}
		if err != nil {
			return BrokenValues{}, fmt.Errorf("reading address of the database server: %w", err)
		}
		question.Host = host
	}
	in, err := json.Marshal(question)
	if err != nil {
		return BrokenValues{}, fmt.Errorf("encoding question: %w", err)
	}
	out, err := h.CLI.script(ctx, site, "serialized.php", in, brokenTime)
	if err != nil {
		return BrokenValues{}, fmt.Errorf("reading serialized values: %w", err)
	}
	var got BrokenValues
	if err := json.Unmarshal(out, &got); err != nil {
		return BrokenValues{}, fmt.Errorf("reading serialized values: %w: %w", ErrOutput, err)
	}
	for i, where := range got.Where {
		got.Where[i] = cleanField(where)
	}
	return got, nil
}

// script runs one of phpFiles by itself, as the site's user; what it prints is the answer.
func (c *CLI) script(ctx context.Context, site Site, name literal, in []byte, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	stdout, stderr := proc.Capped(maxStdout), proc.Capped(maxStderr)
	exit, err := proc.Run(ctx, proc.Spec{
		Path: c.php, Args: append(append([]string{}, phpFlags...), c.dirs.php(string(name))), Dir: c.dirs.empty,
		Env:   []string{"PATH=" + searchPath, "HOME=" + c.dirs.empty, "LANG=C.UTF-8"},
		Stdin: bytes.NewReader(in), Stdout: stdout, Stderr: stderr,
		As: site.User, Limits: c.limits, Keep: hooks.Keep, Started: hooks.Started,
	})
	if err != nil {
		return nil, err
	}
	if exit.Code != 0 || stdout.Omitted() > 0 {
		said := newRedactor(hooks.Secrets).clean(stderr.Bytes())
		return nil, fmt.Errorf("%s ended with status %d: %s", strings.TrimSuffix(string(name), ".php"), exit.Code, firstError(said))
	}
	return stdout.Bytes(), nil
}
