package proc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a run that has been started.
type Process struct {
	name    string
	grace   time.Duration
	began   time.Time
	sup     *os.Process
	control *os.File
	record  Record
	pid     int
	pipes   *pipes
	group   *group // nil: it has none of its own

	started chan struct{} // closed when the program runs or has failed to
	failed  error         // why it failed to; set before started is closed
	done    chan struct{} // closed when exit and err are set
	exit    Exit
	err     error

	mu     sync.Mutex // guards control writes and the three below
	reason string
	cause  error
	ioErr  error
}

// Run runs a program to its end. The error says that it could not be run, was stopped by
// ctx (errors.Is tells context.DeadlineExceeded from context.Canceled), or that its input
// or output failed. A nonzero exit status is no error. When Run returns, no process of the
// run is left, unless the error is ErrStillAlive.
func Run(ctx context.Context, s Spec) (Exit, error) {
	p, err := Start(ctx, s)
	if err != nil {
		return Exit{Code: -1}, err
	}
	return p.Wait()
}

// Start starts a program and returns when it has been exec'ed. Wait must be called. The end
// of ctx stops it as Stop does.
func Start(ctx context.Context, s Spec) (*Process, error) {
	p, err := start(ctx, &s, nil)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", filepath.Base(s.Path), err)
	}
	return p, nil
}

// PID is the program's process id.
func (p *Process) PID() int { return p.pid }

// Record identifies the run for a later worker.
func (p *Process) Record() Record { return p.record }

// Wait waits until no process of the run is left and its output has been written.
func (p *Process) Wait() (Exit, error) {
	<-p.done
	if p.err != nil {
		return p.exit, fmt.Errorf("running %s: %w", p.name, p.err)
	}
	return p.exit, nil
}

// Done is closed when Wait would return at once.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig to the program, not to its children.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.command(command{Op: opSignal, Signal: sig})
}

// Stop sends SIGTERM to the program's process group, kills what is left after Spec.Grace or
// at the end of ctx, and waits. How the program ended is for Wait to say.
func (p *Process) Stop(ctx context.Context) error {
	p.stop(ReasonKilled, nil, p.grace)
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		<-p.done
	}
	if errors.Is(p.err, ErrStillAlive) {
		return p.err
	}
	return nil
}

// Kill kills every process of the run. It does not wait.
func (p *Process) Kill() { p.stop(ReasonKilled, nil, 0) }

