package tasks

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
)

const (
	methodNotFound = "<int>-32601</int>"
	limitOn        = `{"measure":"limit-xmlrpc","enabled":true}`
	limitOff       = `{"measure":"limit-xmlrpc","enabled":false}`
)

func xmlValue(text string) string { return "<value><string>" + text + "</string></value>" }

// calls makes one call of XML-RPC, as apps do.
func (v *visited) calls(t *testing.T, method string, params ...string) string {
	t.Helper()
	body := `<?xml version="1.0"?><methodCall><methodName>` + method + "</methodName><params>"
	for _, p := range params {
		body += "<param>" + p + "</param>"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.SiteURL+"/xmlrpc.php", strings.NewReader(body+"</params></methodCall>"))
	must(t, err)
	req.Header.Set("Content-Type", "text/xml")
	res, err := v.browser(t).http.Do(req)
	must(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.300s", method, res.Status, answer)
	}
	return string(answer)
}

// takes is what XML-RPC of the site takes: a bundle of calls, a pingback, a single call with a
// password; and what it announces.
type takes struct {
	bundle, pingback, single, announced bool
	listed                              []string
}

func (v *visited) takes(t *testing.T, password string) takes {
	t.Helper()
	bundle := `<value><array><data><value><struct><member><name>methodName</name>` + xmlValue("system.listMethods") +
		`</member><member><name>params</name><value><array><data></data></array></value></member></struct></value></data></array></value>`
	got := takes{
		bundle:    strings.Contains(v.calls(t, "system.multicall", bundle), "wp.getUsersBlogs"),
		pingback:  !strings.Contains(v.calls(t, "pingback.ping", xmlValue("https://elsewhere.test/"), xmlValue(v.SiteURL+"/?p=1")), methodNotFound),
		single:    strings.Contains(v.calls(t, "wp.getUsersBlogs", xmlValue("boss"), xmlValue(password)), "blogName"),
		announced: v.browser(t).get("?p=1").header.Get("X-Pingback") != "",
	}
	methods, capabilities := v.calls(t, "system.listMethods"), v.calls(t, "system.getCapabilities")
	for _, name := range []string{"system.multicall", "pingback.ping", "pingback.extensions.getPingbacks"} {
		if strings.Contains(methods, "<string>"+name+"</string>") || strings.Contains(capabilities, "<name>"+name+"</name>") {
			got.listed = append(got.listed, name)
		}
	}
	return got
}

func (v *visited) limitStatus(t *testing.T) wp.MeasureStatus {
	t.Helper()
	site, err := v.node.host.Find(v.op.Site.Account, v.op.Site.Domain, v.op.Site.Path)
	must(t, err)
	site.ID = v.op.Site.ID
	site, err = v.node.host.Addressed(t.Context(), site)
	must(t, err)
	d, err := v.node.host.Examine(t.Context(), site)
	must(t, err)
	i := slices.IndexFunc(d.Measures, func(s wp.MeasureStatus) bool { return s.ID == wp.MeasureXMLRPCLimit })
	if i < 0 {
		t.Fatalf("%v failed: %+v", d.Failed, d.Measures)
	}
	return d.Measures[i]
}

