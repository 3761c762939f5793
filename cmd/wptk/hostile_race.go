package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

// While the node works with a site, its names change places so often at least, and in all sites
// together so often.
const (
	siteSwaps = 1_000
	allSwaps  = 10_000
)

// trap is a name of the site that changes places with a link.
type trap struct {
	at   string // relative to the docroot; "." is the docroot
	link string // what the link leads to, in the words of (*attack).script
}

// raced are traps, and what is asked of the node meanwhile. Each ends with the deletion of the
// site, while its names still change places.
var raced = []contest{
	{name: "modes are set",
		traps: []trap{{"wp-content/uploads", "$R/dir"}, {"wp-includes", "$V/wp-includes"}, {"wp-config.php", "$V/wp-config.php"}},
		asked: []want{{"/security/file-protection", withApache}, {"/security/file-protection", fields{"enabled": false, "server": "apache"}}}},
	{name: "files are written",
		traps: []trap{{".htaccess", "$V/.htaccess"}, {"wp-config.php", "$R/open.php"}, {".maintenance", "$R/dir/new"}},
		asked: []want{{"/security/block-xmlrpc", withApache}, {"/maintenance", turnedOn}, {"/security/disable-file-edit", turnedOn}}},
	{name: "files are written into directories",
		traps: []trap{{"wp-content", "$V/wp-content"}, {"wp-admin", "$R/dir"}},
		asked: []want{{"/security/file-protection", withApache}, {"/auto-login", nil}, {"/plugins/install", dolly}}},
	{name: "a plugin is deleted", before: want{"/plugins/install", dolly},
		traps: []trap{{"wp-content/plugins", "$V/wp-content/plugins"}, {"wp-content/plugins/hello-dolly", "$R/dir"}},
		asked: []want{{"/plugins/delete", dolly}, {"/plugins/install", dolly}}},
	{name: "the core is put in again",
		traps: []trap{{"wp-includes", "$V/wp-includes"}, {"wp-admin", "$R/dir"}},
		asked: []want{{"/reinstall-core", nil}}},
	{name: "a backup is made",
		traps: []trap{{"wp-content/uploads", "/etc"}, {"wp-includes", "$V"}, {"readme.html", "$R/closed"}},
		asked: []want{{"/backup", nil}}},
	{name: "a backup is brought back", before: want{"/backup", nil},
		traps: []trap{{"wp-content", "$V/wp-content"}, {"wp-admin", "$R/dir"}},
		asked: []want{{"/restore", fields{"checkpoint": false}}}},
	{name: "paths of a backup are brought back", before: want{"/backup", nil},
		traps: []trap{{"wp-content", "$V/wp-content"}, {"wp-content/uploads", "$R/dir"}},
		asked: []want{{"/restore", fields{"checkpoint": false, "paths": []string{"wp-content/plugins", "wp-content/uploads"}}}}},
	{name: "a site is cloned",
		traps: []trap{{"wp-content/uploads", "$R"}, {"wp-includes", "$V/wp-includes"}, {"license.txt", "/etc/shadow"}},
		asked: []want{{"/clone", fields{"target_domain": ""}}}},
	{name: "the docroot itself is another",
		traps: []trap{{".", "$V"}},
		asked: []want{{"/security/file-protection", withApache}, {"/maintenance", turnedOn}, {"/backup", nil}}},
}

// contest is a site whose names change places, and what is asked for it.
type contest struct {
	name   string
	traps  []trap
	asked  []want
	before want // asked once, while nothing moves yet
}

// want is something that is asked of the node about a site.
type want struct {
	path string
	body fields
}

// raceCases have processes of the attacker's exchange names of its sites with links that lead
// elsewhere, while the node works with them. What the node has looked at is then something
// else when it is used, again and again.
func raceCases(*hostile) []hostileCase {
	return []hostileCase{
		{name: "names change places while " + raced[0].name, short: true, attack: func(x *attack) { x.race(raced[:1], 0) }},
		{name: "names change places in ten sites, whatever is done with them", attack: func(x *attack) { x.race(raced, raceTime) }},
	}
}

// raceTime is how long each site is asked for something again and again.
const raceTime = time.Minute

// race makes a site for each, and has all of them worked with at once.
func (x *attack) race(all []contest, atLeast time.Duration) {
	var swaps atomic.Int64
	x.atOnce(len(all), func(i int) string { return "while " + all[i].name }, func(y *attack, i int) {
		swaps.Add(y.contest(all[i], time.Now().Add(atLeast)))
	})
	x.hostile.swaps.Add(swaps.Load())
	x.check(len(all) == 1 || swaps.Load() >= allSwaps, "names changed places %d times, want %d", swaps.Load(), allSwaps)
}

