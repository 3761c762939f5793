package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

// e2eSite is one WordPress that all rows are checked on.
type e2eSite struct {
	*demoSite
	e2e     *e2e
	version string // that was asked for

	id, password string // the administrator's
	backup       string // that POST /backup has made
	served       *process
}

// exam is one row on one site. Its first failure ends it: what comes behind has no
// effect then, so that a check reads as what it wants and not as what may go wrong.
type exam struct {
	*e2eSite
	ctx   context.Context //nolint:containedctx // an exam lives as long as one call
	err   error
	undos []func()
}

// examine runs a check and then, whatever came of it, what takes its effect back.
func (s *e2eSite) examine(ctx context.Context, check func(*exam)) error {
	x := &exam{e2eSite: s, ctx: ctx}
	check(x)
	failure := x.err
	for len(x.undos) > 0 {
		last := len(x.undos) - 1
		undo := x.undos[last]
		x.undos, x.err = x.undos[:last], nil
		undo()
		if failure == nil && x.err != nil {
			failure = fmt.Errorf("taking it back: %w", x.err)
		}
	}
	return failure
}

func (x *exam) undo(f func()) {
	if x.err == nil {
		x.undos = append(x.undos, f)
	}
}

func (x *exam) fail(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

// check is for what a comparison of two values cannot say.
func (x *exam) check(holds bool, format string, args ...any) {
	if !holds {
		x.fail(format, args...)
	}
}

func (x *exam) note(err error) {
	if x.err == nil {
		x.err = err
	}
}

// fields is a body, or a part of it.
type fields map[string]any

// submit has the API accept a change of the site.
func (x *exam) submit(path string, body fields) (took accepted) {
	if x.err != nil {
		return took
	}
	all := fields{"id": x.id}
	for name, value := range body {
		all[name] = value
	}
	got, err := x.e2e.stack.client.post(x.ctx, "/wordpress"+path, all, &took)
	if err != nil {
		x.fail("POST %s: %w", path, err)
		return took
	}
	x.check(got.header.Get("Location") != "" && took.OperationID != "", "POST %s answers without a place to look for the outcome", path)
	return took
}

// ended follows an op to its end.
func (x *exam) ended(id string) (op operation) {
	if x.err != nil {
		return op
	}
	op, err := x.e2e.stack.client.follow(x.ctx, id, func(operation, []byte) error { return nil })
	x.note(err)
	return op
}

// change asks for a change that succeeds; into, if any, gets its result.
func (x *exam) change(path string, body fields, into any) (op operation) {
	op = x.ended(x.submit(path, body).OperationID)
	x.succeeded(op, into)
	return op
}

// succeeded wants an op to have ended well; into, if any, gets its result.
func (x *exam) succeeded(op operation, into any) {
	if x.err != nil {
		return
	}
	if op.Status != tasks.Succeeded {
		x.fail("%s is %s: %s", op.Type, op.Status, op.failure())
		return
	}
	if into != nil {
		if err := json.Unmarshal(op.Result, into); err != nil {
			x.fail("reading the result of %s: %w", op.Type, err)
		}
	}
}

// refused asks for a change that fails with a code.
func (x *exam) refused(code, path string, body fields) (op operation) {
	op = x.ended(x.submit(path, body).OperationID)
	if x.err == nil && (op.Status != tasks.Failed && op.Status != tasks.RolledBack || op.Error == nil || op.Error.Code != code) {
		x.fail("%s %v is %s (%s), want it refused as %s", path, body, op.Status, op.failure(), code)
	}
	return op
}

// read reads something about the site from the API.
func (x *exam) read(path string, into any, more ...string) {
	if x.err != nil {
		return
	}
	query := url.Values{"id": {x.id}}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	if _, err := x.e2e.stack.client.get(x.ctx, "/wordpress"+path, query, into); err != nil {
		x.fail("GET %s: %w", path, err)
	}
}

// ask has WordPress itself answer, in a PHP of the site's user that is not the
// toolkit's. The code is a function's body; its parameters are in $args.
func (x *exam) ask(into any, code string, args ...any) {
	if x.err == nil {
		x.note(x.e2eSite.ask(x.ctx, into, code, args...))
	}
}

func (s *e2eSite) ask(ctx context.Context, into any, code string, args ...any) error {
	question, err := json.Marshal(map[string]any{"code": code, "args": args})
	if err != nil {
		return fmt.Errorf("encoding question: %w", err)
	}
	php, err := program("php")
	if err != nil {
		return err
	}
	var out, errs bytes.Buffer
	exit, err := proc.Run(ctx, proc.Spec{
		Path: php, Args: []string{s.e2e.state.dir("probe.php"), s.docroot(), s.url()}, Dir: s.root, As: s.user,
		Env:   []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + s.root, "TMPDIR=" + s.tmp(), "LC_ALL=C.UTF-8"},
		Stdin: bytes.NewReader(question), Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		return fmt.Errorf("asking WordPress: %w", err)
	}
	_, answer, ok := strings.Cut(out.String(), "\n\x1e")
	if !ok || exit.Code != 0 {
		return fmt.Errorf("asking WordPress %q: exit status %d: %.400s", code, exit.Code, clean(out.String()+errs.String()))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		return fmt.Errorf("reading WordPress's answer to %q: %w", code, err)
	}
	return nil
}

// wordpress wants WordPress to answer a value.
func (x *exam) wordpress(want any, code string, args ...any) {
	var got any
	x.ask(&got, code, args...)
	if x.err == nil && !alike(got, want) {
		x.fail("WordPress answers %s to %q, want %s", inJSON(got), code, inJSON(want))
	}
}

// alike compares values as they are in JSON.
func alike(a, b any) bool {
	var x, y any
	return json.Unmarshal([]byte(inJSON(a)), &x) == nil && json.Unmarshal([]byte(inJSON(b)), &y) == nil && reflect.DeepEqual(x, y)
}

func inJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// answers wants a status of a page of the site, for a visitor without cookies.
func (x *exam) answers(want int, path string) (page string) {
	return x.visits(x.visitor(), want, path, nil)
}

func (x *exam) visitor() *visitor {
	v, err := newVisitor(x.demoSite)
	x.note(err)
	return v
}

func (x *exam) visits(v *visitor, want int, path string, form url.Values) (page string) {
	if x.err != nil {
		return ""
	}
	res, page, err := v.visit(x.ctx, path, form)
	switch {
	case err != nil:
		x.note(err)
	case res.StatusCode != want:
		x.fail("the site answers %s to %s, want %d", res.Status, path, want)
	}
	return page
}

// logsIn fills in the site's login form, wherever it is, and reports whether that gave a session.
func (x *exam) logsIn(form, user, password string) (v *visitor, in bool) {
	v = x.visitor()
	x.visits(v, http.StatusOK, form, nil) // WordPress wants to see that cookies are kept
	if x.err != nil {
		return v, false
	}
	res, _, err := v.visit(x.ctx, form, url.Values{"log": {user}, "pwd": {password}, "testcookie": {"1"}})
	if err != nil {
		x.note(err)
		return v, false
	}
	for _, c := range res.Cookies() {
		in = in || strings.HasPrefix(c.Name, "wordpress_logged_in_") && c.Value != ""
	}
	return v, in
}

// file reads a file of the site; "" when there is none.
func (x *exam) file(name string) string {
	if x.err != nil {
		return ""
	}
	raw, err := os.ReadFile(filepath.Join(x.docroot(), name))
	if err != nil && !os.IsNotExist(err) {
		x.fail("reading the site's files: %w", err)
	}
	return string(raw)
}

func (x *exam) has(name string) bool {
	_, err := os.Lstat(filepath.Join(x.docroot(), name))
	return err == nil
}

// tenant runs a command as the site's user, in the docroot.
func (x *exam) tenant(stdin, name string, args ...string) {
	if x.err != nil {
		return
	}
	path, err := program(name)
	if err != nil {
		x.note(err)
		return
	}
	var out bytes.Buffer
	exit, err := proc.Run(x.ctx, proc.Spec{Path: path, Args: args, Dir: x.docroot(), As: x.user, Env: toolEnv,
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 {
		x.fail("%s as the site's user: exit status %d: %s, %w", name, exit.Code, clean(out.String()), err)
	}
}

// put writes a file of the site as its user.
func (x *exam) put(name, content string) {
	x.tenant(content, "sh", "-c", `mkdir -p "$(dirname "$1")" && cat > "$1"`, "sh", name)
}

func (x *exam) drop(names ...string) { x.tenant("", "rm", append([]string{"-rf", "--"}, names...)...) }

// until asks again and again for something that comes by itself.
func (x *exam) until(what string, ask func() (bool, error)) {
	if x.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(x.ctx, 30*time.Second)
	defer cancel()
	x.note(x.e2e.stack.await(ctx, what, func(context.Context) error {
		ok, err := ask()
		if err == nil && !ok {
			err = fmt.Errorf("not yet")
		}
		return err
	}))
}
