package wp

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
)

// Sight is how a site looked at one moment: to be compared with how it looks after a change.
type Sight struct {
	By     string     `json:"by"` // SightWeb or SightCLI
	Health Health     `json:"health"`
	Pages  []PageView `json:"pages"`
	// Errors are the fatal errors that PHP's logs got meanwhile, without their times.
	Errors []string `json:"errors,omitempty"`
}

// How a site was looked at.
const (
	SightWeb = "http" // through the node's own web server
	SightCLI = "cli"  // by rendering the front page in WP-CLI: the web server does not answer, or is not known
)

const (
	maxOwnPages = 5 // of the site's own list, beside the vital ones
	floorLength = 1 << 10
	floorShare  = 40 // percent
	maxReasons  = 10
)

// See looks at a site as a whole. before is an earlier look, whose pages are asked for again;
// nil chooses them: front page, login, AJAX, REST and some of the newest pages and posts. The
// secret opens a site that was closed with ClosedFor. A site that does not come up is no
// error. Errors are as of Probe.
func (h *Host) See(ctx context.Context, site Site, before *Sight, secret string) (Sight, error) {
	logs, err := h.Files.logTails(ctx, site, h.logsOf(ctx, site))
	if err != nil {
		return Sight{}, err
	}
	s := Sight{By: SightWeb}
	if before != nil {
		s.By = before.By
	} else if h.Web.Probe == "" {
		s.By = SightCLI
	}
	told, err := h.tell(ctx, site, s.By == SightCLI, &s.Health)
	if err != nil {
		return Sight{}, err
	}
	if s.By == SightWeb {
		paths := pagesOf(before, site, told.Links)
		s.Pages = h.Web.Visit(ctx, site, paths, secret)
		silent := !slices.ContainsFunc(s.Pages, func(p PageView) bool { return p.Status != 0 })
		if silent && before == nil && ctx.Err() == nil {
			s.By = SightCLI
			if told, err = h.tell(ctx, site, true, &s.Health); err != nil {
				return Sight{}, err
			}
		}
	}
	if s.By == SightCLI {
		s.Pages = []PageView{told.front(s.Health)}
	}
	if logs, err = h.Files.logTails(ctx, site, logs); err != nil {
		return Sight{}, err
	}
	s.Errors = fatalsIn(logs)
	return s, ctx.Err()
}

// printedSight is what sight.php prints.
type printedSight struct {
	Version string   `json:"version"`
	Links   []string `json:"links"`
	Length  int64    `json:"length"`
	Title   string   `json:"title"`
}

// front is a rendered front page in the words of a visited one.
func (p printedSight) front(h Health) PageView {
	view := PageView{Status: http.StatusOK, Length: p.Length, Title: cleanLine(html.UnescapeString(p.Title), 120)}
	if !h.Up {
		view = PageView{Status: http.StatusInternalServerError, Fatal: h.Reason}
	}
	return view
}

// tell starts the site with everything loaded.
func (h *Host) tell(ctx context.Context, site Site, render bool, health *Health) (printedSight, error) {
	out, err := h.CLI.must(ctx, site, siteSight(render))
	var told printedSight
	if err == nil {
		err = parseJSON(out, &told)
	}
	*health, err = healthOf(ctx, site, err)
	return told, err
}

func siteSight(render bool) Command {
	c := command("wptk", "sight").loading("sight.php").forParser().within(factsTime)
	if render {
		return c.flag("render")
	}
	return c
}

// pagesOf are the paths to ask for.
func pagesOf(before *Sight, site Site, links []string) []string {
	var paths []string
	if before != nil {
		for _, p := range before.Pages {
			paths = append(paths, p.Path)
		}
		return paths
	}
	paths = slices.Clone(vital)
	for _, link := range links {
		rel, ok := strings.CutPrefix(link, site.URL+"/")
		if ok && len(rel) <= 200 && !strings.ContainsFunc(rel, isControl) && !slices.Contains(paths, rel) && len(paths) < len(vital)+maxOwnPages {
			paths = append(paths, rel)
		}
	}
	return paths
}

// Worse says in which ways a site looks worse than before, for people; none is good.
func (s Sight) Worse(before Sight) []string {
	var worse []string
	if before.Health.Up && !s.Health.Up {
		worse = append(worse, "WordPress does not come up: "+s.Health.Reason)
	}
	was := map[string]PageView{}
	for _, p := range before.Pages {
		was[p.Path] = p
	}
	for _, p := range s.Pages {
		if b, ok := was[p.Path]; ok {
			if reason := p.worse(b); reason != "" {
				worse = append(worse, "/"+p.Path+" "+reason)
			}
		}
	}
	for _, line := range s.Errors {
		if !slices.Contains(before.Errors, line) {
			worse = append(worse, "PHP logged a new fatal error: "+line)
		}
	}
	return worse[:min(len(worse), maxReasons)]
}

// worse says how a page is worse than before, "" when it is not.
func (p PageView) worse(b PageView) string {
	switch {
	case p.Closed || b.Closed || p.Loop && b.Loop:
		return "" // neither tells anything about the site
	case p.Fatal != "" && p.Fatal != b.Fatal:
		return fmt.Sprintf("answers %d with a fatal error: %s", p.Status, p.Fatal)
	case p.Loop:
		return "redirects for ever"
	case p.Setup && !b.Setup:
		return "leads to the setup of WordPress"
	case p.rank() > b.rank() && p.Status == 0:
		return fmt.Sprintf("does not answer, and answered %d before", b.Status)
	case p.rank() > b.rank():
		return fmt.Sprintf("answers %d, and answered %d before", p.Status, b.Status)
	case p.rank() == b.rank() && b.Whole && !p.Whole:
		return "is cut off in the middle"
	case p.rank() == b.rank() && b.Length >= floorLength && p.Length*100 < b.Length*floorShare:
		return fmt.Sprintf("has %d bytes, and had %d before", p.Length, b.Length)
	}
	return ""
}

// rank orders the classes of answers; higher is worse.
func (p PageView) rank() int {
	if p.Status == 0 {
		return 9
	}
	return p.Status / 100
}

// Troubles says what is wrong with a site without comparing it to anything.
func (s Sight) Troubles() []string {
	var found []string
	if !s.Health.Up {
		found = append(found, "WordPress does not come up: "+s.Health.Reason)
	}
	for _, p := range s.Pages {
		switch {
		case p.Closed:
		case p.Fatal != "":
			found = append(found, fmt.Sprintf("/%s answers %d with a fatal error: %s", p.Path, p.Status, p.Fatal))
		case p.rank() >= 5:
			found = append(found, fmt.Sprintf("/%s answers %d", p.Path, p.Status))
		}
	}
	return found[:min(len(found), maxReasons)]
}

// Shut reports that the maintenance page answered where pages should, so that nothing about
// them is known.
func (s Sight) Shut() bool {
	return slices.ContainsFunc(s.Pages, func(p PageView) bool { return p.Closed })
}
