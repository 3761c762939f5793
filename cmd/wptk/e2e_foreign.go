package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// e2eSuites are what can be run on real sites.
type e2eSuites struct {
	Everything e2eCmd     `cmd:"" default:"withargs" help:"Everything the API offers, on several versions of WordPress."`
	Foreign    foreignCmd `cmd:"" help:"Every change the API offers, on installs as other hands have left them."`
}

// foreignCmd asks for every change on ten installs that are not as the toolkit makes them,
// and holds each end against what makes sense there: success, or refusal by its code.
type foreignCmd struct {
	Installs []string `help:"Only these: subdir, network, content, above, iffy, nodb, badplugin, badtheme, old, closed." placeholder:"NAME" env:"-"`
}

// foreignInstall is one of them. What is not in refuses succeeds.
type foreignInstall struct {
	name, path, version string
	multisite           bool
	spoil               func(*exam)
	refuses             map[string]string // by row: the code
}

// ends is what a row shall end with on an install.
func (f foreignInstall) ends(row string) string {
	if code, ok := f.refuses[row]; ok {
		return code
	}
	if code, ok := f.refuses["*"]; ok {
		return code
	}
	return foreignFine
}

const foreignFine = "ok"

// foreignRun adds to a run how every row ended.
type foreignRun struct {
	*e2e
	installs []foreignInstall

	mu   sync.Mutex
	ends map[string]map[string]string // by row and install
}

// Run asks for all rows on all installs and prints how each ended.
func (cmd *foreignCmd) Run(ctx context.Context, a *app) (err error) {
	r := &foreignRun{ends: map[string]map[string]string{}}
	for _, f := range foreignInstalls {
		if len(cmd.Installs) == 0 || slices.Contains(cmd.Installs, f.name) {
			r.installs = append(r.installs, f)
		}
	}
	if len(r.installs) < len(cmd.Installs) || len(r.installs) == 0 {
		return usage("--installs: %s are not all known", strings.Join(cmd.Installs, ", "))
	}
	r.e2e = &e2e{demo: &demo{app: a, findings: newFindings(a), root: os.Geteuid() == 0}, cmd: &e2eCmd{}, results: map[string]map[string]*e2eResult{}}
	for _, f := range r.installs { // each has the column of a version
		r.cmd.Versions = append(r.cmd.Versions, f.name)
	}
	if r.state, err = newRunState(ctx, a.log); err != nil {
		return err
	}
	r.stack = newStack(r.state)
	limited, cancel := context.WithTimeoutCause(ctx, e2ePatience, fmt.Errorf("not all was asked for after %s", short(e2ePatience)))
	defer cancel()
	failure := r.examined(limited)
	failure = whyEnded(limited, failure)
	f := r.judge(r.rows(), failure == nil)
	f.Name = "foreign"
	if !f.Met {
		r.showLogs(failure)
	}
	failure = errors.Join(failure, r.takeDown(!f.Met))
	f.Met = f.Met && failure == nil
	f.Seconds = inSeconds(r.since())
	r.failures(r.rows())
	return errors.Join(r.measured(f, f.Met, "REQUEST "+strings.Join(r.cmd.Versions, " "), r.table()), failure)
}

func (r *foreignRun) rows() []e2eRow {
	rows := []e2eRow{{name: installRow, check: func(*exam) {}}}
	for _, c := range foreignChanges {
		rows = append(rows, e2eRow{name: c.name(), check: func(*exam) {}})
	}
	return append(rows, e2eRow{name: "as it was", check: func(*exam) {}})
}

