package wp

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity of an Issue.
type Severity string

// How much an issue matters.
const (
	SeverityCritical Severity = "critical"
	SeverityWarning  Severity = "warning"
	SeverityNotice   Severity = "notice"
)

// Issue is something about an install that deserves attention.
type Issue struct {
	Code     string   `json:"code" doc:"Stable, for programs."`
	Severity Severity `json:"severity" enum:"critical,warning,notice"`
	Message  string   `json:"message"`
}

// maxAutoload is where the options that every request reads begin to be felt; WordPress's
// own Site Health warns from here on (WP_Site_Health::get_test_autoloaded_options).
const maxAutoload = 800_000

// issuesOf judges details, the worst first.
func issuesOf(d Details) []Issue {
	list := issues{}
	list.add(d.Status != StatusOK, SeverityCritical, "site_"+string(d.Status), "The site is %s: %s.", d.Status, d.Reason)
	list.ofCode(d)
	list.ofSettings(d)
	rank := map[Severity]int{SeverityCritical: 0, SeverityWarning: 1, SeverityNotice: 2}
	slices.SortStableFunc(list, func(a, b Issue) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	return list
}

type issues []Issue

func (l *issues) add(when bool, severity Severity, code, format string, args ...any) {
	if when {
		*l = append(*l, Issue{Code: code, Severity: severity, Message: fmt.Sprintf(format, args...)})
	}
}

// ofCode looks at core, plugins and themes.
func (l *issues) ofCode(d Details) {
	if c := d.Core; c != nil {
		l.add(c.Update != "", SeverityWarning, "core_update", "WordPress %s is available.", c.Update)
		l.add(c.DBVersionWanted > c.DBVersion, SeverityWarning, "database_upgrade", "The tables wait for the upgrade to this version of WordPress.")
	}
	if d.Plugins != nil {
		updates, idle := 0, 0
		for _, p := range d.Plugins.List {
			updates += count(p.Update != "")
			idle += count(p.Status == "inactive")
		}
		l.add(updates > 0, SeverityWarning, "plugin_updates", "%d plugins have an update.", updates)
		l.add(idle > 0, SeverityNotice, "plugins_inactive", "%d plugins are not active; their files can be reached all the same.", idle)
	}
	if d.Themes != nil {
		updates := 0
		for _, t := range d.Themes.List {
			updates += count(t.Update != "")
			l.add(t.Status != "inactive" && t.Error != "", SeverityCritical, "theme_broken", "The theme %s cannot be used: %s.", t.Slug, t.Error)
		}
		l.add(updates > 0, SeverityWarning, "theme_updates", "%d themes have an update.", updates)
	}
}

// ofSettings looks at options, tables and constants.
func (l *issues) ofSettings(d Details) {
	if o := d.Options; o != nil {
		l.add(o.UsersCanRegister && o.DefaultRole == "administrator", SeverityCritical, "open_registration", "Whoever registers becomes administrator.")
		l.add(!o.BlogPublic, SeverityNotice, "search_engines_blocked", "Search engines are asked to stay away.")
	}
	if c := d.Cron; c != nil {
		l.add(c.Overdue > 0, SeverityWarning, "cron_overdue", "%d scheduled events are more than ten minutes late.", c.Overdue)
	}
	if db := d.Database; db != nil {
		l.add(db.AutoloadBytes > maxAutoload, SeverityWarning, "autoload_large", "Every request reads %d KB of options.", db.AutoloadBytes/1000)
	}
	if s := d.Security; s != nil {
		debug := s.Constants["WP_DEBUG"] == true
		l.add(!s.KeysUnique, SeverityCritical, "keys_weak", "Keys or salts in wp-config.php are missing, short or the same.")
		l.add(debug && s.Constants["WP_DEBUG_DISPLAY"] != false, SeverityWarning, "debug_display", "Errors are shown to visitors.")
		l.add(debug && s.Constants["WP_DEBUG_LOG"] == true, SeverityWarning, "debug_log_public", "Errors are logged to wp-content/debug.log, which visitors may be able to read.")
		l.add(s.UserAdminExists, SeverityNotice, "user_admin", "There is a user called admin, whom every attack tries first.")
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
