package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Identity is the Unix user a child runs as. The zero value means "as the
// invoking user" and is refused when that is root, unless Spec.Trusted.
type Identity struct {
	UID  uint32
	GID  uint32
	Name string // login name, for messages and for callers that build USER
	Home string // home folder, for callers that build HOME
	Tree string // what of the file system is the user's besides Home, as in PATH: its hosting account
}

// Spec says what to run, as whom, and where its bytes go.
type Spec struct {
	// Path is the absolute path of the program; Args are its arguments without argv[0].
	Path string
	Args []string
	// Env is the complete environment: nothing is inherited.
	Env []string
	// Dir is entered as the child's own user; "/" when empty.
	Dir string

	// A nil Stdin, Stdout or Stderr is /dev/null. An *os.File is handed to the child as it
	// is; anything else is fed through a pipe. Stdout and Stderr may be the same writer and
	// are then written from one goroutine. A writer that fails stops the child.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// StdinWhole: the program meets the end of its input only when Stdin has ended without
	// error. When Stdin fails, or the worker is killed, the program is killed before it could
	// take what it has for the whole. Stdin must not be an *os.File.
	StdinWhole bool

	As     Identity
	Limits Limits

	// Writable are directories that the run may change besides those of its identity. They
	// matter with Landlock alone.
	Writable []string

	// Trusted lifts the identity check and the sandbox. It is for servers and tools of our
	// own (redis, mariadb, restic as root), never for anything that loads tenant code.
	Trusted bool

	within *Containment // instead of Contain's, for tests

	// Keep are inherited as descriptors 3, 4, … (a site's lock). They stay open until the
	// last process of the run is gone.
	Keep []*os.File

	// Grace is the time between SIGTERM and SIGKILL when the run is stopped; default 5 s.
	Grace time.Duration

	// Started is called once, before the program is exec'ed. When it fails nothing is run,
	// so a run that could not be recorded never happens.
	Started func(Record) error
}

// Exit is how a run ended. It is filled as far as known when an error is returned as well.
type Exit struct {
	Code   int            // exit status; -1 when ended by a signal
	Signal syscall.Signal // the signal that ended it, or 0
	Reason string         // why we stopped it: "", "timeout", "cancelled" or "killed"
	Wall   time.Duration
	User   time.Duration // CPU of the program and the children it waited for
	System time.Duration
	// OutOfMemory: the run was ended for using more than its control group has.
	OutOfMemory bool
	MaxRSS      int64 // bytes; includes the few MiB of the helper that became the program
}

// Reasons of Exit.Reason.
const (
	ReasonTimeout   = "timeout"
	ReasonCancelled = "cancelled"
	ReasonKilled    = "killed"
)

const defaultGrace = 5 * time.Second

// Errors a caller may want to tell apart with errors.Is.
var (
	// ErrIdentity: the Spec asks for a user that tenant code may not run as.
	ErrIdentity = errors.New("identity not allowed")
	// ErrInvalid: the Spec itself is wrong (relative path, NUL byte, malformed variable).
	ErrInvalid = errors.New("invalid spec")
	// ErrNoMain: the binary does not call proc.Main first thing in main or TestMain.
	ErrNoMain = errors.New("proc.Main was not called by this binary")
	// ErrLost: the supervisor died without a report; what was left of the run is killed.
	ErrLost = errors.New("supervisor lost")
	// ErrStillAlive: a process did not go away after SIGKILL (uninterruptible sleep). The
	// descriptors in Keep are still held by it.
	ErrStillAlive = errors.New("process still alive after kill")
)

func (s *Spec) validate() error {
	if !filepath.IsAbs(s.Path) {
		return fmt.Errorf("%w: path %q is not absolute", ErrInvalid, s.Path)
	}
	if _, isFile := s.Stdin.(*os.File); s.StdinWhole && (isFile || s.Stdin == nil) {
		return fmt.Errorf("%w: StdinWhole needs a reader", ErrInvalid)
	}
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("%w: dir %q is not absolute", ErrInvalid, s.Dir)
	}
	if strings.ContainsRune(s.Path, 0) || strings.ContainsRune(s.Dir, 0) {
		return fmt.Errorf("%w: NUL byte in path", ErrInvalid)
	}
	for _, arg := range s.Args {
		if strings.ContainsRune(arg, 0) { // the argument itself may be private: not shown
			return fmt.Errorf("%w: NUL byte in an argument", ErrInvalid)
		}
	}
	for _, kv := range s.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || strings.ContainsRune(kv, 0) {
			return fmt.Errorf("%w: malformed environment variable %q", ErrInvalid, name)
		}
	}
	for i, f := range s.Keep {
		if f == nil {
			return fmt.Errorf("%w: Keep[%d] is nil", ErrInvalid, i)
		}
	}
	return nil
}
