package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp"
)

const e2eConfig = "wp-config.php"

// exactly wants everything that hardening may touch to be as it was: the two files byte
// for byte, and the modes of all others.
func (x *exam) exactly() (asBefore func()) {
	look := func() string {
		var b strings.Builder
		b.WriteString(x.file(e2eConfig) + "\x00" + x.file(".htaccess") + "\x00")
		err := filepath.WalkDir(x.docroot(), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			fmt.Fprintln(&b, path, info.Mode())
			return err
		})
		x.note(err)
		return b.String()
	}
	before := look()
	return func() {
		if after := look(); x.err == nil && after != before {
			x.fail("not everything is as it was: %s", difference(before, after))
		}
	}
}

func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("%q became %q", x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines became %d", len(x), len(y))
}

func (x *exam) toggle(measure string, enabled bool, into any) {
	body := fields{"enabled": enabled}
	if m, ok := wp.FindMeasure(measure); ok && m.Rules() || measure == "file-protection" {
		body["server"] = wp.Apache
	}
	x.change("/security/"+measure, body, into)
}

func checkFileEdit(x *exam) {
	const edits = `wp_set_current_user( get_user_by( 'login', 'boss' )->ID ); return array( current_user_can( 'edit_plugins' ), current_user_can( 'edit_themes' ), current_user_can( 'install_plugins' ) );`
	asBefore := x.exactly()
	x.wordpress([]any{true, true, true}, edits)
	x.undo(func() {
		x.toggle("disable-file-edit", false, nil)
		x.wordpress([]any{true, true, true}, edits)
		asBefore()
	})
	x.toggle("disable-file-edit", true, nil)
	x.wordpress([]any{false, false, true}, edits)
}

// checkSecurity applies a measure, undoes it by hand, and reads what the report says.
func checkSecurity(x *exam) {
	const id, line = "disable-file-edit", "DISALLOW_FILE_EDIT"
	report := func(want string) (m wp.MeasureStatus) {
		var all struct{ Measures []wp.MeasureStatus }
		x.read("/security", &all, "fresh", "true")
		for _, m = range all.Measures {
			if m.ID == id {
				break
			}
		}
		x.check(m.ID == id && m.Status == want && len(all.Measures) == len(wp.Measures), "%d measures, %s is %s", len(all.Measures), id, inJSON(m))
		return m
	}
	asBefore := x.exactly()
	report(wp.MeasureNotApplied)
	x.undo(func() {
		x.toggle(id, false, nil)
		report(wp.MeasureNotApplied)
		asBefore()
	})
	op := x.change("/security/"+id, fields{"enabled": true}, nil)
	m := report(wp.MeasureApplied)
	x.check(m.AppliedBy != nil && m.AppliedBy.Op == op.OperationID, "it is not said to be applied by %s: %s", op.OperationID, inJSON(m))
	config := x.file(e2eConfig)
	var without []string
	for part := range strings.Lines(config) {
		if !strings.Contains(part, line) {
			without = append(without, part)
		}
	}
	x.put(e2eConfig, strings.Join(without, ""))
	x.wordpress(false, `return defined( 'DISALLOW_FILE_EDIT' );`)
	m = report(wp.MeasureDrifted)
	x.check(m.Drift != "" && len(m.Diff) > 0, "the drift is not explained: %s", inJSON(m))
	x.put(e2eConfig, config)
}

func checkDebug(x *exam) {
	const noisy = "wp-content/mu-plugins/e2e-noisy.php"
	x.put(noisy, "") // its directory, which WordPress may have made already, stays
	x.drop(noisy)
	asBefore := x.exactly()
	x.wordpress(false, `return WP_DEBUG;`)
	x.undo(func() {
		x.toggle("toggle-debug", false, nil)
		x.wordpress(false, `return WP_DEBUG;`)
		asBefore()
	})
	x.undo(func() { x.drop(noisy) })
	var on tasks.SecurityResult
	x.toggle("toggle-debug", true, &on)
	x.wordpress([]any{true, on.Log, false}, `return array( WP_DEBUG, WP_DEBUG_LOG, WP_DEBUG_DISPLAY );`)
	x.put(noisy, "<?php\ntrigger_error( 'a noise of our own' );\n")
	page := x.answers(http.StatusOK, "/")
	x.check(!strings.Contains(page, "a noise of our own"), "visitors see the error")
	log, err := os.ReadFile(on.Log)
	x.check(err == nil && strings.Contains(string(log), "a noise of our own") && !strings.HasPrefix(on.Log, x.docroot()+"/"),
		"the log %s has %.200q, %v", on.Log, log, err)
}

