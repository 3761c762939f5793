package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

// attack is one case while it runs: what an exam can do, as the attacker.
type attack struct {
	*exam
	hostile  *hostile
	baseline map[string]string
}

// planted says that what was changed so far is no success of the attack: root has put
// something in place that the attacker could not, such as a hard link.
func (x *attack) planted() {
	all, err := x.hostile.sentinels(x.ctx)
	x.note(err)
	x.baseline = all
}

// as runs a script as the attacker, in the account's directory. $D is the docroot, $V the
// victim's, $R root's directory, $M where marks are left, $H the account's directory.
func (x *attack) as(script string) { x.script(x.user, false, script) }

// asRoot is for what an attacker could have brought along from elsewhere, or had the
// administrator do.
func (x *attack) asRoot(script string) { x.script(proc.Identity{}, true, script) }

func (x *attack) script(as proc.Identity, trusted bool, script string) {
	if x.exam.err != nil {
		return
	}
	path, err := program("sh")
	x.note(err)
	h := x.hostile // without quotes: all of these are paths that the run has chosen
	vars := fmt.Sprintf("D=%s V=%s R=%s M=%s H=%s\n", x.docroot(), h.victim.docroot(), h.state.dir("precious"), h.state.dir("marks"), x.root)
	var out bytes.Buffer
	exit, err := proc.Run(x.ctx, proc.Spec{Path: path, Args: []string{"-euc", vars + script}, Dir: x.root, As: as, Trusted: trusted,
		Env: toolEnv, Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 {
		x.fail("%.60s: exit status %d: %s, %w", script, exit.Code, clean(out.String()), err)
	}
}

// instead puts something else in the place of a file or directory of the site, and takes it
// away at the end. In the script it is called $T.
func (x *attack) instead(name, script string) {
	at := "T=$D/" + name + "; "
	if name == "." || name == ".." { // the docroot, or the domain's directory
		at = "T=" + filepath.Join(x.docroot(), name) + "; "
	}
	at += `K="$H/kept-` + strings.Map(func(r rune) rune {
		if r == '/' {
			return '_'
		}
		return r
	}, name) + `"; `
	x.undo(func() {
		x.as(at + `chmod -R u+rwx "$T" 2>/dev/null || true; rm -rf "$T"; if [ -e "$K" ] || [ -L "$K" ]; then mv -T "$K" "$T"; fi`)
	})
	x.as(at + `if [ -e "$T" ] || [ -L "$T" ]; then mv -T "$T" "$K"; else mkdir -p "$(dirname "$T")"; fi
		` + script)
}

// keep puts back, at the end, what a measure or a mode of the site may have changed.
func (x *attack) keep() {
	x.undo(func() {
		x.as(`cd "$D"; rm -rf .maintenance wp-content/mu-plugins; rm -f .htaccess; cp -a "$H/keep/." .`)
	})
	x.as(`cd "$D"; rm -rf "$H/keep"; mkdir "$H/keep"; for f in wp-config.php .htaccess; do [ ! -f "$f" ] || cp -a "$f" "$H/keep/"; done`)
}

// attempt asks for something that may be refused, may fail and may even succeed, but ends.
func (x *attack) attempt(path string, body fields) (op operation) {
	return x.attemptOn(x.id, http.MethodPost, path, body)
}

func (x *attack) attemptOn(site, method, path string, body fields) (op operation) {
	if x.exam.err != nil {
		return op
	}
	all := fields{"id": site}
	for name, value := range body {
		all[name] = value
	}
	if all["source_id"] != nil { // a clone names its source so
		delete(all, "id")
	}
	raw, err := json.Marshal(all)
	x.note(err)
	status, answer, _ := x.raw(x.hostile.keys["mallory"], method, apiRoot+"/wordpress"+path, string(raw))
	if status >= 400 && status < 500 {
		return op
	}
	var took accepted
	if err := json.Unmarshal([]byte(answer), &took); err != nil || status != http.StatusAccepted || took.OperationID == "" {
		x.fail("%s %s answers %d %.300s", method, path, status, answer)
		return op
	}
	ctx, cancel := context.WithTimeout(x.ctx, 4*time.Minute)
	defer cancel()
	op, err = x.hostile.stack.client.follow(ctx, took.OperationID, func(operation, []byte) error { return nil })
	if err != nil {
		x.fail("%s %s does not end: %w", method, path, err)
	}
	if op.Error != nil && (op.Error.Message == "" || strings.ContainsRune(op.Error.Message, '\x1b')) {
		x.fail("%s %s fails without clean words: %q", method, path, op.Error.Message)
	}
	return op
}

// succeeds wants an attack to be without any effect.
func (x *attack) succeeds(path string, body fields) {
	if op := x.attempt(path, body); x.exam.err == nil && op.Status != tasks.Succeeded {
		x.fail("%s is %q (%s), want it to succeed all the same", path, op.Status, op.failure())
	}
}

// raw sends a request as it is; headers come in pairs.
func (x *attack) raw(key, method, path, body string, headers ...string) (status int, answer string, header http.Header) {
	if x.exam.err != nil {
		return 0, "", nil
	}
	req, err := http.NewRequestWithContext(x.ctx, method, x.hostile.stack.apiURL()+path, strings.NewReader(body))
	if err != nil {
		x.fail("making request: %w", err)
		return 0, "", nil
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // a redirect would be an answer too
	if err != nil {
		x.fail("%s %.100s: %w", method, path, err)
		return 0, "", nil
	}
	defer res.Body.Close()
	all, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	x.note(err)
	return res.StatusCode, string(all), res.Header
}

// mustRefuse wants one of these statuses, in the API's envelope.
func (x *attack) mustRefuse(status int, answer string, want ...int) {
	var e apiError
	err := json.Unmarshal([]byte(answer), &e)
	for _, w := range want {
		if status == w && err == nil && e.Code != "" && e.Message != "" {
			return
		}
	}
	x.fail("answers %d %.300s, want %v", status, clean(answer), want)
}

// refuses sends a body that has to be refused as wrong.
func (x *attack) refuses(path, body string) {
	status, answer, _ := x.raw(x.hostile.keys["mallory"], http.MethodPost, apiRoot+"/wordpress"+path, body)
	x.mustRefuse(status, answer, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
}

// futile wants a change to be refused, or to fail when the node has looked at it.
func (x *attack) futile(path, body string) {
	var all fields
	x.note(json.Unmarshal([]byte(body), &all))
	op := x.attempt(path, all)
	x.check(op.OperationID == "" || op.Status == tasks.Failed || op.Status == tasks.RolledBack, "%s is %q", path, op.Status)
}

// alone wants no process of the attacker's to be left.
func (x *attack) alone() {
	x.until("the attacker's processes to end", func() (bool, error) {
		entries, err := os.ReadDir("/proc")
		for _, e := range entries {
			pid, bad := strconv.Atoi(e.Name())
			if bad != nil {
				continue
			}
			raw, gone := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
			if gone == nil && strings.Contains(string(raw), fmt.Sprintf("\nUid:\t%d\t", x.user.UID)) && !strings.Contains(string(raw), "\nState:\tZ") {
				return false, nil
			}
		}
		return true, err
	})
}

// text is a JSON string.
func text(s string) string { return inJSON(s) }

// meanwhile runs a script of the attacker's until stop is called.
func (x *attack) meanwhile(script string) (stop func()) {
	if x.exam.err != nil {
		return func() {}
	}
	path, err := program("sh")
	x.note(err)
	vars := fmt.Sprintf("D=%s V=%s R=%s\n", x.docroot(), x.hostile.victim.docroot(), x.hostile.state.dir("precious"))
	p, err := proc.Start(x.ctx, proc.Spec{Path: path, Args: []string{"-c", vars + script}, Dir: x.root, As: x.user, Env: toolEnv, Started: x.hostile.state.started})
	if err != nil {
		x.note(err)
		return func() {}
	}
	return func() {
		p.Kill()
		if _, err := p.Wait(); err != nil {
			x.note(err)
		}
	}
}
