// Package wptest stands in for PHP and WP-CLI in tests: the test binary itself, started
// again under the name php, answers as a recorded run did.
package wptest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// scriptName is the file beside the fake php that says what to answer.
const scriptName = "script.txtar"

// statusNoRun is the exit status of a fake that was asked for a run it has no answer to.
const statusNoRun = 97

// Run is one recorded run of WP-CLI.
type Run struct {
	Args   []string // behind the phar, in the form of Normal
	Stdin  string
	Stdout string // the frame of the command's own output is written as {{begin}} and {{end}}
	Stderr string
	Exit   int
}

// Main must be called in TestMain. In a process that was started as the fake php it plays
// its part and does not return.
func Main() {
	exe, err := os.Executable()
	if err != nil || filepath.Base(exe) != "php" {
		return
	}
	script, err := os.ReadFile(filepath.Join(filepath.Dir(exe), scriptName))
	if err != nil {
		return // a test binary that happens to be called php
	}
	// Not os.Exit: with the race detector that sleeps for a second when all went well.
	syscall.Exit(play(Parse(txtar.Parse(script)), os.Args[1:]))
}

func play(runs []Run, args []string) int {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake php: reading input:", err)
		return statusNoRun
	}
	args = Normal(args)
	for _, r := range runs {
		if slices.Equal(r.Args, args) && r.Stdin == string(input) {
			nonce := os.Getenv("WPTK_NONCE")
			out := strings.NewReplacer("{{begin}}\n", "<<wptk "+nonce+"\n", "\n{{end}}", "\nwptk>> "+nonce).Replace(r.Stdout)
			fmt.Print(out)
			fmt.Fprint(os.Stderr, r.Stderr)
			return r.Exit
		}
	}
	fmt.Fprintf(os.Stderr, "fake php: no recorded run for\n%s\nwith input %q\n", strings.Join(args, "\n"), input)
	return statusNoRun
}

// Normal drops what differs between machines: PHP's own flags, and the folders of paths.
func Normal(args []string) []string {
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasSuffix(a, ".phar") }); i >= 0 {
		args = args[i+1:]
	}
	out := make([]string, len(args))
	for i, arg := range args {
		flag, value, ok := strings.Cut(arg, "=")
		switch {
		case ok && (flag == "--path" || flag == "--require") && filepath.IsAbs(value):
			arg = flag + "=" + filepath.Base(value)
		case strings.HasSuffix(arg, ".zip") && filepath.IsAbs(arg):
			arg = filepath.Base(arg)
		}
		out[i] = arg
	}
	return out
}

// PHP makes a fake php that knows these runs, and returns its path.
func PHP(t testing.TB, runs ...Run) string {
	t.Helper()
	dir := Dir(t)
	if err := os.WriteFile(filepath.Join(dir, scriptName), txtar.Format(Format(runs)), 0o644); err != nil {
		t.Fatal(err)
	}
	php := filepath.Join(dir, "php")
	own, err := ownBinary()
	if err == nil {
		err = os.Link(own, php)
	}
	if err != nil {
		t.Fatal(err)
	}
	return php
}

// ownBinary is one copy of the test binary that tenants can run; the original is in a
// folder of root's.
var ownBinary = sync.OnceValues(func() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(os.TempDir(), "wptk-test-php-"+strconv.Itoa(os.Getpid()))
	in, err := os.Open(exe)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	copies.path = path
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return "", err
	}
	return path, out.Close()
})

var copies struct{ path string }

// Cleanup removes the copy of the test binary. Call it when the tests have run.
func Cleanup() {
	if copies.path != "" {
		os.Remove(copies.path) //nolint:errcheck // a temporary file more, at worst
	}
}

// Parse reads runs: files args, stdin, stdout, stderr and exit, one set after the other.
// Only args is needed.
func Parse(a *txtar.Archive) []Run {
	var runs []Run
	for _, f := range a.Files {
		text := string(f.Data)
		if f.Name == "args" {
			runs = append(runs, Run{Args: strings.Split(strings.TrimSuffix(text, "\n"), "\n")})
		}
		if len(runs) == 0 {
			continue
		}
		r := &runs[len(runs)-1]
		switch f.Name {
		case "stdin":
			r.Stdin = strings.ReplaceAll(text, "{{nonl}}\n", "")
		case "stdout":
			r.Stdout = strings.ReplaceAll(text, "{{nonl}}\n", "")
		case "stderr":
			r.Stderr = strings.ReplaceAll(text, "{{nonl}}\n", "")
		case "exit":
			r.Exit, _ = strconv.Atoi(strings.TrimSpace(text))
		}
	}
	return runs
}

// Format is the inverse of Parse.
func Format(runs []Run) *txtar.Archive {
	a := new(txtar.Archive)
	add := func(name, text string) {
		if text == "" {
			return
		}
		if !strings.HasSuffix(text, "\n") {
			text += "{{nonl}}\n" // txtar ends every file with a line feed
		}
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
	}
	for _, r := range runs {
		add("args", strings.Join(r.Args, "\n")+"\n")
		add("stdin", r.Stdin)
		add("stdout", r.Stdout)
		add("stderr", r.Stderr)
		if r.Exit != 0 {
			add("exit", strconv.Itoa(r.Exit)+"\n")
		}
	}
	return a
}