func TestLimitedXMLRPCTakesSingleCallsAlone(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var err error
	n.host.Measures, err = wp.OpenMeasures(t.TempDir())
	must(t, err)
	v := n.open(t, "xenia", "rpc.test", "public_html", Install{})
	const password = "s3cret for apps"
	v.does(t, "password.reset", asJSON(t, map[string]any{"user": v.AdminUser, "password": sealed(t, password)}), Succeeded)
	open := v.takes(t, password)
	if !open.bundle || !open.pingback || !open.single || !open.announced || len(open.listed) != 3 {
		t.Fatalf("a fresh site takes %+v", open)
	}
	dir := filepath.Dir(v.muPlugin())
	must(t, os.RemoveAll(dir))

	limited := func(when string) {
		t.Helper()
		if got := v.takes(t, password); got.bundle || got.pingback || !got.single || got.announced || len(got.listed) != 0 {
			t.Errorf("%s it takes %+v", when, got)
		}
	}
	free := func(when string) {
		t.Helper()
		if got := v.takes(t, password); got.bundle != open.bundle || got.pingback != open.pingback || !got.single || !got.announced || len(got.listed) != 3 {
			t.Errorf("%s it takes %+v", when, got)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s the directory of must-use plugins is there: %v", when, err)
		}
	}

	out := v.does(t, "security.measure", limitOn, Succeeded)
	if r := answerOf[SecurityResult](t, out); r.Already || len(r.Measures) != 1 || r.Measures[0].Status != wp.MeasureApplied {
		t.Errorf("%+v", r)
	}
	limited("applied,")
	if s := v.limitStatus(t); s.Status != wp.MeasureApplied || s.AppliedBy == nil {
		t.Errorf("%+v", s)
	}
	if r := answerOf[SecurityResult](t, v.does(t, "security.measure", limitOn, Succeeded)); !r.Already {
		t.Errorf("a second time: %+v", r)
	}
	v.limitDrifts(t, limited)
	v.limitIsCovered(t)
	v.does(t, "security.measure", limitOff, Succeeded)
	free("taken back,")
	if s := v.limitStatus(t); s.Status != wp.MeasureNotApplied || s.AppliedBy != nil {
		t.Errorf("%+v", s)
	}
	v.limitSurvives(t, limited, free)
}

// limitDrifts looks at what a tenant may do against it, who is allowed to.
func (v *visited) limitDrifts(t *testing.T, limited func(string)) {
	back := v.define(t, "define( 'WPTK_LIMIT_XMLRPC', false );")
	if s := v.limitStatus(t); s.Status != wp.MeasureDrifted || s.Drift == "" {
		t.Errorf("suspended: %+v", s)
	}
	back()
	must(t, os.Remove(v.muPlugin()))
	if s := v.limitStatus(t); s.Status != wp.MeasureDrifted {
		t.Errorf("without the plugin: %+v", s)
	}
	v.does(t, "security.measure", limitOn, Succeeded)
	limited("applied anew,")
}

// limitIsCovered applies block-xmlrpc as well: both hold, and each can be taken back.
func (v *visited) limitIsCovered(t *testing.T) {
	v.does(t, "security.measure", `{"measure":"block-xmlrpc","enabled":true,"server":"apache"}`, Succeeded)
	r := answerOf[SecurityResult](t, v.does(t, "security.measure", limitOn, Succeeded))
	if r.Measures[0].Reason != wp.XMLRPCClosed {
		t.Errorf("%+v", r)
	}
	if s := v.limitStatus(t); s.Status != wp.MeasureApplied || s.Reason != wp.XMLRPCClosed {
		t.Errorf("%+v", s)
	}
	v.does(t, "security.measure", `{"measure":"block-xmlrpc","enabled":false,"server":"apache"}`, Succeeded)
}

// limitSurvives kills the worker at boundaries of the journal, and cancels.
func (v *visited) limitSurvives(t *testing.T, limited, free func(string)) {
	for i, payload := range []string{limitOn, limitOff} {
		o := v.then(t, "security.measure", payload)
		r := &reaper{order: o, share: i, shares: 2, after: i == 0, seen: map[string]bool{}}
		o.fail = r.entry
		out, err := r.live()
		must(t, err)
		o.mustBe(out, Succeeded)
		if i == 0 {
			limited("after deaths,")
		} else {
			free("after deaths,")
		}
	}
	o := v.then(t, "security.measure", limitOn)
	o.fail = func(e Entry) error {
		if e.Mark == MarkDone && e.Step == "xmlrpc" {
			return errDead
		}
		return nil
	}
	if _, err := o.attempt(); err == nil {
		t.Fatal("the worker lives")
	}
	o.fail = nil
	cancelled := make(chan struct{})
	close(cancelled)
	o.cfg.Cancelled = cancelled
	o.mustEnd(Cancelled)
	free("cancelled,")
}
