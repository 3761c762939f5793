package proc

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// The supervisor and the child are this same binary, so the three messages below have no
// version. Strings that become paths, arguments or variables travel as bytes, because JSON
// strings would silently rewrite what is not UTF-8.

// order goes from the worker to the supervisor, and on to the child as its go-ahead.
type order struct {
	Path   []byte
	Args   [][]byte
	Env    [][]byte
	Dir    []byte
	Cred   credential
	Limits []rlimit
	// Sandbox: no-new-privs and no capabilities. Off for trusted runs.
	Sandbox bool
	// Keep counts the descriptors that follow the control descriptor.
	Keep int
	// Hold: one more descriptor follows those, the write end of the program's input. It is
	// the supervisor's alone and stays open until opEOF.
	Hold bool
	// Group: one more descriptor follows those, the directory of the run's control group. It
	// is the supervisor's alone.
	Group bool
	// Walls is what files the child may reach; nil: what its user may.
	Walls *walls `json:",omitempty"`
	// Call makes the child run a registered function instead of a program.
	Call bool
}

// command goes from the worker to the supervisor while the run lives. The end of the
// stream means that the worker is gone, and is read as opKill.
type command struct {
	Op     string
	Signal syscall.Signal `json:",omitempty"`
	Grace  time.Duration  `json:",omitempty"`
}

const (
	opGo     = "go"     // let the child exec
	opSignal = "signal" // pass Signal to the program
	opStop   = "stop"   // SIGTERM to its group, everything killed after Grace
	opKill   = "kill"   // everything killed now
	opEOF    = "eof"    // the program's input was given whole
)

// report goes from the supervisor to the worker: the child's PID, then Running or Failed,
// then Ended. Failed may come at any time before Running.
type report struct {
	PID     int      `json:",omitempty"`
	Running bool     `json:",omitempty"`
	Failed  *failure `json:",omitempty"`
	Ended   *ending  `json:",omitempty"`
}

// failure is why a program could not be started; it unwraps to the errno.
type failure struct {
	Stage stage
	Errno syscall.Errno
}

func (f *failure) Error() string { return f.Stage.String() + ": " + f.Errno.Error() }
func (f *failure) Unwrap() error { return f.Errno }

// stage is where starting failed. It is a number on the wire because the child, which
// sends it, already belongs to the tenant: no text of its choice enters our errors.
type stage int

const (
	stageUnknown stage = iota
	stageSupervise
	stageSandbox
	stageFork
	stageVerify
	stageDescriptors
	stageDir
	stageSignals
	stageLimits
	stageExec
	stageEnclose
)

var stageNames = [...]string{
	"starting", "becoming supervisor", "dropping privileges", "forking", "verifying dropped privileges",
	"arranging descriptors", "entering working folder", "resetting signals", "setting limits", "executing program",
	"shutting off other files",
}

func (s stage) String() string {
	if s < 0 || int(s) >= len(stageNames) {
		s = stageUnknown
	}
	return stageNames[s]
}

// failed makes a failure of an error of package syscall or unix.
func failed(at stage, err error) *failure {
	errno := syscall.EIO
	errors.As(err, &errno)
	return &failure{Stage: at, Errno: errno}
}

// ending is the program's wait status; Stopped when we had begun to stop it before.
type ending struct {
	Status       syscall.WaitStatus
	User, System time.Duration
	MaxRSS       int64
	Stopped      bool
}

// newOrder translates a valid Spec.
func newOrder(s *Spec, cred credential, keep int, call bool) order {
	dir := s.Dir
	if dir == "" {
		dir = "/"
	}
	return order{
		Path: []byte(s.Path), Args: toBytes(s.Args), Env: toBytes(s.Env), Dir: []byte(dir),
		Cred: cred, Limits: s.Limits.rlimits(s.Trusted, cred.Set), Sandbox: !s.Trusted, Keep: keep, Call: call, Hold: s.StdinWhole,
		Walls: contained(s).Landlock.walls(s),
	}
}

func toBytes(in []string) [][]byte {
	out := make([][]byte, len(in))
	for i, s := range in {
		out[i] = []byte(s)
	}
	return out
}

func toStrings(in [][]byte) []string {
	out := make([]string, len(in))
	for i, b := range in {
		out[i] = string(b)
	}
	return out
}

// rawFD reads and writes a descriptor that has no *os.File: one would close the number
// when it is collected, and the helpers move descriptors to numbers of their own.
type rawFD int

func (fd rawFD) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("reading descriptor %d: %w", fd, err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (fd rawFD) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := syscall.Write(int(fd), p[done:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("writing descriptor %d: %w", fd, err)
		}
		done += n
	}
	return done, nil
}
