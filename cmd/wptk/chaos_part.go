package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/wispanel/wptk/cmd/internal/verdict"
)

// part is a process of ours that is killed and started again. One that ends by itself is
// started again too, as a supervisor would; that it had to be is taken down.
type part struct {
	book *book
	name string
	path string
	args []string
	dir  string
	log  string

	mu      sync.Mutex
	process *victim
	wanted  bool // it should be running
}

// restartAfter is how long a supervisor waits before it starts a process again.
const restartAfter = 500 * time.Millisecond

func (a *arena) newPart(name, path string, args []string) *part {
	return &part{book: a.book, name: name, path: path, args: args, dir: a.state.dir(), log: a.state.dir("log", name+".log")}
}

// start starts it; env is for this life alone.
func (p *part) start(env ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, err := startVictim(p.path, p.args, p.dir, p.log, env...)
	if err != nil {
		return err
	}
	p.process, p.wanted = v, true
	go p.look(v)
	return nil
}

// look waits for the end of one life.
func (p *part) look(v *victim) {
	<-v.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.wanted || p.process != v {
		return
	}
	p.book.write(verdict.Fact{What: verdict.Died, PID: v.process.Pid, Note: p.name})
	time.AfterFunc(restartAfter, func() {
		p.mu.Lock()
		again := p.wanted && p.process == v
		p.mu.Unlock()
		if again {
			if err := p.start(); err != nil {
				p.book.write(verdict.Fact{What: verdict.Died, Note: err.Error()})
			}
		}
	})
}

// end sends a signal and waits.
func (p *part) end(signal syscall.Signal) error {
	p.mu.Lock()
	p.wanted = false
	v := p.process
	p.mu.Unlock()
	if v == nil {
		return nil
	}
	return v.end(signal)
}

// kill is what a crash does; stop is what a supervisor does.
func (p *part) kill() error {
	p.book.fault("kill -9 %s", p.name)
	return p.end(syscall.SIGKILL)
}

func (p *part) stop() error { return p.end(syscall.SIGTERM) }

// crash kills and starts again at once.
func (p *part) crash() error {
	if err := p.kill(); err != nil {
		return err
	}
	return p.start()
}

// expectEnd tells that this life is going to end by itself.
func (p *part) expectEnd() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = false
	return p.process.ended
}

// untilEnded waits for that end.
func (p *part) untilEnded(ctx context.Context, ended <-chan struct{}) error {
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", p.name, ctx.Err())
	}
}
