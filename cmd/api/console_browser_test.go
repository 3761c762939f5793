//go:build browser

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/deploy/devtools"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
	"github.com/wispanel/wptk/wp/proc"
)

// visit is the console in a real browser. Its first failure ends it.
type visit struct {
	*devtools.Tab
	t   *testing.T
	ctx context.Context
}

func (v *visit) must(err error) {
	v.t.Helper()
	if err != nil {
		if shot := v.Screenshot(v.ctx, v.t.ArtifactDir(), "failed"); shot != nil {
			v.t.Log(shot)
		}
		v.t.Fatal(err)
	}
}

func (v *visit) until(is string)         { v.t.Helper(); v.must(v.Until(v.ctx, is)) }
func (v *visit) press(key string)        { v.t.Helper(); v.must(v.Press(v.ctx, key)) }
func (v *visit) open(address, is string) { v.t.Helper(); v.must(v.Open(v.ctx, address, is)) }

func (v *visit) run(script string) any {
	v.t.Helper()
	got, err := v.Run(v.ctx, script)
	v.must(err)
	return got
}

// types writes into what has the focus, a key at a time.
func (v *visit) types(text string) {
	v.t.Helper()
	for _, c := range text {
		v.press(string(c))
	}
}

// picture is kept as an artifact, and among the documents' pictures when they are made anew.
func (v *visit) picture(name string) {
	v.t.Helper()
	dir := v.t.ArtifactDir()
	if *update {
		dir = filepath.Join("..", "..", "docs", "pictures")
	}
	v.must(v.Screenshot(v.ctx, dir, name))
}

