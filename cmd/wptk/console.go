package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

// console is where a command reads and writes.
type console struct {
	in       *os.File
	out, err io.Writer
	terminal bool // out is one: bars and colours
	colour   bool
	getenv   func(string) string
	now      func() time.Time
	pause    func(context.Context, time.Duration) error
}

func systemConsole() *console {
	terminal := term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
	return &console{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: terminal,
		colour: terminal && os.Getenv("NO_COLOR") == "", // https://no-color.org
		getenv: os.Getenv, now: time.Now, pause: pause,
	}
}

// clean makes text of a server or a tenant safe to print: a site's title must not
// move the cursor or set the terminal's colours.
func clean(s string) string {
	return strings.Join(strings.Fields(proc.CleanText([]byte(s))), " ")
}

// Colours of equal length, so that tabwriter, which counts their bytes as width,
// still makes straight columns.
const (
	plainColour = "\x1b[39m"
	green       = "\x1b[32m"
	yellow      = "\x1b[33m"
	red         = "\x1b[31m"
	endColour   = "\x1b[0m"
)

func (c *console) paint(colour, s string) string {
	if !c.colour {
		return s
	}
	return colour + s + endColour
}

// status colours the status of an operation, a node or an install.
func (c *console) status(s string) string {
	colour := plainColour
	switch s {
	case string(tasks.Succeeded), "up", "ok":
		colour = green
	case string(tasks.Running), string(tasks.Unverified), "draining", "suspended", "stalled":
		colour = yellow
	case string(tasks.Failed), string(tasks.RolledBack), "lost", "broken", "unreadable":
		colour = red
	}
	return c.paint(colour, clean(s))
}

// ago is how long something is past, in the largest fitting unit.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	switch {
	case d < -time.Second:
		return "in " + short(-d)
	case d < 2*time.Second:
		return "now"
	}
	return short(d) + " ago"
}

func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// clock writes a running time as 0:07 or 1:02:03.
func clock(d time.Duration) string {
	s := int(max(0, d).Seconds())
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
