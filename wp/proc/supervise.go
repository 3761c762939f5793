package proc

import (
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sweepSignal asks a supervisor to kill its run; Record.KillGroup sends it.
const sweepSignal = syscall.SIGUSR1

// supervisor is one run seen from the process above the program. It keeps the worker's
// user, so that a tenant cannot signal it, and it is the subreaper of everything below:
// a process that detaches becomes the supervisor's own child. It ends when it has none.
type supervisor struct {
	order   order
	toWork  *json.Encoder
	sigchld chan os.Signal
	sweepMe chan os.Signal

	child   int // the program's pid
	group   int // descriptor of its control group; -1 without one
	reaped  bool
	stopped bool
	ended   ending

	commands chan command
	started  chan *failure // nil: the program runs
	running  bool          // started has been received
}

// supervise is the life of the supervisor process; it returns its exit status.
func supervise() int {
	runtime.LockOSThread() // sandbox() changes this thread alone, and it is the one that forks
	s := &supervisor{
		toWork:   json.NewEncoder(rawFD(controlFD)),
		sigchld:  make(chan os.Signal, 1),
		sweepMe:  make(chan os.Signal, 1),
		commands: make(chan command),
		started:  make(chan *failure, 1),
	}
	signal.Notify(s.sigchld, syscall.SIGCHLD)
	signal.Notify(s.sweepMe, sweepSignal)
	// A service manager signals the whole unit. The worker decides what that means for a
	// run; here it is caught (not ignored, which the program would inherit) and dropped.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)

	dec := json.NewDecoder(rawFD(controlFD))
	if err := dec.Decode(&s.order); err != nil {
		return exitHelper // the worker died before it said what to run
	}
	s.group = -1
	if s.order.Group {
		s.group = s.groupFD()
	}
	gate, failure := s.fork()
	if failure != nil {
		s.send(report{Failed: failure})
		return exitHelper
	}
	s.send(report{PID: s.child})
	go s.readCommands(dec)
	s.watch(gate)
	s.sweep()
	s.awaitStart()
	s.ended.Stopped = s.stopped
	s.send(report{Ended: &s.ended})
	return 0
}

// send ignores errors: a worker that cannot read is gone, which readCommands sees too.
func (s *supervisor) send(r report) { _ = s.toWork.Encode(r) }

func (s *supervisor) readCommands(dec *json.Decoder) {
	for {
		var c command
		if err := dec.Decode(&c); err != nil {
			c = command{Op: opKill} // the worker is gone
			s.commands <- c
			return
		}
		s.commands <- c
	}
}

// fork starts the child, which waits at the returned gate for its order.
func (s *supervisor) fork() (gate int, f *failure) {
	if err := becomeSubreaper(); err != nil {
		return 0, failed(stageSupervise, err)
	}
	if s.order.Sandbox {
		if err := sandbox(); err != nil {
			return 0, failed(stageSandbox, err)
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, failed(stageFork, err)
	}
	attr := &syscall.ProcAttr{
		Env:   []string{"GOMAXPROCS=1"}, // fewer threads to start before execve
		Files: []uintptr{0, 1, 2, uintptr(pair[1])},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	for i := range s.order.Keep {
		attr.Files = append(attr.Files, uintptr(controlFD+1+i))
	}
	if s.order.Cred.Set { // no Groups: setgroups(2) with an empty list
		attr.Sys.Credential = &syscall.Credential{Uid: s.order.Cred.UID, Gid: s.order.Cred.GID}
	}
	if s.order.Group { // in it from its first instruction on
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, s.group
	}
	role := roleProgram
	if s.order.Call {
		role, attr.Env = roleCall, toStrings(s.order.Env)
		if s.order.Walls != nil {
			role = roleEnclose
		}
	}
	if s.child, err = syscall.ForkExec(selfExe, []string{role}, attr); err != nil {
		return 0, failed(stageFork, err)
	}
	unix.Close(pair[1])
	return pair[0], releaseStdio()
}

// becomeSubreaper prepares this process. Descriptors above stderr become close-on-exec, so
// that the child gets only those it is given.
func becomeSubreaper() error {
	syscall.Umask(0o022)
	if err := unix.CloseRange(controlFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// releaseStdio lets go of the program's pipes, so that their readers and writers see its
// end, and keeps the three numbers taken.
func releaseStdio() *failure {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed(stageSupervise, err)
	}
	defer unix.Close(null)
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return failed(stageSupervise, err)
		}
	}
	return nil
}

// groupFD is the directory of the run's control group.
func (s *supervisor) groupFD() int {
	fd := controlFD + 1 + s.order.Keep
	if s.order.Hold {
		fd++
	}
	return fd
}

// letGo closes the input of the program, which the worker has written to its end.
func (s *supervisor) letGo() {
	if s.order.Hold {
		unix.Close(controlFD + 1 + s.order.Keep)
		s.order.Hold = false
	}
}

// release hands the child its order and learns what became of it. The child is the tenant's
// and may be stopped or altered by it: this must not block the loop, nor read much.
func (s *supervisor) release(gate int) {
	defer unix.Close(gate)
	if err := json.NewEncoder(rawFD(gate)).Encode(&s.order); err != nil {
		s.started <- failed(stageUnknown, err)
		return
	}
	var f failure
	if err := json.NewDecoder(io.LimitReader(rawFD(gate), 512)).Decode(&f); err != nil {
		s.started <- nil // closed by execve
		return
	}
	s.started <- &f
}

// watch serves the run until the program has ended or is to be killed.
func (s *supervisor) watch(gate int) {
	var grace <-chan time.Time
	for !s.reaped {
		select {
		case <-s.sigchld:
			s.reap()
		case f := <-s.started:
			s.reportStart(f)
		case <-s.sweepMe:
			return
		case <-grace:
			return
		case c := <-s.commands:
			switch c.Op {
			case opGo:
				go s.release(gate)
			case opEOF:
				s.letGo()
			case opSignal:
				_ = syscall.Kill(s.child, c.Signal) // not reaped, so the pid is still its own
			case opStop:
				s.stopped = true
				_ = syscall.Kill(-s.child, syscall.SIGTERM)
				_ = syscall.Kill(-s.child, syscall.SIGCONT)
				if grace == nil { // a second stop does not prolong the first
					grace = time.After(c.Grace)
				}
			default:
				return
			}
		}
	}
}

func (s *supervisor) reportStart(f *failure) {
	s.running = true
	if f != nil && s.stopped {
		return // it could not read its order because we had stopped it
	}
	s.send(report{Running: f == nil, Failed: f})
}

// awaitStart sends a start report that was overtaken by the program's end. The wait is
// bounded because the tenant may have kept the gate open.
func (s *supervisor) awaitStart() {
	if s.running || s.stopped {
		return
	}
	select {
	case f := <-s.started:
		s.reportStart(f)
	case <-time.After(time.Second):
	}
}

// sweep kills every descendant, round after round, until there is none.
func (s *supervisor) sweep() {
	if !s.reaped {
		s.stopped = true
	}
	if s.reap() {
		return
	}
	if s.group >= 0 {
		killGroup(s.group)
	}
	// Only this thread sweeps, and it must get its turn among a tenant's busy processes. An
	// unprivileged supervisor is refused and waits in the queue like everybody.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	for pause := time.Millisecond; !s.reap(); pause = min(2*pause, 100*time.Millisecond) {
		// An error here (say, no memory for a list) is met again or gone in the next round.
		_ = killAll(func() ([]stat, error) { return descendants(os.Getpid()) })
		select {
		case <-s.sigchld:
		case <-time.After(pause):
		}
	}
}

// reap collects what has ended and reports whether no child is left. Orphans below become
// our children, so "no child" means "no descendant".
func (s *supervisor) reap() (none bool) {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WALL, &usage)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return true // ECHILD
		case pid == 0:
			return false
		case pid == s.child && !s.reaped:
			s.reaped = true
			s.ended = ending{
				Status: status,
				User:   time.Duration(usage.Utime.Nano()),
				System: time.Duration(usage.Stime.Nano()),
				MaxRSS: usage.Maxrss << 10,
			}
		}
	}
}