// start does the work of Start and Call; for a Call, answer receives what the function
// writes to its first descriptor.
func start(ctx context.Context, s *Spec, answer writer) (*Process, error) {
	if !mainCalled.Load() {
		return nil, ErrNoMain
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	cred, err := credentialFor(s.As, s.Trusted, uint32(os.Geteuid()), uint32(os.Getegid()))
	if err != nil {
		return nil, err
	}
	p := &Process{
		name: filepath.Base(s.Path), grace: s.Grace, began: time.Now(),
		started: make(chan struct{}), done: make(chan struct{}),
	}
	if p.grace == 0 {
		p.grace = defaultGrace
	}
	if p.pipes, err = newPipes(s, answer); err != nil {
		return nil, err
	}
	if p.group, err = contained(s).Groups.enter(); err != nil {
		p.pipes.close()
		return nil, err
	}
	if err := p.spawn(); err != nil {
		p.pipes.close()
		_, ending := p.group.end(time.Second)
		return nil, errors.Join(err, ending)
	}
	o := newOrder(s, cred, len(p.pipes.extra), answer != nil)
	o.Group = p.group != nil
	return p, p.launch(ctx, s, o)
}

// spawn starts the supervisor in a session of its own.
func (p *Process) spawn() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("making control socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil { // for the runtime's poller
		unix.Close(pair[0])
		return fmt.Errorf("preparing control socket: %w", err)
	}
	p.control = os.NewFile(uintptr(pair[0]), "control")
	files := append(append(p.pipes.stdio[:], theirs), p.pipes.extra...)
	if p.pipes.hold != nil {
		files = append(files, p.pipes.hold)
	}
	if p.group != nil {
		files = append(files, p.group.fd)
	}
	p.sup, err = os.StartProcess(selfExe, []string{roleSupervisor}, &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	p.pipes.closeTheirs()
	p.group.release()
	if err != nil {
		p.control.Close()
		return fmt.Errorf("starting supervisor: %w", err)
	}
	return nil
}

// launch gives the order, has the run recorded, lets the program go and waits for it to be
// exec'ed. On error nothing of the run is left.
func (p *Process) launch(ctx context.Context, s *Spec, o order) error {
	record, err := newRecord(p.sup.Pid, o.Cred.UID)
	if p.group != nil {
		record.Group = p.group.dir
	}
	p.record = record
	go p.follow()
	ordered := make(chan struct{}) // the order must come first, and a short input is soon given
	p.pipes.copy(p.fail, func() {
		<-ordered
		_ = p.command(command{Op: opEOF}) // fails when the run is over
	})
	go p.watch(ctx)
	if err == nil {
		err = p.send(o)
	}
	close(ordered)
	if err == nil && s.Started != nil {
		if err = s.Started(record); err != nil {
			err = fmt.Errorf("recording the run: %w", err)
		}
	}
	if err == nil {
		err = p.command(command{Op: opGo})
	}
	if err == nil {
		<-p.started
		err = p.failed
	} else {
		p.Kill()
	}
	if err != nil {
		<-p.done
	}
	return err
}

// watch stops the run at the end of ctx.
func (p *Process) watch(ctx context.Context) {
	select {
	case <-p.done:
	case <-ctx.Done():
		reason, cause := ReasonCancelled, ctx.Err()
		if errors.Is(cause, context.DeadlineExceeded) {
			reason = ReasonTimeout
		}
		if why := context.Cause(ctx); !errors.Is(why, cause) {
			cause = fmt.Errorf("%w: %w", cause, why)
		}
		p.stop(reason, cause, p.grace)
	}
}

// fail is called by the copying goroutines when the caller's reader or writer failed.
func (p *Process) fail(err error) {
	p.mu.Lock()
	if p.ioErr == nil {
		p.ioErr = err
	}
	p.mu.Unlock()
	p.Kill()
}

// stop asks the supervisor to end the run. The first reason stands. If the supervisor does
// not obey in time it is killed, which follow sees as a lost supervisor.
func (p *Process) stop(reason string, cause error, grace time.Duration) {
	p.mu.Lock()
	if p.reason == "" {
		p.reason, p.cause = reason, cause
	}
	p.mu.Unlock()
	c := command{Op: opKill}
	if grace > 0 {
		c = command{Op: opStop, Grace: grace}
	}
	if p.command(c) != nil {
		return // it is gone or going; follow sees to the rest
	}
	patience := time.AfterFunc(grace+killPatience, func() { _ = p.sup.Kill() })
	go func() {
		<-p.done
		patience.Stop()
	}()
}

func (p *Process) command(c command) error {
	if err := p.send(c); err != nil {
		return fmt.Errorf("commanding supervisor: %w", err)
	}
	return nil
}

func (p *Process) send(message any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return json.NewEncoder(p.control).Encode(message)
}

// follow reads the supervisor's reports to the end and settles the run.
func (p *Process) follow() {
	var ended *ending
	started := false
	for dec := json.NewDecoder(p.control); ; {
		var r report
		if err := dec.Decode(&r); err != nil {
			break // the supervisor has ended
		}
		switch {
		case r.PID != 0:
			p.pid = r.PID
		case r.Ended != nil:
			ended = r.Ended
		case !started && (r.Running || r.Failed != nil):
			if r.Failed != nil {
				p.failed = r.Failed
			}
			started = true
			close(p.started)
		}
	}
	p.settle(ended, started)
	if !started {
		p.failed = p.err
		close(p.started)
	}
	close(p.done)
}

// settle reaps the supervisor, drains the output and sets exit and err.
func (p *Process) settle(ended *ending, started bool) {
	_, waitErr := p.sup.Wait()
	var lost error
	if ended == nil && (!started || p.failed == nil) {
		lost = errors.Join(ErrLost, waitErr, p.record.killSession(time.Second))
	}
	patience := time.Second
	if lost != nil {
		patience = killPatience
	}
	outOfMemory, err := p.group.end(patience)
	if err != nil {
		lost = errors.Join(lost, err)
	}
	p.pipes.drain()
	p.control.Close()

	p.mu.Lock()
	defer p.mu.Unlock()
	p.exit = Exit{Code: -1, Wall: time.Since(p.began), OutOfMemory: outOfMemory}
	var stopErr error
	if ended != nil {
		p.exit.User, p.exit.System, p.exit.MaxRSS = ended.User, ended.System, ended.MaxRSS
		p.exit.Code = ended.Status.ExitStatus()
		if ended.Status.Signaled() {
			p.exit.Signal = ended.Status.Signal()
		}
	}
	if ended == nil || ended.Stopped { // else it had ended by itself before we stopped it
		p.exit.Reason, stopErr = cmp.Or(p.reason, ReasonKilled), p.cause
	}
	p.err = errors.Join(stopErr, p.ioErr, lost)
	if p.err == nil && !started {
		p.err = errors.New("ended before it ran")
	}
}
