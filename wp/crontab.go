package wp

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

const (
	maxCrontab  = 1 << 20
	crontabTime = 30 * time.Second
)

// CronLines lists the lines of the account's crontab that run something of the install: that
// name its docroot, or call its wp-cron.php. A node without crontab(1) has none.
func (h *Host) CronLines(ctx context.Context, site Site) ([]string, error) {
	lines, err := h.crontab(ctx, site)
	if err != nil {
		return nil, err
	}
	var mine []string
	for _, line := range lines {
		if cronOf(site, line) {
			mine = append(mine, strings.TrimSuffix(line, "\n"))
		}
	}
	return mine, nil
}

// RemoveCron takes those lines out; every other line stays as it is.
func (h *Host) RemoveCron(ctx context.Context, site Site) error {
	lines, err := h.crontab(ctx, site)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return cronOf(site, line) })
	if len(kept) == len(lines) {
		return nil
	}
	_, exit, err := h.runCrontab(ctx, site, strings.Join(kept, ""), "-")
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit status %d", exit.Code)
	}
	if err != nil {
		return fmt.Errorf("writing crontab of %s: %w", site.Account, err)
	}
	return nil
}

// crontab reads the lines, each with its end.
func (h *Host) crontab(ctx context.Context, site Site) ([]string, error) {
	out, exit, err := h.runCrontab(ctx, site, "", "-l")
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading crontab of %s: %w", site.Account, err)
	case exit.Code != 0: // "no crontab for alice", and accounts that may have none
		return nil, nil
	}
	return slices.Collect(strings.Lines(out)), nil
}

// runCrontab runs crontab(1) with the worker's own rights, as it needs its set-group-id bit:
// it reads nothing of the tenant's but the table. A node without it answers like an empty one.
func (h *Host) runCrontab(ctx context.Context, site Site, input, action string) (string, proc.Exit, error) {
	program := h.Crontab
	if program == "" {
		var err error
		if program, err = findProgram("crontab", ""); err != nil {
			return "", proc.Exit{}, nil
		}
	}
	args := []string{action}
	if os.Geteuid() == 0 {
		if reason := ValidAccount(site.User.Name); reason != "" {
			return "", proc.Exit{}, fmt.Errorf("user name %s", reason)
		}
		args = []string{"-u", site.User.Name, action}
	}
	ctx, cancel := context.WithTimeout(ctx, crontabTime)
	defer cancel()
	out := proc.Capped(maxCrontab)
	spec := proc.Spec{Path: program, Args: args, Env: []string{"PATH=" + searchPath, "LANG=C.UTF-8"}, Stdin: strings.NewReader(input), Stdout: out, Trusted: true}
	exit, err := proc.Run(ctx, spec)
	if err == nil && out.Omitted() > 0 {
		err = ErrOutputTooLong
	}
	return string(out.Bytes()), exit, err
}

// cronOf decides whether a line of a crontab is about an install.
func cronOf(site Site, line string) bool {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return false
	}
	_, address, _ := strings.Cut(site.URL, "://")
	return mentions(line, site.Docroot, "", "/ \t'\";|&)") || mentions(line, address+"/wp-cron.php", "/ \t'\"", "? \t'\";|&)")
}

// mentions finds a word in a line: between one of the characters before and one of those
// behind, or at an end. No characters before: anything may be there.
func mentions(line, word, before, behind string) bool {
	for rest, from := line, 0; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(word)
		if (before == "" || start == 0 || strings.ContainsRune(before, rune(line[start-1]))) &&
			(end == len(line) || strings.ContainsRune(behind, rune(line[end]))) {
			return true
		}
		from = start + 1
		rest = line[from:]
	}
}
