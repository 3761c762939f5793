package tasks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/wptest"
)

// inspect runs site.inspect on a site of the node as a fresh worker would.
func (n *node) inspect(t *testing.T, account, domain, path string) (Outcome, *wp.Details) {
	t.Helper()
	task, spec, err := Decode("site.inspect", []byte("{}"))
	must(t, err)
	op := Op{ID: NewOpID(n.host.Node), Kind: spec.Kind, Class: spec.Class, Attempt: 1, Site: SiteRef{
		ID: SiteID(n.host.Node, account, domain, path), Node: n.host.Node, Account: account, Domain: domain, Path: path}}
	run := &Run{Op: op, Host: n.host}
	run.Site, run.Missing = n.host.Find(account, domain, path)
	journal, _ := openJournal(t)
	out, err := Execute(t.Context(), ExecuteConfig{Op: op, Run: run, Spec: spec, Task: task, Journal: journal})
	must(t, err)
	return out, run.Inspected
}

func TestInspectionFindsWhatIsThereAndWhatBreaksIt(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "ines", "look.test", "public_html", Install{})
	o.mustEnd(Succeeded)

	out, d := n.inspect(t, "ines", "look.test", "public_html")
	var r SiteInspectResult
	must(t, json.Unmarshal(out.Result, &r))
	if out.State != Succeeded || r.Status != wp.StatusOK || r.Version == "" || r.Plugins == 0 || r.Themes == 0 || r.FilesBytes < 10<<20 || r.DatabaseBytes == 0 {
		t.Errorf("%s %+v", out.State, r)
	}
	if d == nil || d.Options.Home != "http://look.test" || d.Users.Admins[0].Login != "boss" {
		t.Errorf("%+v", d)
	}

	must(t, os.MkdirAll(filepath.Join(o.docroot(), "wp-content/mu-plugins"), 0o755))
	must(t, os.WriteFile(filepath.Join(o.docroot(), "wp-content/mu-plugins/own.php"), []byte("<?php\nthrow new Exception( 'no' );"), 0o644))
	out, d = n.inspect(t, "ines", "look.test", "public_html")
	if out.State != Succeeded || d.Status != wp.StatusBroken || d.Culprit == nil || d.Culprit.Type != "must-use" || d.Culprit.Slug != "own" || d.Limited {
		t.Errorf("%s %+v", out.State, d)
	}
}

func TestInspectionOfNothingSaysSo(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	wptest.Domain(t, n.home, "ned", "empty.test")
	for path, code := range map[string]string{"public_html": CodeNoWordPress, "": CodeNoWordPress} {
		if out, _ := n.inspect(t, "ned", "empty.test", path); out.State != Failed || out.Error.Code != code {
			t.Errorf("%q: %s %+v", path, out.State, out.Error)
		}
	}
	if out, _ := n.inspect(t, "ned", "gone.test", "public_html"); out.State != Failed || out.Error.Code != CodeUnknownDomain {
		t.Errorf("%s %+v", out.State, out.Error)
	}
}
