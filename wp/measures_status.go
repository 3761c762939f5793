package wp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// MeasureStatus is how one measure stands on one install.
type MeasureStatus struct {
	ID        string     `json:"id" example:"disable-file-edit"`
	Title     string     `json:"title"`
	Status    string     `json:"status" enum:"applied,not_applied,drifted,unavailable"`
	Available bool       `json:"available" doc:"False: it cannot be applied here, or nobody can tell that it holds; reason says why."`
	AppliedBy *AppliedBy `json:"applied_by" doc:"Null for what is not applied, and for what was set by hand."`
	Until     *time.Time `json:"until,omitempty" doc:"When it ends by itself."`
	Drift     string     `json:"drift" doc:"What is not as the measure left it."`
	Diff      []string   `json:"diff" doc:"What is there (-) and what should be (+), the first lines."`
	Reason    string     `json:"reason"`
}

// AppliedBy is the operation that applied a measure.
type AppliedBy struct {
	Op string    `json:"operation_id"`
	At time.Time `json:"at"`
}

// The states of a measure.
const (
	MeasureApplied     = "applied"
	MeasureNotApplied  = "not_applied"
	MeasureDrifted     = "drifted"
	MeasureUnavailable = "unavailable"
)

const maxDiff = 20

// HtaccessFile is where rules for Apache go.
func HtaccessFile(site Site) string { return filepath.Join(site.Docroot, ".htaccess") }

// MaxHtaccess is the largest .htaccess that is read, in bytes.
const MaxHtaccess = 512 << 10

// MeasuresOf compares every measure with what is really there. Nothing is changed, no
// PHP of the site runs. seen is what WordPress itself has told; nil is unknown.
func (h *Host) MeasuresOf(ctx context.Context, site Site, seen *SecurityFacts) ([]MeasureStatus, error) {
	doc, err := h.Measures.Load(site.ID)
	if err != nil {
		return nil, err
	}
	a := auditor{h: h, site: site, doc: doc, seen: seen}
	if err := a.read(ctx); err != nil {
		return nil, err
	}
	all := make([]MeasureStatus, 0, len(Measures))
	for _, m := range Measures {
		s := MeasureStatus{ID: m.ID, Title: m.Title, Status: MeasureNotApplied, Available: true, Diff: []string{}}
		if applied, ok := doc.Measures[m.ID]; ok {
			s.Status, s.AppliedBy = MeasureApplied, &AppliedBy{applied.Op, applied.At}
			if !applied.Until.IsZero() {
				s.Until = &applied.Until
			}
		}
		if err := a.judge(ctx, m, &s); err != nil {
			return nil, err
		}
		s.Diff = s.Diff[:min(len(s.Diff), maxDiff)]
		all = append(all, s)
	}
	return all, nil
}

// measured adds the measures to details. What cannot be read is left out.
func (h *Host) measured(ctx context.Context, site Site, d *Details) error {
	if h.Measures == nil || site.ID == "" {
		return nil
	}
	measures, err := h.MeasuresOf(ctx, site, d.Security)
	if ctx.Err() != nil {
		return fmt.Errorf("reading measures: %w", ctx.Err())
	}
	if err != nil {
		h.CLI.log.Warn("reading measures", "site", site.ID, "err", err)
		d.Failed = append(d.Failed, "measures")
	}
	d.Measures = measures
	return nil
}

// auditor has the files that measures touch.
type auditor struct {
	h    *Host
	site Site
	doc  Hardening
	seen *SecurityFacts

	config      []byte
	configWhy   string // why it could not be read
	block       string // ours, of .htaccess
	blockWhy    string
	nginx       string
	nginxWanted string
}