func checkFileProtection(x *exam) {
	const wide = "wp-content/uploads/e2e-wide.txt"
	x.undo(func() { x.drop(uploadFile, wide, ".e2e-hidden") })
	x.put(uploadFile, "<?php echo 'shell';")
	x.put(wide, "text")
	x.put(".e2e-hidden", "text")
	x.tenant("", "chmod", "0666", wide)
	asBefore := x.exactly()
	web := x.apache()
	closed := []string{"wp-config.php", uploadFile, "readme.html", "wp-includes/version.php", ".e2e-hidden"}
	for _, path := range closed {
		web.answers(x, http.StatusOK, "/"+path)
	}
	x.undo(func() {
		x.toggle("file-protection", false, nil)
		asBefore()
		for _, path := range closed {
			web.answers(x, http.StatusOK, "/"+path)
		}
	})
	var on tasks.SecurityResult
	x.toggle("file-protection", true, &on)
	for _, m := range on.Measures {
		x.check(m.Status == wp.MeasureApplied, "%s is %s: %s", m.ID, m.Status, m.Reason)
	}
	x.check(len(on.Measures) == len(wp.FileProtection()), "%d measures", len(on.Measures))
	for _, path := range closed {
		web.answers(x, http.StatusForbidden, "/"+path)
	}
	web.answers(x, http.StatusOK, "/"+wide)
	x.answers(http.StatusOK, "/")
	x.wordpress([]any{"0644", true}, `$c = fileperms( ABSPATH . 'wp-config.php' );
		return array( sprintf( '%04o', fileperms( ABSPATH . $args[0] ) & 07777 ), 0 === ( $c & 0007 ) );`, wide)
}

// seen is how each of the other measures shows: by a visit of Apache, or in PHP.
var seen = map[string]struct {
	path   string // answered 200 without the measure and 403 with it
	header string // or a header that comes with it
	php    string // or what PHP says, and what it says with the measure
	value  any
	ask    func(*exam) any // or what else shows it, and what that gives with the measure: value
}{
	wp.MeasureBrowsing:    {path: "/wp-content/uploads/"},
	wp.MeasureXMLRPC:      {path: "/xmlrpc.php"},
	wp.MeasureXMLRPCLimit: {ask: (*exam).xmlrpc, value: xmlrpcTakes{Single: true}},
	wp.MeasureAuthorScan:  {path: "/?author=1"},
	wp.MeasureBackupFiles: {path: "/e2e-dump.sql"},
	wp.MeasureHeaders:     {path: "", header: "X-Content-Type-Options"},
	wp.MeasureScripts:     {path: "/wp-admin/load-scripts.php", php: `return defined( 'CONCATENATE_SCRIPTS' ) ? CONCATENATE_SCRIPTS : 'undefined';`, value: false},
	wp.MeasurePingbacks:   {php: `return array( get_option( 'default_ping_status' ), get_post( 1 )->ping_status );`, value: []any{"closed", "closed"}},
}

// checkMeasures applies all others, each seen by itself, and takes them back one by one.
func checkMeasures(x *exam) {
	x.freshKeys() // what nothing takes back comes first
	x.undo(func() { x.drop("e2e-dump.sql", "wp-content/uploads/e2e.txt") })
	x.put("e2e-dump.sql", "DROP TABLE")
	x.put("wp-content/uploads/e2e.txt", "text")
	web := x.apache()
	x.undo(x.exactly())
	for _, id := range tasks.OtherMeasures() {
		if id == wp.MeasureSecurityKeys {
			continue
		}
		how, known := seen[id]
		x.check(known, "nothing checks %s", id)
		look := func() [2]any {
			if how.ask != nil {
				return [2]any{nil, how.ask(x)}
			}
			return x.measure(web, how.path, how.header, how.php)
		}
		was := look()
		x.undo(func() {
			x.toggle(id, false, nil)
			x.check(alike(look(), was), "%s does not go away", id)
		})
		x.toggle(id, true, nil)
		now := look()
		x.check(now[0] == shut(how.path, how.header) && (how.value == nil || alike(now[1], how.value)) && !alike(was, now), "%s: before %v, then %v", id, was, now)
	}
	x.answers(http.StatusOK, "/")
}

// freshKeys ends the sessions of everybody.
func (x *exam) freshKeys() {
	var before, after string
	x.ask(&before, `return AUTH_KEY;`)
	session, _ := x.logsIn(loginPage, e2eAdmin, x.password)
	x.visits(session, http.StatusOK, "/wp-admin/profile.php", nil)
	x.toggle(wp.MeasureSecurityKeys, true, nil)
	x.ask(&after, `return AUTH_KEY;`)
	x.check(before != after && len(after) >= 60, "the key is as before, or short")
	x.visits(session, http.StatusFound, "/wp-admin/profile.php", nil)
}

func shut(path, header string) any {
	switch {
	case header != "":
		return "nosniff"
	case path != "":
		return http.StatusForbidden
	}
	return nil
}

// measure is what Apache answers, and what PHP says.
func (x *exam) measure(web *apache, path, header, php string) (got [2]any) {
	if path != "" || header != "" {
		status, h := web.ask(x, path)
		got[0] = status
		if header != "" {
			got[0] = h.Get(header)
		}
	}
	if php != "" {
		x.ask(&got[1], php)
	}
	return got
}
