package proc

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// drainDelay bounds the reading of output after the last process of a run is gone. By then
// a pipe is at its end, unless the tenant has sent its descriptor to an outside process.
const drainDelay = 2 * time.Second

type writer = io.Writer

// pipes connects the caller's readers and writers to descriptors of the child.
type pipes struct {
	stdio  [3]*os.File
	extra  []*os.File // descriptors 3, 4, … of the child
	theirs []*os.File // closed here as soon as the child has them
	ours   []*os.File // closed when the run has ended

	outs  []outPipe
	input io.Reader
	feed  *os.File // write end for input
	hold  *os.File // the same, for the supervisor; nil unless Spec.StdinWhole

	reading sync.WaitGroup
	fed     chan struct{}
}

type outPipe struct {
	name string
	from *os.File
	to   io.Writer
}

func newPipes(s *Spec, answer writer) (*pipes, error) {
	p := &pipes{fed: make(chan struct{})}
	err := p.open(s, answer)
	if err != nil {
		p.close()
		return nil, fmt.Errorf("opening pipes: %w", err)
	}
	return p, nil
}

func (p *pipes) open(s *Spec, answer writer) (err error) {
	if p.stdio[0], err = p.source(s.Stdin); err != nil {
		return err
	}
	if s.StdinWhole {
		p.hold = p.feed
	}
	if p.stdio[1], err = p.sink("stdout", s.Stdout); err != nil {
		return err
	}
	if s.Stderr != nil && sameWriter(s.Stderr, s.Stdout) {
		p.stdio[2] = p.stdio[1]
	} else if p.stdio[2], err = p.sink("stderr", s.Stderr); err != nil {
		return err
	}
	if answer != nil {
		f, err := p.sink("answer", answer)
		if err != nil {
			return err
		}
		p.extra = append(p.extra, f)
	}
	p.extra = append(p.extra, s.Keep...)
	return nil
}

// sameWriter compares two writers; a type that cannot be compared is never the same.
func sameWriter(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a == b
}

func (p *pipes) null(flag int) (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err == nil {
		p.theirs = append(p.theirs, f)
	}
	return f, err
}

func (p *pipes) pipe() (r, w *os.File, err error) {
	r, w, err = os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("making pipe: %w", err)
	}
	return r, w, nil
}

func (p *pipes) source(r io.Reader) (*os.File, error) {
	if r == nil {
		return p.null(os.O_RDONLY)
	}
	if f, ok := r.(*os.File); ok {
		return f, nil
	}
	theirs, ours, err := p.pipe()
	if err != nil {
		return nil, err
	}
	p.input, p.feed = r, ours
	p.theirs, p.ours = append(p.theirs, theirs), append(p.ours, ours)
	return theirs, nil
}

func (p *pipes) sink(name string, w io.Writer) (*os.File, error) {
	if w == nil {
		return p.null(os.O_WRONLY)
	}
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	ours, theirs, err := p.pipe()
	if err != nil {
		return nil, err
	}
	p.outs = append(p.outs, outPipe{name, ours, w})
	p.theirs, p.ours = append(p.theirs, theirs), append(p.ours, ours)
	return theirs, nil
}

// copy starts the copying; fail is called with what the caller's reader or writer returned,
// whole when all the input was given.
func (p *pipes) copy(fail func(error), whole func()) {
	for _, o := range p.outs {
		p.reading.Go(func() {
			if err := o.copy(); err != nil {
				fail(fmt.Errorf("writing %s: %w", o.name, err))
			}
		})
	}
	go func() {
		defer close(p.fed)
		if p.feed == nil {
			return
		}
		defer p.feed.Close()
		// A program need not read its input: a closed pipe is no failure.
		_, err := io.Copy(p.feed, p.input)
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) {
			fail(fmt.Errorf("feeding stdin: %w", err))
			return
		}
		if p.hold != nil {
			whole()
		}
	}()
}

// copy returns the writer's error. Reading ends at the end of the pipe or by drain.
func (o outPipe) copy() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		if n > 0 {
			if _, err := o.to.Write(buf[:n]); err != nil {
				o.from.Close() // a flooding program gets EPIPE until the kill arrives
				return err
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			slog.Warn("output pipe is held open by a process outside the run", "path", o.name)
		}
		if err != nil { // the end of the pipe, or drained
			return nil // see above: how reading ends is not the writer's error
		}
	}
}

// drain waits until all output has been written, then closes our ends. It does not wait
// for a caller's reader that blocks.
func (p *pipes) drain() {
	deadline := time.Now().Add(drainDelay)
	for _, o := range p.outs {
		_ = o.from.SetReadDeadline(deadline) // fails if closed, which ends the reading too
	}
	p.reading.Wait()
	if p.feed != nil {
		p.feed.Close()
		timer := time.NewTimer(drainDelay)
		defer timer.Stop()
		select {
		case <-p.fed:
		case <-timer.C:
		}
	}
	p.close()
}

func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		f.Close()
	}
}

// close closes every end that is ours or not handed over yet; closing twice is harmless.
func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range p.ours {
		f.Close()
	}
}