func (a *auditor) read(ctx context.Context) error {
	_, config, err := a.h.LoadConfig(ctx, a.site)
	switch {
	case err == nil:
		a.config = config.Data
		if config.Fixed != "" {
			a.configWhy = "wp-config.php " + config.Fixed
		}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		a.configWhy = "wp-config.php cannot be read"
	default:
		return err
	}
	ht, err := a.h.Files.Load(ctx, a.site, HtaccessFile(a.site), MaxHtaccess)
	switch {
	case err == nil:
		if a.block, err = Block(string(ht.Data)); err != nil {
			a.blockWhy = err.Error()
		}
	case ctx.Err() != nil:
		return err
	default:
		a.blockWhy = ".htaccess cannot be read"
	}
	if a.h.Web.NginxDir != "" {
		if a.nginx, err = a.h.Web.NginxRulesOf(a.site, a.site.ID); err != nil {
			return err
		}
		if a.nginxWanted, err = NginxRules(a.site.base(), a.doc.ForServer(true)); err != nil {
			return err
		}
	}
	return nil
}

// ForServer tells which measures nginx, or whatever reads .htaccess, has to enforce.
func (h Hardening) ForServer(nginx bool) func(string) bool {
	return func(id string) bool {
		a, ok := h.Measures[id]
		return ok && (a.Server == Nginx) == nginx
	}
}

func (a *auditor) judge(ctx context.Context, m Measure, s *MeasureStatus) error {
	switch {
	case m.ID == MeasurePermissions:
		return a.permissions(ctx, s)
	case m.ID == MeasurePingbacks:
		if s.Status == MeasureApplied && a.seen != nil && a.seen.PingbacksOpen {
			s.drifted("The site takes pingbacks again.")
		}
		return nil
	case m.ID == MeasureHideLogin:
		a.hiddenLogin(s)
		return nil
	case m.ID == MeasureXMLRPCLimit:
		a.limitedXMLRPC(s)
		return nil
	case m.Once:
		if a.configWhy != "" {
			s.unavailable(a.configWhy)
		}
		return nil
	}
	if len(m.On)+len(m.Off) > 0 {
		a.constants(m, s)
	}
	if m.Rules() && s.Status != MeasureUnavailable {
		a.rules(m, s)
	}
	return nil
}

// hiddenLogin is kept in the site's own options; the node remembers nothing of it.
func (a *auditor) hiddenLogin(s *MeasureStatus) {
	switch {
	case a.seen == nil:
		s.unavailable("the site's settings could not be read")
	case a.seen.HiddenLogin != "" && a.seen.LoginHider:
		s.Status = MeasureApplied
	case a.seen.HiddenLogin != "":
		s.Status = MeasureApplied
		s.drifted("What hides the login page is gone from mu-plugins, or switched off in wp-config.php.")
	}
}

// limitedXMLRPC is in the site's options too, but the node knows who asked for it.
func (a *auditor) limitedXMLRPC(s *MeasureStatus) {
	switch {
	case a.seen == nil:
		s.unavailable("the site's settings could not be read")
	case !a.seen.XMLRPCLimited && s.Status == MeasureApplied:
		s.drifted("The site's setting for it is gone.")
	case a.seen.XMLRPCLimited && !a.seen.XMLRPCLimiter:
		s.drifted("What limits XML-RPC is gone from mu-plugins, or switched off in wp-config.php.")
	case a.seen.XMLRPCLimited && s.AppliedBy == nil:
		s.Status, s.Reason = MeasureApplied, "It came with the site, and this node does not know since when."
	case a.doc.Has(MeasureXMLRPC):
		s.Reason = XMLRPCClosed
	}
}

// XMLRPCClosed is what there is to say of limits to XML-RPC while nobody gets as far.
const XMLRPCClosed = "Nobody gets so far while block-xmlrpc is applied."

func (s *MeasureStatus) drifted(format string, args ...any) {
	s.Status = MeasureDrifted
	if s.Drift != "" {
		s.Drift += " "
	}
	s.Drift += fmt.Sprintf(format, args...)
}

func (s *MeasureStatus) unavailable(why string) {
	s.Available, s.Reason = false, why
	if s.Status == MeasureApplied {
		s.drifted("%s.", why)
		return
	}
	s.Status = MeasureUnavailable
}

