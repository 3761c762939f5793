package wp

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// webOf serves a site of ours.
func webOf(t *testing.T, pages http.HandlerFunc) (Web, Site) {
	t.Helper()
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	// The name leads nowhere: only the node's own address may be asked.
	site, err := Site{}.WithURL("https://probe.invalid/blog")
	if err != nil {
		t.Fatal(err)
	}
	return Web{Probe: server.URL}, site
}

func TestVisitAsksTheNodesOwnServerUnderTheSitesName(t *testing.T) {
	t.Parallel()
	w, site := webOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "probe.invalid" || r.Header.Get(ProbeHeader) != "door" || r.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("%s %v", r.Host, r.Header)
		}
		switch r.URL.Path {
		case "/blog/":
			fmt.Fprint(w, "<html><title>\n A &amp; B\x00</title>hello")
		case "/blog/moved":
			http.Redirect(w, r, "https://probe.invalid/blog/", http.StatusMovedPermanently)
		case "/blog/away":
			http.Redirect(w, r, "https://169.254.169.254/latest", http.StatusFound)
		case "/blog/loop":
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		case "/blog/spiral":
			http.Redirect(w, r, r.URL.Path+"?x="+r.URL.Query().Get("x")+"x", http.StatusFound)
		case "/blog/lost":
			http.Redirect(w, r, "/blog/wp-admin/install.php", http.StatusFound)
		case "/blog/broken":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "<br />\n<b>Fatal error</b>:  Uncaught Error: Call to undefined function gone() in /home/x.php:3")
		case "/blog/closed":
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/blog/cut":
			hijacked, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = hijacked.Close()
			}
		default:
			fmt.Fprint(w, "There has been a critical error on this website.")
		}
	})
	paths := []string{"", "moved", "away", "loop", "spiral", "lost", "broken", "closed", "cut", "else"}
	views := w.Visit(t.Context(), site, paths, "door")
	for i, want := range []PageView{
		{Status: 200, Title: "A & B"}, {Status: 200, Title: "A & B"}, {Status: 302}, {Status: 302, Loop: true},
		{Status: 302, Loop: true}, {Status: 200, Setup: true, Fatal: "There has been a critical error on this website"},
		{Status: 500, Fatal: "Uncaught Error: Call to undefined function gone() in /home/x.php:3"}, {Status: 503, Closed: true}, {},
		{Status: 200, Fatal: "There has been a critical error on this website"},
	} {
		got := views[i]
		want.Path = paths[i]
		if got.Status/100 == 3 {
			got.Length, got.Title = 0, ""
		}
		got.Length, want.Length = 0, 0
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestWorseIsWhatAVisitorWouldNotice(t *testing.T) {
	t.Parallel()
	long := PageView{Status: 200, Length: 10_000}
	for _, c := range []struct {
		name          string
		before, after PageView
		worse         string
	}{
		{"the same", long, long, ""},
		{"a new class", long, PageView{Status: 404, Length: 9000}, "answers 404, and answered 200"},
		{"no answer", long, PageView{}, "does not answer"},
		{"a shorter page", long, PageView{Status: 200, Length: 3999}, "has 3999 bytes"},
		{"a little shorter", long, PageView{Status: 200, Length: 4000}, ""},
		{"a short page that is empty now", PageView{Status: 200, Length: 900}, PageView{Status: 200}, ""},
		{"a page that is cut off", PageView{Status: 200, Length: 10_000, Whole: true}, PageView{Status: 200, Length: 9000}, "cut off"},
		{"a fatal error in a page that answers 200", long, PageView{Status: 200, Length: 10_000, Fatal: "x"}, "fatal error: x"},
		{"the fatal error of before", PageView{Status: 500, Fatal: "x"}, PageView{Status: 500, Fatal: "x"}, ""},
		{"another fatal error", PageView{Status: 500, Fatal: "x"}, PageView{Status: 500, Fatal: "y"}, "fatal error: y"},
		{"our maintenance page", long, PageView{Status: 503, Closed: true}, ""},
		{"a loop of before", PageView{Status: 302, Loop: true}, PageView{Status: 302, Loop: true}, ""},
		{"a new loop", long, PageView{Status: 302, Loop: true}, "for ever"},
		{"the installer", long, PageView{Status: 200, Length: 10_000, Setup: true}, "setup of WordPress"},
		{"a page that was broken and works", PageView{Status: 500, Fatal: "x"}, long, ""},
		{"another kind of refusal", PageView{Status: 401}, PageView{Status: 403}, ""},
	} {
		before := Sight{Health: Health{Up: true}, Pages: []PageView{c.before}}
		got := strings.Join(Sight{Health: Health{Up: true}, Pages: []PageView{c.after}}.Worse(before), "; ")
		if c.worse == "" && got != "" || !strings.Contains(got, c.worse) {
			t.Errorf("%s: %q, want %q", c.name, got, c.worse)
		}
	}
	down := Sight{Health: Health{Reason: "plugin x"}, Errors: []string{"old", "new"}}
	if got := down.Worse(Sight{Health: Health{Up: true}, Errors: []string{"old"}}); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := down.Worse(down); len(got) != 0 {
		t.Errorf("a site that was down: %q", got)
	}
}

func TestLengthOfAPageIsWhatVisitorsSee(t *testing.T) {
	t.Parallel()
	var p PageView
	p.read(&http.Response{StatusCode: http.StatusOK}, []byte("<html><style>"+strings.Repeat("x", 5000)+"</style><p>hi<SCRIPT src=a>\n</SCRIPT></html>"))
	if p.Length != 18 || !p.Whole {
		t.Errorf("%+v", p)
	}
}

func TestClosedMarkerIsOursAndHidesTheSecret(t *testing.T) {
	t.Parallel()
	now := time.Now()
	text := RenderClosed("op_0190-ab", now.Add(time.Hour), ProbeHash("open sesame"))
	mark := ParseMaintenance(text, now)
	if mark.Kind != MarkerOurs || mark.Op != "op_0190-ab" || !mark.On(now) || strings.Contains(string(text), "sesame") {
		t.Errorf("%+v\n%s", mark, text)
	}
	if edited := ParseMaintenance(append(slices.Clone(text), "exit;\n"...), now); edited.Kind == MarkerOurs {
		t.Error("an edited marker is ours")
	}
}

func TestVisitGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	site, err := Site{}.WithURL("http://probe.invalid")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextThatEnds(t, listener)
	defer cancel()
	for _, v := range (Web{Probe: "http://" + listener.Addr().String()}).Visit(ctx, site, []string{"", "x"}, "") {
		if v.Status != 0 {
			t.Errorf("%+v", v)
		}
	}
}

func FuzzPageIsRead(f *testing.F) {
	f.Add("<title>x</title><b>Fatal error</b>: y")
	f.Add("PHP Parse error:  syntax error\nThere has been a critical error on this website")
	f.Fuzz(func(t *testing.T, body string) {
		var p PageView
		p.read(&http.Response{StatusCode: http.StatusOK, Header: http.Header{}}, []byte(body))
		for _, text := range []string{p.Title, p.Fatal} {
			if strings.ContainsFunc(text, isControl) || len(text) > 800 {
				t.Errorf("%q", text)
			}
		}
	})
}

// contextThatEnds ends when somebody has connected.
func contextThatEnds(t *testing.T, listener net.Listener) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := listener.Accept(); err == nil {
			cancel()
			_ = conn.Close()
		}
	}()
	return ctx, cancel
}