// browse starts a Chromium and opens one tab of it.
func browse(t *testing.T, fn func(v *visit)) {
	t.Helper()
	chromium := ""
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "chromium")); err == nil {
			chromium = filepath.Join(dir, "chromium")
		}
	}
	if chromium == "" {
		t.Fatal("no chromium in PATH: deploy/setup.sh --with-browser")
	}
	b, err := devtools.New()
	must(t, err)
	home, err := os.MkdirTemp("", "wptk-browser-") // t.TempDir is too long for the name of a socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	said := &strings.Builder{}
	p, err := proc.Start(context.Background(), proc.Spec{Path: chromium, Args: devtools.Args(home, "--no-proxy-server"), Dir: home, Keep: b.Child(), Trusted: true,
		Stdout: said, Stderr: said, Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8"}})
	must(t, errors.Join(err, b.Listen()))
	t.Cleanup(func() {
		must(t, b.Close())
		if err := p.Stop(context.Background()); err != nil || t.Failed() {
			t.Logf("chromium: %v: %.2000s", err, said)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	must(t, b.Browse(ctx, func(tab *devtools.Tab) error {
		v := &visit{Tab: tab, t: t, ctx: ctx}
		v.must(v.Size(ctx, 1360, 800))
		v.must(v.Scheme(ctx, "light"))
		fn(v)
		return nil
	}))
}

// rowOf is the row of a list for a domain, as an expression.
func rowOf(list, domain string) string {
	return fmt.Sprintf("[...document.querySelectorAll('#%s .row')].find((row) => row.textContent.startsWith('%s'))", list, domain)
}

const detailSays = "document.querySelector('#detail').innerText.includes(%q)"

func TestWorkIsWatchedAndSteeredWithABrowser(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.register("fra-web-01")
	f.publish(n, "fra-web-01", "hostile.example", hostileTitle)
	f.submit("fra-web-02", "core.update", "customer-1-3.example")
	f.submit("fra-web-02", "backup", "customer-1-10.example")
	f.submit("fra-web-01", "core.update", "customer-0-1.example")
	f.submit("fra-web-01", "install", "shop.example")
	code := f.consoleCode(f.admin)
	browse(t, func(v *visit) {
		v.open(f.api.URL+"/console#"+code, "document.body.dataset.view === 'console' && document.querySelector('#link').textContent === 'live'")
		if at := v.run("location.href"); at != f.api.URL+"/console" {
			t.Errorf("the code stays in the address: %s", at)
		}
		v.until("document.querySelectorAll('.node').length === 6 && document.querySelector('.node[data-state=lost]') && document.querySelector('.node[data-state=draining]')")
		v.until(rowOf("failed", "shop.example") + "?.textContent.includes('refused the connection')")
		v.watchesAnInstall(f)
		v.cancelsOne()
		v.triesAgain(f)
		v.findsAnInstall()
		v.askedNobodyElse(f.api.URL)
	})
}

// watchesAnInstall begins after the page was opened: all that is seen came by the stream.
func (v *visit) watchesAnInstall(f *fleet) {
	v.t.Helper()
	f.submit("fra-web-01", "install", "blog.example")
	steps := []tasks.Event{
		{State: tasks.Running, Progress: 8, Step: "prepare", StepIndex: 1, StepsTotal: 5, Message: "Checking the domain's directory"},
		{State: tasks.Running, Progress: 30, Step: "database", StepIndex: 2, StepsTotal: 5, Message: "Creating database and user"},
		{State: tasks.Running, Progress: 55, Step: "files", StepIndex: 3, StepsTotal: 5, Message: "Copying WordPress 6.9.4"},
		{State: tasks.Running, Progress: 80, Step: "core_install", StepIndex: 4, StepsTotal: 5, Message: "Running the installer"},
	}
	for i, e := range steps {
		f.advance <- e
		v.until(rowOf("running", "blog.example") + fmt.Sprintf("?.textContent.includes('%d %%')", e.Progress))
		if i == 1 {
			v.run(rowOf("running", "blog.example") + ".focus()")
			v.press("Enter")
			v.until("document.querySelectorAll('#detail .steps li').length === 2")
		}
	}
	v.until("document.querySelectorAll('#detail .steps li').length === 4 && document.querySelector('#detail pre').innerText.includes('wp core_install')")
	v.picture("console-light")
	v.must(v.Scheme(v.ctx, "dark"))
	v.picture("console-dark")
	v.must(v.Scheme(v.ctx, "light"))
	close(f.advance)
	v.until(fmt.Sprintf(detailSays, "succeeded") + " && document.querySelector('#detail pre').innerText.includes('installed successfully')")
	v.until("!" + rowOf("running", "blog.example"))
	v.press("Escape")
	v.until("document.querySelector('#detail').hidden")
}

// cancelsOne by the keyboard alone: a key pressed once asks, twice does it.
func (v *visit) cancelsOne() {
	v.t.Helper()
	for range 20 {
		if v.run("document.activeElement.textContent.startsWith('customer-1-3.example')") == true {
			break
		}
		v.press("j")
	}
	v.press("Enter")
	v.until(fmt.Sprintf(detailSays, "customer-1-3.example"))
	v.press("c")
	v.until(fmt.Sprintf(detailSays, "Really cancel"))
	v.press("c")
	v.until(fmt.Sprintf(detailSays, "cancelled"))
	v.press("Escape")
	v.until("document.activeElement.matches('.row, body')")
}

func (v *visit) triesAgain(f *fleet) {
	v.t.Helper()
	v.run(rowOf("failed", "shop.example") + ".click()")
	v.until(fmt.Sprintf(detailSays, "Look at MariaDB on the node"))
	v.press("r")
	v.until(fmt.Sprintf(detailSays, "succeeded"))
	if n := f.attempts.Load(); n != 2 {
		v.t.Errorf("shop.example was begun %d times", n)
	}
	v.press("Escape")
}

// findsAnInstall whose owner would like to own the page.
func (v *visit) findsAnInstall() {
	v.t.Helper()
	v.press("/")
	v.until("document.activeElement.id === 'search'")
	v.types("hostile")
	v.until(rowOf("results", "hostile.example"))
	v.press("Enter")
	v.until("!document.querySelector('#install').hidden && document.querySelector('#install').innerText.includes(" + fmt.Sprintf("%q", hostileTitle) + ")")
	if v.run("document.title") != "WordPress operations" || v.run("document.querySelector('main img, #install b')") != nil {
		v.t.Error("a title has become markup")
	}
	v.press("Escape")
	v.until("document.querySelector('#install').hidden")
	v.press("?")
	v.until("document.querySelector('#help').open")
	v.press("Escape")
	v.until("!document.querySelector('#help').open")
}

// askedNobodyElse looks at every request and every refusal of the policy since the page began.
func (v *visit) askedNobodyElse(base string) {
	v.t.Helper()
	if other := v.run("performance.getEntriesByType('resource').map((e) => e.name).filter((name) => !name.startsWith('" + base + "/')).join(' ')"); other != "" {
		v.t.Errorf("the page asked %s", other)
	}
	const reports = "new Promise((told) => { const all = []; new ReportingObserver((list) => all.push(...list.map((r) => r.body.effectiveDirective + ' ' + r.body.blockedURL)), { buffered: true }).observe(); setTimeout(() => told(all.join(', ')), 200); })"
	if refused := v.run(reports); refused != "" {
		v.t.Errorf("the policy had to refuse %s", refused)
	}
	got := v.run("(() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken'; } catch { return 'refused'; } })()")
	if got != "refused" {
		v.t.Error("the page may make markup of text")
	}
}

func TestPeopleSignInWithAKeyAndOutWithABrowser(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	key, secret, err := k.client.CreateKey(t.Context(), queue.NewKey{Name: "laptop", Owner: "operator", Role: queue.RoleAdmin})
	must(t, err)
	const in, out = "document.body.dataset.view === 'console'", "document.body.dataset.view === 'sign-in'"
	browse(t, func(v *visit) {
		v.open(k.api.URL+"/console", out+" && document.activeElement.id === 'key'")
		v.picture("console-sign-in")
		v.types(k.alice[:20])
		v.press("Enter")
		v.until("document.querySelector('#sign-in-problem').textContent.includes('Invalid API key')")
		v.must(v.Fill(v.ctx, "#key", secret))
		v.press("Enter")
		v.until(in + " && document.querySelector('#who').textContent === 'operator · laptop'")
		kept := v.run("JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href, document.querySelector('#key').value])").(string)
		if strings.Contains(kept, "wsp_") || !strings.Contains(kept, "wss_") || !strings.Contains(kept, `,{},"",`) {
			t.Errorf("the browser keeps %s", kept)
		}
		v.open(k.api.URL+"/console", in) // a reload stays signed in
		v.run("document.querySelector('#sign-out').click()")
		v.until(out + " && sessionStorage.length === 0")

		v.must(v.Fill(v.ctx, "#key", secret))
		v.press("Enter")
		v.until(in)
		must(t, k.client.RevokeKey(t.Context(), "", key.ID))
		v.until(out + " && document.querySelector('#sign-in-problem').textContent === 'The session has ended.'")
		v.open(k.api.URL+"/console#"+strings.Repeat("0", 48), out+" && document.querySelector('#sign-in-problem').textContent.includes('not valid')")
	})
}

// However the network cuts a stream into pieces, the same events come out.
func TestEventsSurviveEveryCutWithABrowser(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	browse(t, func(v *visit) {
		v.open(k.api.URL+"/console", "document.body.dataset.view === 'sign-in'")
		got := v.run(`import('/console/sse.js').then(async ({ events }) => {
			const bytes = new TextEncoder().encode(': still here\n\nid: 1\nevent: progress\ndata: {"title":"Übergröße 🎉"}\n\nid: 2\n: still here\n\nid: 3\nevent: done\ndata: {}\n\nid: 4\nevent: cut');
			const seen = new Set();
			for (let cut = 0; cut <= bytes.length; cut++) {
				const body = new ReadableStream({ start(c) { c.enqueue(bytes.slice(0, cut)); c.enqueue(bytes.slice(cut)); c.close(); } });
				const all = [];
				for await (const event of events(body)) all.push(event);
				seen.add(JSON.stringify(all));
			}
			return [...seen].join('\n');
		})`)
		want := `[{},{"id":"1","name":"progress","data":"{\"title\":\"Übergröße 🎉\"}"},{"id":"2"},{"id":"3","name":"done","data":"{}"}]`
		if got != want {
			t.Errorf("got %v\nwant %s", got, want)
		}
	})
}