func (a *auditor) constants(m Measure, s *MeasureStatus) {
	wanted := a.doc.Measures[m.ID].Want
	if len(wanted) == 0 {
		wanted = Wanted(m.On)
	}
	names := make([]string, len(wanted))
	for i, w := range wanted {
		names[i] = w.Name
	}
	if len(names) == 0 {
		names = []string{m.Off[0].Name}
	}
	got, err := ConfigConsts(a.config, names...)
	if a.configWhy != "" || err != nil {
		why := a.configWhy
		if err != nil && why == "" {
			why = err.Error()
		}
		s.unavailable(why)
		return
	}
	holds := len(wanted) > 0
	for _, w := range wanted {
		c := got[w.Name]
		if c.Source == w.Source {
			continue
		}
		holds = false
		if s.AppliedBy != nil {
			was := "not defined"
			if c.Defined {
				was = c.Source
			}
			s.drifted("%s is not as it was set.", w.Name)
			s.Diff = append(s.Diff, "- "+w.Name+" "+cleanLine(was, 120), "+ "+w.Name+" "+w.Source)
		}
	}
	if s.AppliedBy == nil && (holds || m.ID == MeasureDebug && got["WP_DEBUG"].True()) {
		s.Status, s.Reason = MeasureApplied, "It was set by hand."
	}
}

func (a *auditor) rules(m Measure, s *MeasureStatus) {
	applied, ok := a.doc.Measures[m.ID]
	server, why := a.h.Web.Resolve(applied.Server)
	s.Available, s.Reason = why == "", why
	if server == Nginx && !m.rule.fits(a.site.base()) {
		s.Available, s.Reason = false, "nginx could not limit it to an install below a path"
	}
	if !s.Available && server == Nginx && !ok {
		s.Status = MeasureUnavailable
		return
	}
	where, is, should := ".htaccess", a.block, ApacheBlock(a.doc.ForServer(false))
	if applied.Server == Nginx {
		where, is, should = "the nginx rules", a.nginx, a.nginxWanted
	}
	if where == ".htaccess" && a.blockWhy != "" {
		if ok {
			s.drifted("%s.", a.blockWhy)
		}
		return
	}
	is, should = ruleText(is, m.ID), ruleText(should, m.ID)
	switch {
	case ok && is != should:
		s.drifted("Its part of %s is missing or was changed.", where)
		s.Diff = append(s.Diff, lineDiff(is, should)...)
	case !ok && is != "" && len(m.On) == 0:
		s.Status, s.Reason = MeasureApplied, "It is in .htaccess, and this node does not know since when."
	}
}

// ruleText is the part of one measure in rendered rules.
func ruleText(rules, id string) string {
	_, after, found := strings.Cut(rules, "# "+id+"\n")
	if !found {
		return ""
	}
	if end := strings.Index(after, "\n# "); end >= 0 {
		after = after[:end+1]
	}
	return after
}

// lineDiff names lines that only one of both has.
func lineDiff(is, should string) []string {
	have, want := strings.Split(strings.TrimSpace(is), "\n"), strings.Split(strings.TrimSpace(should), "\n")
	var out []string
	for _, line := range have {
		if line != "" && !slices.Contains(want, line) {
			out = append(out, "- "+cleanLine(line, 200))
		}
	}
	for _, line := range want {
		if line != "" && !slices.Contains(have, line) {
			out = append(out, "+ "+cleanLine(line, 200))
		}
	}
	return out
}

func (a *auditor) permissions(ctx context.Context, s *MeasureStatus) error {
	if s.AppliedBy == nil {
		return nil // a walk through all files, for what nobody has asked for
	}
	wide, err := a.h.Files.WideModes(ctx, a.site)
	if err != nil {
		return err
	}
	if len(wide) > 0 {
		s.drifted("%d files or directories have too wide a mode.", len(wide))
	}
	for _, m := range wide[:min(len(wide), maxDiff/2)] {
		s.Diff = append(s.Diff, fmt.Sprintf("- %s %04o", cleanLine(m.Path, 200), m.Was.Perm()), fmt.Sprintf("+ %s %04o", cleanLine(m.Path, 200), m.Now.Perm()))
	}
	return nil
}
