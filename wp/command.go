package wp

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// literal is a word of ours: a verb or the name of a flag. The type is not exported and
// nothing converts to it, so only a constant written in this package's source can be one
// (the idea is gitea's modules/git/gitcmd). TestNothingBecomesALiteral guards that.
type literal string

// Command is one run of WP-CLI, ready but for the site. It is a value: every method
// returns a changed copy. The first thing that was wrong is kept and returned by CLI.Run.
type Command struct {
	verbs   []string
	args    []string // behind the verbs, in order
	prompts []prompt
	stdin   string   // what a command reads instead of a prompt
	hidden  []string // secrets inside stdin

	skipPlugins bool    // do not load the site's plugins and themes
	loads       literal // one of phpFiles that the command needs besides run.php
	install     bool    // it runs before WordPress has an address
	engine      *engineRun
	data        bool // the output is read by a parser, and not shown in the log
	timeout     time.Duration
	err         error
}

// prompt is a value that goes in by standard input: an argument can be read in /proc by
// every user of the host.
type prompt struct {
	name   literal
	secret string
}

const (
	// WP-CLI reads a prompted value of at most 1,024 bytes, up to the end of the line.
	maxSecret = 512
	// Linux takes 128 KiB per argument; nothing honest comes near this.
	maxValue = 8 << 10

	defaultTimeout = 2 * time.Minute
)

var errValue = errors.New("value refused")

func command(verbs ...literal) Command {
	c := Command{timeout: defaultTimeout}
	for _, v := range verbs {
		c.verbs = append(c.verbs, string(v))
	}
	return c
}

// Name is the command without its values, such as "core install": the label of metrics.
func (c Command) Name() string { return strings.Join(c.verbs, " ") }

// flag adds --name.
func (c Command) flag(name literal) Command { return c.add("--" + string(name)) }

// value adds --name=value, one element, so that no value is ever taken for a flag.
func (c Command) value(name literal, value string) Command {
	if err := checkValue(value); err != nil {
		return c.fail(fmt.Errorf("--%s: %w", name, err))
	}
	return c.add("--" + string(name) + "=" + value)
}

// optional is value, left out when the value is empty.
func (c Command) optional(name literal, value string) Command {
	if value == "" {
		return c
	}
	return c.value(name, value)
}

// fixed adds --name=value where the value is a word of ours as well.
func (c Command) fixed(name, value literal) Command {
	return c.add("--" + string(name) + "=" + string(value))
}

// arg adds a positional value. WP-CLI 2 knows no "--" that would end the flags, so a value
// with a hyphen in front cannot be passed and is refused.
func (c Command) arg(value string) Command {
	switch err := checkValue(value); {
	case err != nil:
		return c.fail(fmt.Errorf("argument: %w", err))
	case value == "":
		return c.fail(fmt.Errorf("argument: %w: it is empty", errValue))
	case value[0] == '-':
		return c.fail(fmt.Errorf("argument: %w: it begins with a hyphen", errValue))
	}
	return c.add(value)
}

// file adds a path of ours as a positional value.
func (c Command) file(path string) Command {
	if !filepath.IsAbs(path) {
		return c.fail(fmt.Errorf("argument: %w: path %q is not absolute", errValue, path))
	}
	return c.arg(path)
}

// secret adds --prompt=name and the value to standard input.
func (c Command) secret(name literal, value string) Command {
	switch err := checkValue(value); {
	case err != nil:
		return c.fail(fmt.Errorf("%s: %w", name, err))
	case value == "" || value == "0":
		// PHP takes both for "no answer", and WP-CLI would then make up a value of its own.
		return c.fail(fmt.Errorf("%s: %w: it must not be empty or 0", name, errValue))
	case len(value) > maxSecret:
		return c.fail(fmt.Errorf("%s: %w: it is longer than %d bytes", name, errValue, maxSecret))
	}
	c.prompts = append(c.prompts[:len(c.prompts):len(c.prompts)], prompt{name, value})
	return c
}

// input gives the command a value on standard input that it reads to the end.
func (c Command) input(value string) Command {
	c.stdin = value
	return c
}

// hiding names a secret inside the input, to be blotted out of output and log.
func (c Command) hiding(secret string) Command {
	c.hidden = append(c.hidden[:len(c.hidden):len(c.hidden)], secret)
	return c
}

// withoutPlugins keeps the site's plugins and themes from being loaded. Files in
// mu-plugins, drop-ins and wp-config.php still are: this saves time, it protects nothing.
func (c Command) withoutPlugins() Command { c.skipPlugins = true; return c }

func (c Command) duringInstall() Command { c.install = true; return c.loading("install-guard.php") }

// loading has WP-CLI load a file of phpFiles, which may define the command itself.
func (c Command) loading(file literal) Command { c.loads = file; return c }

func (c Command) forParser() Command { c.data = true; return c }

func (c Command) within(d time.Duration) Command { c.timeout = d; return c }

func (c Command) add(arg string) Command {
	// The capped slice makes append copy, so that two commands built from one stay apart.
	c.args = append(c.args[:len(c.args):len(c.args)], arg)
	return c
}

func (c Command) fail(err error) Command {
	if c.err == nil {
		c.err = fmt.Errorf("building wp %s: %w", c.Name(), err)
	}
	return c
}

// checkValue refuses what has no place in any value that we pass on.
func checkValue(s string) error {
	switch {
	case len(s) > maxValue:
		return fmt.Errorf("%w: it is longer than %d bytes", errValue, maxValue)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: it is not UTF-8", errValue)
	case strings.ContainsFunc(s, isControl):
		return fmt.Errorf("%w: it has a control character", errValue)
	}
	return nil
}

// isControl also knows the line and paragraph separators, which some readers of logs and
// configuration take for an end of line.
func isControl(r rune) bool {
	return r < 0x20 || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029'
}
