package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// Found is one WordPress on disk, as its files tell; nothing of it was run.
type Found struct {
	Site    Site
	Version string // of wp-includes/version.php; "" when unreadable
	Config  Config // DBPassword included: for the worker's memory only
	// Shut: the account may not enter the docroot; whether there is a WordPress is unknown.
	Shut bool
	// Problems are what keeps it from working or from being read, for people.
	Problems []string
}

// ScanReport is what a scan of domains saw.
type ScanReport struct {
	Found []Found
	// Incomplete are domains that were not looked at to the end: what is known of
	// them from before must not be taken for gone.
	Incomplete []DomainDir
	// Closed are directories that the account itself may not enter: installs that are
	// known below them are still there.
	Closed []ClosedDir
	// Errs says why, and what else was odd.
	Errs []error
}

// ClosedDir is a directory of a domain that cannot be entered.
type ClosedDir struct {
	Domain DomainDir
	Path   string // relative to the domain's; "" is that itself
	// Suspended: it has no permission at all left, which is how sites are taken off line.
	Suspended bool
}

// Bounds of a scan. They are far above honest trees.
const (
	scanDomains  = 500             // per child
	scanDepth    = 3               // directories below the domain's
	scanEntries  = 20_000          // directory entries looked at, per domain
	scanInstalls = 200             // per domain
	scanTime     = 2 * time.Second // per account, and child
	scanAnswer   = 16 << 20        // bytes of JSON
	scanParallel = 2               // accounts at a time
)

// Scan finds the WordPress installs below domains: one child for each account,
// running as it. An account that takes too long or answers nonsense costs only
// itself.
func (f Files) Scan(ctx context.Context, domains []DomainDir) ScanReport {
	var (
		report ScanReport
		mu     sync.Mutex
		wg     sync.WaitGroup
		slots  = make(chan struct{}, scanParallel)
	)
	for _, group := range byAccount(domains) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			part := f.scanAccount(ctx, group)
			mu.Lock()
			defer mu.Unlock()
			report.Found = append(report.Found, part.Found...)
			report.Incomplete = append(report.Incomplete, part.Incomplete...)
			report.Closed = append(report.Closed, part.Closed...)
			report.Errs = append(report.Errs, part.Errs...)
		})
	}
	wg.Wait()
	return report
}

// Look reads one install, where it is known to be; fs.ErrNotExist when there is
// no WordPress.
func (f Files) Look(ctx context.Context, site Site) (Found, error) {
	if err := site.check(); err != nil {
		return Found{}, err
	}
	var got found
	err := f.call(ctx, site, "wp.look", fileRequest{}, nil, &got)
	if site.Suspended && errors.Is(err, fs.ErrPermission) { // not even the domain's directory
		got, err = found{Shut: true, Problems: []string{"its directory cannot be entered"}}, nil
	}
	if err != nil {
		return Found{}, err
	}
	return got.of(site), nil
}

// byAccount makes groups of one user each, as large as one child may get.
func byAccount(domains []DomainDir) [][]DomainDir {
	index := map[proc.Identity]int{}
	var groups [][]DomainDir
	for _, d := range domains {
		i, ok := index[d.User]
		if !ok || len(groups[i]) == scanDomains {
			i = len(groups)
			index[d.User] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], d)
	}
	return groups
}

type scanRequest struct {
	Dirs []string `json:"dirs"`
}

// found is Found as it crosses from the child. Everything in it is the tenant's word.
type found struct {
	Dir      int      `json:"dir"`  // index into scanRequest.Dirs
	Path     string   `json:"path"` // relative to it
	Version  string   `json:"version"`
	Config   Config   `json:"config"`
	Problems []string `json:"problems"`
	Shut     bool     `json:"shut,omitempty"`
	NoMode   bool     `json:"no_mode,omitempty"` // shut by taking every permission away
}

type scanAnswerJSON struct {
	Found    []found  `json:"found"`
	Complete []int    `json:"complete"` // indexes of directories seen to the end
	Closed   []closed `json:"closed"`
}

// closed is ClosedDir as it crosses from the child.
type closed struct {
	Dir  int         `json:"dir"`
	Path string      `json:"path"`
	Mode fs.FileMode `json:"mode"`
}

func (f Files) scanAccount(ctx context.Context, domains []DomainDir) ScanReport {
	var report ScanReport
	request := scanRequest{}
	for _, d := range domains {
		request.Dirs = append(request.Dirs, d.Dir)
	}
	account := domains[0].Account
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	opt := proc.CallOptions{Timeout: scanTime + 3*time.Second, MaxAnswer: scanAnswer, Started: hooks.Started, Keep: hooks.Keep}
	var answer scanAnswerJSON
	if err := proc.Call(ctx, domains[0].User, opt, "wp.scan", request, &answer); err != nil {
		return ScanReport{Incomplete: domains, Errs: []error{fmt.Errorf("scanning %s: %w", account, err)}}
	}
	complete := map[int]bool{}
	for _, i := range answer.Complete {
		complete[i] = true
	}
	for i, d := range domains {
		if !complete[i] {
			report.Incomplete = append(report.Incomplete, d)
			report.Errs = append(report.Errs, fmt.Errorf("scanning %s of %s: not seen to the end", d.Domain, account))
		}
	}
	for _, c := range answer.Closed[:min(len(answer.Closed), scanInstalls)] {
		if c.Dir >= 0 && c.Dir < len(domains) {
			report.Closed = append(report.Closed, ClosedDir{Domain: domains[c.Dir], Path: relative(c.Path), Suspended: c.Mode.Perm() == 0})
		}
	}
	seen := map[string]bool{}
	for _, got := range answer.Found {
		site, err := got.site(domains)
		if err == nil && seen[site.Docroot] {
			err = errors.New("reported twice")
		}
		if err != nil {
			report.Errs = append(report.Errs, fmt.Errorf("scanning %s: %q: %w", account, cleanLine(got.Path, 100), err))
			continue
		}
		seen[site.Docroot] = true
		report.Found = append(report.Found, got.of(site))
	}
	return report
}

func (g found) site(domains []DomainDir) (Site, error) {
	if g.Dir < 0 || g.Dir >= len(domains) {
		return Site{}, errors.New("not a domain that was asked about")
	}
	return newSite(domains[g.Dir], relative(g.Path))
}

func relative(path string) string {
	if path == "." {
		return ""
	}
	return path
}

// of cleans what the tenant says. DBPassword stays as it is: it goes to the
// database server and nowhere else.
func (g found) of(site Site) Found {
	out := Found{Site: site, Config: g.Config, Shut: g.Shut}
	out.Site.Suspended = site.Suspended || g.Shut && g.NoMode
	if _, err := ParseVersion(g.Version); err == nil {
		out.Version = g.Version
	}
	c := &out.Config
	for _, s := range []*string{&c.DBName, &c.DBUser, &c.DBHost, &c.TablePrefix} {
		*s = cleanLine(*s, 255)
	}
	for _, s := range []*string{&c.Home, &c.SiteURL} {
		*s = cleanLine(*s, 2048)
	}
	c.Why = cleanLine(c.Why, 200)
	for _, problem := range g.Problems[:min(len(g.Problems), 10)] {
		out.Problems = append(out.Problems, cleanLine(problem, 200))
	}
	return out
}