func (r *foreignRun) examined(ctx context.Context) error {
	if err := r.up(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i, s := range r.sites {
		wg.Go(func() { r.walk(ctx, s, r.installs[i]) })
	}
	wg.Wait()
	return ctx.Err()
}

// walk takes one install through all rows.
func (r *foreignRun) walk(ctx context.Context, s *e2eSite, f foreignInstall) {
	r.row(ctx, s, e2eRow{name: installRow, check: func(x *exam) { x.adopt(f) }})
	before, after := "", ""
	if s.id != "" {
		before = s.shape(f)
	}
	for _, c := range foreignChanges {
		if ctx.Err() != nil {
			return
		}
		if c.path == deletePath {
			after = s.shape(f)
		}
		r.row(ctx, s, e2eRow{name: c.name(), check: func(x *exam) {
			got := x.outcome(c)
			r.note(c.name(), f.name, got)
			want := f.ends(c.name())
			code, why, _ := strings.Cut(got, " ")
			x.check(code == want, "ends as %s, want %s: %s", code, want, why)
		}})
	}
	r.row(ctx, s, e2eRow{name: "as it was", check: func(x *exam) {
		x.check(before != "" && before == after, "what was changed was not all taken back: %s", difference(before, after))
	}})
}

func (r *foreignRun) note(row, install, end string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends[row] == nil {
		r.ends[row] = map[string]string{}
	}
	r.ends[row][install], _, _ = strings.Cut(end, " ")
}

func (r *foreignRun) table() (cells [][]string) {
	for _, row := range r.rows() {
		line := []string{strings.ReplaceAll(row.name, " ", " ")}
		for _, f := range r.installs {
			switch got := r.results[row.name][f.name]; {
			case got == nil:
				line = append(line, r.paint(red, "NOT REACHED"))
			case got.err != nil:
				line = append(line, r.paint(red, strings.TrimSpace("FAILED "+r.ends[row.name][f.name])))
			case r.ends[row.name][f.name] != "":
				line = append(line, r.paint(green, r.ends[row.name][f.name]))
			default:
				line = append(line, r.paint(green, foreignFine))
			}
		}
		cells = append(cells, line)
	}
	return cells
}

// foreignDir is where an install is.
func (s *e2eSite) foreignDir(f foreignInstall) string { return filepath.Join(s.homeDir(), f.path) }

// adopt installs, and then spoils.
func (x *exam) adopt(f foreignInstall) {
	body := fields{"domain": x.domain, "path": f.path, "title": "Foreign " + f.name, "admin_user": e2eAdmin, "admin_email": "boss@example.com"}
	if f.version != "" {
		body["version"] = f.version
	}
	if f.multisite {
		body["multisite"] = "subdirectories"
	}
	op := x.install(body)
	if x.err != nil {
		return
	}
	x.id = op.ID
	served, err := x.e2e.stack.startSite(x.ctx, x.demoSite)
	x.served = served
	x.note(err)
	if f.spoil != nil {
		f.spoil(x)
	}
}

// restored is the name of a database behind a restore, which exchanges databases.
var restored = regexp.MustCompile(`_r\d+'`)

// shape is what nothing may have changed for good: where wp-config.php is and what is in
// it, and which directories the install has.
func (s *e2eSite) shape(f foreignInstall) string {
	var b strings.Builder
	for _, dir := range []string{s.homeDir(), s.foreignDir(f)} {
		list, err := os.ReadDir(dir)
		fmt.Fprintln(&b, dir, err)
		for _, e := range list {
			fmt.Fprintln(&b, e.Name(), e.Type())
		}
		raw, err := os.ReadFile(filepath.Join(dir, e2eConfig))
		fmt.Fprintf(&b, "%s\n%v\n", restored.ReplaceAll(raw, []byte("'")), err != nil)
	}
	return b.String()
}

// foreignChange is one request.
type foreignChange struct {
	path string
	what string // tells two of the same path apart
	body fields
}

func (c foreignChange) name() string {
	if c.path == deletePath {
		return deleteRow
	}
	return strings.TrimSpace("POST " + c.path + " " + c.what)
}

const deletePath = "/delete"

// outcome asks for a change and says how it ended: ok, or a code with the reason behind it.
func (x *exam) outcome(c foreignChange) string {
	if x.id == "" {
		return "absent there is no install"
	}
	var took accepted
	var err error
	body := fields{"id": x.id}
	for name, value := range c.body {
		switch value {
		case theBackup:
			if value = x.backup; x.backup == "" {
				return "none there is no backup"
			}
		case thePage:
			value = x.front()
		case theInstall:
			value = x.id
			delete(body, "id")
		}
		body[name] = value
	}
	if c.path == deletePath {
		_, err = x.e2e.stack.client.do(x.ctx, request{method: http.MethodDelete, path: "/wordpress/delete", query: map[string][]string{"id": {x.id}}}, &took)
	} else {
		_, err = x.e2e.stack.client.post(x.ctx, "/wordpress"+c.path, body, &took)
	}
	var refused *apiError
	if errors.As(err, &refused) {
		return fmt.Sprintf("%s %s", refused.Code, refused.Message)
	}
	x.note(err)
	began := time.Now()
	op := x.ended(took.OperationID)
	switch {
	case x.err != nil:
		return "lost " + x.err.Error()
	case op.Status == tasks.Succeeded:
		if c.path == "/backup" {
			var made tasks.Backup
			x.succeeded(op, &made)
			x.backup = made.ID
		}
		return foreignFine
	case op.Error != nil:
		return fmt.Sprintf("%s %s (after %s)", op.Error.Code, op.failure(), short(time.Since(began)))
	}
	return string(op.Status)
}

// front is the address of the site's front page, as far as the site itself tells it.
func (x *exam) front() string {
	var seen struct {
		SiteURL string `json:"site_url"`
	}
	x.read("/installation", &seen)
	if seen.SiteURL == "" {
		seen.SiteURL = x.url()
	}
	return seen.SiteURL + "/"
}

// edit replaces a text of a file, as the site's user.
func (x *exam) edit(name, old, now string) {
	was := x.file(name)
	x.check(strings.Contains(was, old), "%s has no %q", name, old)
	x.put(name, strings.Replace(was, old, now, 1))
}