// atOnce makes n more sites of the attacker's and attacks with all of them at the same time.
func (x *attack) atOnce(n int, name func(int) string, do func(y *attack, i int)) {
	var running sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		running.Go(func() {
			own := &attack{exam: &exam{e2eSite: x.e2eSite, ctx: x.ctx}, hostile: x.hostile}
			y := own.second(nil)
			do(y, i)
			if y.exam.err != nil {
				errs[i] = fmt.Errorf("%s: %w", name(i), y.exam.err)
			}
		})
	}
	running.Wait()
	x.note(errors.Join(errs...))
}

// contest asks for everything, as often as there is time, then for the end of the site, and
// counts how often names have changed places.
func (x *attack) contest(c contest, until time.Time) (swaps int64) {
	var backup string
	if c.before.path != "" {
		backup = x.asksFor(c.before, "")
	}
	stop := x.swapping(c.traps)
	for round := 0; x.exam.err == nil && (round == 0 || time.Now().Before(until)); round++ {
		for _, w := range c.asked {
			x.asksFor(w, backup)
			x.hostile.tries.Add(1)
		}
	}
	x.attemptOn(x.id, http.MethodDelete, "/delete", fields{"keep_backup": false})
	x.hostile.tries.Add(1)
	swaps = stop()
	x.check(swaps >= siteSwaps, "names changed places %d times, want %d", swaps, siteSwaps)
	x.clear()
	return swaps
}

// asksFor asks, and returns the id of the backup if that is what was made.
func (x *attack) asksFor(w want, backup string) string {
	body := maps.Clone(w.body)
	switch w.path {
	case "/restore":
		body["backup_id"] = backup
	case "/clone":
		body["source_id"], body["target_domain"] = x.id, x.hostile.spareDomain()
	}
	op := x.attempt(w.path, body)
	var made struct {
		ID string `json:"id"`
	}
	if op.Status == tasks.Succeeded && w.path == "/backup" {
		x.note(json.Unmarshal(op.Result, &made))
	}
	return made.ID
}

// bait is the directory of the links while the site's own are in their places.
func (x *attack) bait() string { return filepath.Join(x.root, "bait-"+x.domain) }

// swapping starts to exchange names; the function that it returns ends that and counts.
func (x *attack) swapping(traps []trap) (stop func() int64) {
	var pairs [][2]string
	x.as("mkdir " + x.bait())
	for i, t := range traps {
		from := filepath.Join(x.bait(), strconv.Itoa(i))
		x.as("ln -s " + t.link + " " + from + `; [ -e "$D/` + t.at + `" ] || echo > "$D/` + t.at + `"`)
		pairs = append(pairs, [2]string{filepath.Join(x.docroot(), t.at), from})
	}
	if x.exam.err != nil {
		return func() int64 { return 0 }
	}
	more, end := io.Pipe()
	ended := make(chan error, 1)
	var count int64
	go func() {
		ended <- proc.Call(x.ctx, x.user, proc.CallOptions{Input: more, Started: x.hostile.state.started}, swapCall, pairs, &count)
	}()
	return func() int64 {
		x.note(errors.Join(end.Close(), <-ended))
		return count
	}
}

// clear removes, as the attacker, what a case has left of its site.
func (x *attack) clear() {
	for _, dir := range []string{x.homeDir(), x.bait()} {
		x.as("[ ! -d " + dir + " ] || { chmod -R u+rwX " + dir + "; find " + dir + " -mindepth 1 -delete; }")
	}
}

const swapCall = "hostile.swap"

func init() {
	proc.Register(swapCall, func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var pairs [][2]string
		if err := json.Unmarshal(in, &pairs); err != nil {
			return nil, fmt.Errorf("reading names: %w", err)
		}
		ended, stop := context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, proc.Input(ctx)) // however it ends, it is the end
			stop()
		}()
		return swapUntil(ended, pairs), nil
	})
}

// swapPause is less than it takes the node to look at a name and open it in a child.
const swapPause = 50 * time.Microsecond

// swapUntil exchanges names until the context ends, and counts. A name that the node has just
// taken away, or a stage has replaced, is not there for a while.
func swapUntil(ctx context.Context, pairs [][2]string) (swaps int64) {
	pause := time.NewTicker(swapPause) // ten of these share the machine with what they attack
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return swaps
		case <-pause.C:
		}
		for _, p := range pairs {
			if unix.Renameat2(unix.AT_FDCWD, p[0], unix.AT_FDCWD, p[1], unix.RENAME_EXCHANGE) == nil {
				swaps++
			}
		}
	}
}
