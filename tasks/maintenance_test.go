package tasks

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp"
)

func TestMaintenanceClosesASiteForAsLongAsItShould(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "mara", "closed.test", "public_html", Install{})
	o.mustEnd(Succeeded)
	addr := o.serve()

	first := o.then(t, "maintenance", `{"enabled":true,"minutes":90}`)
	r := answerOf[MaintenanceResult](t, first.mustEnd(Succeeded))
	if left := time.Until(*r.Until); !r.Enabled || r.Before != wp.MarkerNone || left < 88*time.Minute || left > 90*time.Minute {
		t.Errorf("%+v", r)
	}
	o.mustAnswer(addr, http.StatusServiceUnavailable)

	// WordPress forgets a marker of its own after ten minutes; this one it does not.
	file := filepath.Join(o.docroot(), wp.MaintenanceFile)
	hour := time.Now().Add(time.Hour)
	must(t, os.Chtimes(file, hour.Add(-3*time.Hour), hour.Add(-3*time.Hour)))
	o.mustAnswer(addr, http.StatusServiceUnavailable)

	again := o.then(t, "maintenance", `{"enabled":true}`)
	r = answerOf[MaintenanceResult](t, again.mustEnd(Succeeded))
	if left := time.Until(*r.Until); r.Before != wp.MarkerOurs || left > 60*time.Minute {
		t.Errorf("%+v", r)
	}
	must(t, os.WriteFile(file, wp.RenderMaintenance(again.op.ID, time.Now().Add(-time.Second)), 0o644))
	o.mustAnswer(addr, http.StatusOK) // its time is over, though it is still there

	r = answerOf[MaintenanceResult](t, o.then(t, "maintenance", `{"enabled":false}`).mustEnd(Succeeded))
	if _, err := os.Lstat(file); !os.IsNotExist(err) || r.Enabled || r.Until != nil || r.Before != wp.MarkerOurs {
		t.Errorf("%v %+v", err, r)
	}
	o.mustAnswer(addr, http.StatusOK)
	o.then(t, "maintenance", `{"enabled":false}`).mustEnd(Succeeded) // open already
}

func TestForeignMaintenanceIsLeftAlone(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	o := n.order(t, "nora", "foreign.test", "public_html", Install{})
	must(t, write(o.docroot(), "wp-includes/version.php"))
	giveTo(t, "nora", o.home())
	file := filepath.Join(o.docroot(), wp.MaintenanceFile)
	updating := fmt.Sprintf("<?php $upgrading = %d; ?>", time.Now().Unix())
	for name, c := range map[string]struct {
		marker, payload string
		code            string
	}{
		"closing over an update":        {updating, `{"enabled":true}`, CodeConflict},
		"opening an update":             {updating, `{"enabled":false}`, CodeConflict},
		"opening what code decides":     {"<?php $upgrading = time();", `{"enabled":false}`, CodeConflict},
		"opening one of ours, edited":   {string(wp.RenderMaintenance("op_1", time.Now().Add(time.Hour))) + "// mine\n", `{"enabled":false}`, CodeConflict},
		"opening an update that died":   {"<?php $upgrading = 1700000000; ?>", `{"enabled":false}`, ""},
		"opening one with force":        {updating, `{"enabled":false,"force":true}`, ""},
		"closing over one that died":    {"<?php $upgrading = 1700000000; ?>", `{"enabled":true}`, ""},
		"closing over one, with force":  {updating, `{"enabled":true,"force":true}`, ""},
		"opening one that PHP computes": {"<?php include '/etc/x';", `{"enabled":false,"force":true}`, ""},
	} {
		must(t, os.WriteFile(file, []byte(c.marker), 0o644))
		giveTo(t, "nora", o.home())
		op := o.then(t, "maintenance", c.payload)
		out, err := op.attempt()
		must(t, err)
		if c.code != "" {
			if now, err := os.ReadFile(file); out.State != Failed || out.Error.Code != c.code || err != nil || string(now) != c.marker {
				t.Errorf("%s: %s %+v, marker %q %v", name, out.State, out.Error, now, err)
			}
			continue
		}
		// The node has no PHP that could confirm it.
		if out.State != Unverified || out.Error.Code != CodeUnconfirmed {
			t.Errorf("%s: %s %+v", name, out.State, out.Error)
		}
	}
}

func TestMaintenanceThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	o := n.order(t, "olga", "back.test", "public_html", Install{})
	must(t, write(o.docroot(), "wp-includes/version.php"))
	file := filepath.Join(o.docroot(), wp.MaintenanceFile)
	for _, before := range []string{"", "<?php $upgrading = 1700000000; ?>", string(wp.RenderMaintenance("op_1", time.Now().Add(time.Hour)))} {
		for _, payload := range []string{`{"enabled":true}`, `{"enabled":false}`} {
			must(t, os.RemoveAll(file))
			if before != "" {
				must(t, os.WriteFile(file, []byte(before), 0o644))
			}
			giveTo(t, "olga", o.home())
			op := o.then(t, "maintenance", payload)
			cancelled := make(chan struct{})
			op.cfg.Cancelled = cancelled
			op.fail = func(e Entry) error {
				if e.Mark == MarkDone && e.Step == "marker" {
					close(cancelled)
				}
				return nil
			}
			op.mustEnd(Cancelled)
			if now, _ := os.ReadFile(file); string(now) != before {
				t.Errorf("%s: the marker was %q and is %q", payload, before, now)
			}
		}
	}
}

// mustAnswer asks the site's front page, at the address that serve gave.
func (o *order) mustAnswer(addr string, status int) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "http://"+addr+"/", nil)
	must(o.t, err)
	req.Host = o.op.Site.Domain
	res, err := http.DefaultClient.Do(req)
	must(o.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(o.t, err)
	if res.StatusCode != status || status == http.StatusServiceUnavailable && !strings.Contains(string(body), "maintenance") {
		o.t.Errorf("the site answers %d: %.200s", res.StatusCode, body)
	}
}
