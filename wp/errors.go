package wp

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Classes of errors, for errors.Is.
var (
	// ErrOutput: a command printed something else than it should; the site's code is the
	// usual reason.
	ErrOutput = errors.New("wp-cli output not understood")
	// ErrOutputTooLong: it printed more than we keep.
	ErrOutputTooLong = errors.New("wp-cli output too long")
	// ErrNotApplied: the command said that all went well, and a second look says otherwise.
	ErrNotApplied = errors.New("wp-cli reported success but the change is not there")
	// ErrNoWordPress: there are no WordPress files, or no wp-config.php.
	ErrNoWordPress = errors.New("no WordPress installation")
	// ErrNotInstalled: the files are there, the tables are not.
	ErrNotInstalled = errors.New("WordPress is not installed in its database")
	// ErrDatabaseConnection: WordPress could not reach or enter its database. Often passes.
	ErrDatabaseConnection = errors.New("WordPress cannot connect to its database")
	// ErrStrangeConfig: the tenant cannot read wp-config.php, or it does not load
	// wp-settings.php itself. WP-CLI says the same of both.
	ErrStrangeConfig = errors.New("wp-config.php cannot be loaded")
	// ErrFatal: PHP ended with a fatal error, out of memory included.
	ErrFatal = errors.New("PHP fatal error")
)

// ExitError is a command that ended with another exit status than it should.
type ExitError struct {
	Command string // "core install"
	Code    int    // -1 when ended by a signal
	Stderr  string // cleaned and redacted, the end of it
	class   error
}

// known maps what WP-CLI and WordPress say (in English, as LANG and the missing user locale
// make sure for most of it) to classes.
var known = []struct {
	text  string
	class error
}{
	{"Error establishing a database connection", ErrDatabaseConnection},
	{"This does not seem to be a WordPress installation", ErrNoWordPress},
	{"'wp-config.php' not found", ErrNoWordPress},
	{"Strange wp-config.php file", ErrStrangeConfig},
	{"The site you have requested is not installed", ErrNotInstalled},
	{"Allowed memory size of", ErrFatal},
	{"Fatal error:", ErrFatal},
	{"There has been a critical error on this website", ErrFatal},
}

func newExitError(cmd Command, res Result) *ExitError {
	e := &ExitError{Command: cmd.Name(), Code: res.Exit.Code, Stderr: tail(strings.TrimSpace(res.Stderr), 2000)}
	for _, k := range known {
		if strings.Contains(res.Stderr, k.text) {
			e.class = k.class
			break
		}
	}
	return e
}

func (e *ExitError) Error() string {
	if said := firstError(e.Stderr); said != "" {
		return fmt.Sprintf("wp %s ended with status %d: %s", e.Command, e.Code, said)
	}
	return fmt.Sprintf("wp %s ended with status %d", e.Command, e.Code)
}

// Unwrap gives the class of the error, if it is a known one.
func (e *ExitError) Unwrap() error { return e.class }

// NeverStarted reports that WordPress did not start for a command, so that it changed nothing:
// its files, its wp-config.php or its database kept it from that.
func NeverStarted(err error) bool {
	for _, class := range []error{ErrNoWordPress, ErrStrangeConfig, ErrDatabaseConnection, ErrNotInstalled} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// firstError is the line that says most: WP-CLI's own error, else the last line.
func firstError(stderr string) string {
	last := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if said, ok := strings.CutPrefix(line, "Error: "); ok {
			return cleanField(said)
		}
		if line != "" {
			last = line
		}
	}
	return cleanField(last)
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for s != "" && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}
