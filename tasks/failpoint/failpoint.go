// Package failpoint stops a process at a named point of its work, for proofs that
// nothing is lost there (`wptk chaos`). The idea is etcd's gofail, without its
// preprocessor. The points are in every binary and do nothing, at the price of one
// load of a pointer, unless the process was started with WPTK_FAILPOINT.
package failpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Variable is the environment variable that arms points. It is a comma-separated list of
//
//	NAME=kill        the process kills itself (SIGKILL) when it gets there
//	NAME#3=kill      the third time
//	NAME=gate:DIR    whoever gets there leaves a file in DIR and waits for DIR/open
const Variable = "WPTK_FAILPOINT"

// point is one armed point.
type point struct {
	at   int64  // which hit counts; 0 = every
	gate string // directory; "" = kill
	hits atomic.Int64
}

var armed atomic.Pointer[map[string]*point]

// Arm reads the variable's value; an empty one disarms. Call it before work begins.
func Arm(list string) error {
	if list == "" {
		armed.Store(nil)
		return nil
	}
	points := map[string]*point{}
	for entry := range strings.SplitSeq(list, ",") {
		name, p, err := parse(entry)
		if err != nil {
			return fmt.Errorf("reading %s: %q: %w", Variable, entry, err)
		}
		points[name] = p
	}
	armed.Store(&points)
	return nil
}

func parse(entry string) (string, *point, error) {
	name, action, _ := strings.Cut(entry, "=")
	name, times, counted := strings.Cut(name, "#")
	p := new(point)
	var err error
	if counted {
		if p.at, err = strconv.ParseInt(times, 10, 32); err != nil || p.at < 1 {
			return "", nil, fmt.Errorf("%q is no count", times)
		}
	}
	switch dir, isGate := strings.CutPrefix(action, "gate:"); {
	case name == "":
		return "", nil, fmt.Errorf("no name")
	case isGate && filepath.IsAbs(dir):
		p.gate = dir
	case action != "kill":
		return "", nil, fmt.Errorf("%q is neither kill nor gate:DIR", action)
	}
	return name, p, nil
}

// Hit is a point; its name is the parts, joined by dots.
func Hit(parts ...string) {
	points := armed.Load()
	if points == nil {
		return
	}
	p := (*points)[strings.Join(parts, ".")]
	if p == nil {
		return
	}
	n := p.hits.Add(1)
	switch {
	case p.at != 0 && n != p.at:
	case p.gate != "":
		p.wait(n)
	default:
		end()
	}
}

// end is the crash. A variable for the test alone.
var end = func() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // of one's own process it cannot fail
	select {}
}

// wait looks for the gate to open. A gate that cannot be reached is no gate.
func (p *point) wait(n int64) {
	mark := filepath.Join(p.gate, strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(n, 10))
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(filepath.Join(p.gate, "open")); err == nil {
			return
		}
		if _, err := os.Stat(p.gate); err != nil {
			return
		}
		<-tick.C
	}
}
