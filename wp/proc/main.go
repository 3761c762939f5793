package proc

import (
	"os"
	"sync/atomic"
	"syscall"
)

// The roles in which this binary starts itself again, given as argv[0].
const (
	roleSupervisor = "wptk-supervisor"
	roleProgram    = "wptk-child" // becomes the program by execve
	roleCall       = "wptk-call"  // runs a registered function
	roleEnclose    = "wptk-walls" // becomes roleCall, restricted
)

// selfExe is the running binary itself, also after an upgrade has replaced its file.
const selfExe = "/proc/self/exe"

// controlFD is the descriptor by which a helper talks to its parent.
const controlFD = 3

// exitHelper is the exit status of a helper that could not do its work.
const exitHelper = 125

var mainCalled atomic.Bool

// The helpers leave by syscall.Exit: they have nothing buffered, and os.Exit waits a second
// in binaries built with the race detector.

// init serves the roles that every run goes through. It is here and not in Main because
// the Go linker initialises a package as soon as its own imports are ready: the helper
// starts without waiting for net/http, Prometheus, Redis and the rest of a big binary.
func init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case roleSupervisor:
		syscall.Exit(supervise())
	case roleProgram:
		syscall.Exit(becomeProgram())
	case roleEnclose:
		syscall.Exit(encloseCall())
	}
}

// Main must be called first thing in main and TestMain of every binary that runs children.
// In a process that was started for a Call it runs the function and does not return;
// otherwise it returns at once. Functions must be registered by then, so in init.
func Main() {
	mainCalled.Store(true)
	if len(os.Args) > 0 && os.Args[0] == roleCall {
		syscall.Exit(serveCall())
	}
}
