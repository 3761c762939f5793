package wp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// PageView is what one page of a site answered. All texts are the tenant's, cleaned.
type PageView struct {
	Path   string `json:"path"`   // below the site's address, as it was asked for: "wp-login.php"
	Status int    `json:"status"` // of the last answer; 0: none came
	Length int64  `json:"length"` // of its body without styles and scripts, in bytes, at most maxPage
	Whole  bool   `json:"whole"`  // it is HTML to its end
	Title  string `json:"title,omitempty"`
	Fatal  string `json:"fatal,omitempty"`  // the last words of PHP, or of WordPress
	Closed bool   `json:"closed,omitempty"` // the maintenance page answered instead
	Loop   bool   `json:"loop,omitempty"`   // it redirects for ever
	Setup  bool   `json:"setup,omitempty"`  // it leads to the page that installs or upgrades WordPress
}

const (
	maxPage      = 4 << 20
	maxRedirects = 5
	pagesAtOnce  = 3 // a small pool of PHP processes has room left for others

	// ProbeHeader carries the secret that opens a closed site to a probe.
	ProbeHeader = "X-WisPanel-Probe"
)

// ProbeHash is what a maintenance marker knows of a probe's secret: some servers show the
// marker's text to anybody who asks.
func ProbeHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Visit asks the node's own web server for pages of a site, as a visitor without cookies. The
// address of the server is the node's configuration, whatever the name resolves to, and only
// redirects to the same host are followed. Nil when the node does not know where to ask.
func (w Web) Visit(ctx context.Context, site Site, paths []string, secret string) []PageView {
	if w.Probe == "" {
		return nil
	}
	v, err := w.visitor(site, secret)
	if err != nil {
		return nil
	}
	views := make([]PageView, len(paths))
	slots := make(chan struct{}, pagesAtOnce)
	var all sync.WaitGroup
	for i, path := range paths {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			views[i] = v.page(ctx, path)
		})
	}
	all.Wait()
	return views
}

type visitor struct {
	client *http.Client
	scheme string // of the server
	own    *url.URL
	secret string
}

// visitor asks the server at Probe for everything.
func (w Web) visitor(site Site, secret string) (*visitor, error) {
	at, err := url.Parse(w.Probe)
	if err != nil {
		return nil, err
	}
	own, err := url.Parse(site.URL)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: askTime}
	return &visitor{scheme: at.Scheme, own: own, secret: secret, client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, at.Host)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (v *visitor) page(ctx context.Context, path string) PageView {
	ctx, cancel := context.WithTimeout(ctx, 2*askTime)
	defer cancel()
	view := PageView{Path: path}
	address, err := v.own.Parse(strings.TrimRight(v.own.Path, "/") + "/" + path)
	if err != nil {
		return view
	}
	if address.RawQuery == "" { // page caches keep nothing with a query that they do not know
		address.RawQuery = "wptk-probe=" + randomText("abcdefghijklmnopqrstuvwxyz0123456789", 8)
	}
	seen := map[string]bool{}
	for range maxRedirects {
		if seen[address.RequestURI()] {
			view.Loop = true
			return view
		}
		seen[address.RequestURI()] = true
		next := v.look(ctx, address, &view)
		if next == nil || next.Host != v.own.Host {
			return view
		}
		address = next
	}
	view.Loop = true
	return view
}

// introduce says who asks.
func (v *visitor) introduce(req *http.Request) {
	req.Header.Set("User-Agent", "WisPanel-Probe/1")
	if v.secret != "" {
		req.Header.Set(ProbeHeader, v.secret)
	}
	if v.scheme == "http" && v.own.Scheme == "https" {
		req.Header.Set("X-Forwarded-Proto", "https") // else WordPress sends everybody away
	}
}

// look makes one request, and answers where it leads to.
func (v *visitor) look(ctx context.Context, address *url.URL, view *PageView) (next *url.URL) {
	asked := *address
	asked.Scheme = v.scheme
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, asked.String(), nil)
	if err != nil {
		return nil
	}
	req.Header.Set("Cache-Control", "no-cache") // a page from a cache tells nothing
	v.introduce(req)
	res, err := v.client.Do(req)
	if err != nil {
		view.Status = 0
		return nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxPage)) // a torn body shows in its length
	view.Status = res.StatusCode
	view.read(res, body)
	if res.StatusCode < 300 || res.StatusCode > 399 {
		return nil
	}
	to, err := address.Parse(res.Header.Get("Location"))
	if err != nil || res.Header.Get("Location") == "" {
		return nil
	}
	view.Setup = setupPage.MatchString(to.Path)
	return to
}

var (
	setupPage  = regexp.MustCompile(`/wp-admin/(?:setup-config|install|upgrade)\.php$`)
	pageTitle  = regexp.MustCompile(`(?is)<title[^>]*>(.{0,400}?)</title>`)
	phpFatal   = regexp.MustCompile(`(?i)(?:fatal|parse) error(?:</b>)?:\s{1,4}(.{1,300})`)
	wpCritical = regexp.MustCompile(`There has been a critical error on (?:this|your) website`)
	wpDatabase = regexp.MustCompile(`Error establishing a database connection`)
	htmlEnd    = regexp.MustCompile(`(?i)</html\s*>`)
	unseen     = regexp.MustCompile(`(?is)<style\b.*?</style>|<script\b.*?</script>`)
	anyTag     = regexp.MustCompile(`<[^>]{0,200}>`)
)

// read takes from a body what is compared later.
func (p *PageView) read(res *http.Response, body []byte) {
	if m := pageTitle.FindSubmatch(body); m != nil {
		p.Title = cleanLine(html.UnescapeString(string(m[1])), 120)
	}
	p.Fatal = fatalIn(string(body))
	// A fatal error behind the head of a page ends it there and then, without a word where
	// errors are not shown, and with the styles of the head it is still long.
	p.Whole = htmlEnd.Match(body)
	p.Length = int64(len(body))
	for _, at := range unseen.FindAllIndex(body, -1) {
		p.Length -= int64(at[1] - at[0])
	}
	// WordPress sends this header with its maintenance page, and with nothing else.
	p.Closed = res.StatusCode == http.StatusServiceUnavailable && p.Fatal == "" && res.Header.Get("Retry-After") != ""
}

// fatalIn finds PHP's or WordPress's last words in a page or a log.
func fatalIn(text string) string {
	if m := phpFatal.FindStringSubmatch(text); m != nil {
		return cleanLine(html.UnescapeString(anyTag.ReplaceAllString(m[1], "")), 200)
	}
	for _, words := range []*regexp.Regexp{wpCritical, wpDatabase} {
		if said := words.FindString(text); said != "" {
			return said
		}
	}
	return ""
}

// settleTime is how long PHP's opcode cache may go on with the files of before, by its
// default of 2 seconds between two looks at a file.
const settleTime = 2500 * time.Millisecond

// Calm is what exchanges of files have to keep on a node with this web server.
func (w Web) Calm() Calm {
	if w.Probe == "" {
		return Calm{Before: RequestTime}
	}
	return Calm{Before: RequestTime, After: settleTime}
}

// Settle waits until PHP behind the web server must have noticed files that were changed at
// that time. It does not wait when nobody asks the web server.
func (w Web) Settle(ctx context.Context, changed time.Time) error {
	left := settleTime - time.Since(changed)
	if w.Probe == "" || left <= 0 {
		return nil
	}
	timer := time.NewTimer(min(left, settleTime))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
