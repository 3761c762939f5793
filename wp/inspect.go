package wp

import (
	"context"
	"fmt"
	"html"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// Status is how an install looks from outside.
type Status string

// The states of an install that inspection tells apart.
const (
	StatusOK         Status = "ok"
	StatusBroken     Status = "broken"     // WordPress is there and cannot work
	StatusUnreadable Status = "unreadable" // it may work, we cannot tell
	StatusSuspended  Status = "suspended"  // somebody has closed it on purpose
)

// Facts is what reading tells about an install: files and tables, no PHP. It is
// as good as the configuration is simple; see Simple.
type Facts struct {
	Status Status
	Reason string // why it is not ok; one line, for people

	Version     string
	Title       string
	URL         string // home
	AdminURL    string
	DBName      string
	DBUser      string
	DBHost      string
	TablePrefix string
	Debug       bool
	Multisite   bool

	// Simple is false when wp-config.php computes its values, so that the running
	// site may use others than these.
	Simple bool
	Source string // always "scan"
}

// Inspect completes what was found on disk with what the site's tables say. They
// are read as the tenant, with the tenant's own credentials, on this node's
// database server only: a DB_HOST that leads elsewhere is not followed. A database
// that does not answer costs two seconds and makes the install broken.
// The order of the answer is that of the question.
func Inspect(ctx context.Context, h *Host, installs ...Found) ([]Facts, error) {
	facts := make([]Facts, len(installs))
	byUser := map[proc.Identity][]int{}
	for i, in := range installs {
		facts[i] = factsOf(in)
		if facts[i].Status == StatusOK && !sameServer(in.Config.DBHost, h.DBHost, h.DB) {
			facts[i].Status, facts[i].Reason = StatusUnreadable, "its database is on another server"
		}
		if facts[i].Status == StatusOK {
			byUser[in.Site.User] = append(byUser[in.Site.User], i)
		}
	}
	for user, indexes := range byUser {
		if err := readOptions(ctx, h, user, installs, facts, indexes); err != nil {
			return nil, err
		}
	}
	for i, in := range installs {
		if in.Site.Suspended {
			facts[i].Status, facts[i].Reason = StatusSuspended, reasonSuspended
		}
	}
	return facts, nil
}

// factsOf is what the files say.
func factsOf(in Found) Facts {
	c := in.Config
	f := Facts{
		Status: StatusOK, Version: in.Version, URL: cleanURL(c.Home), Simple: c.Simple, Source: "scan",
		DBName: c.DBName, DBUser: c.DBUser, DBHost: c.DBHost, TablePrefix: c.TablePrefix, Debug: c.Debug, Multisite: c.Multisite,
	}
	if f.URL == "" {
		f.URL = in.Site.URL
	}
	f.AdminURL = f.URL + "/wp-admin/"
	switch {
	case in.Shut:
		f.Status = StatusUnreadable
	case in.Version == "":
		f.Status = StatusBroken
	case len(in.Problems) > 0, c.DBName == "", c.DBUser == "", !tablePattern.MatchString(c.TablePrefix):
		f.Status = StatusUnreadable
	}
	if f.Status != StatusOK {
		f.Reason = "wp-config.php does not tell the database: " + c.Why
		if len(in.Problems) > 0 {
			f.Reason = in.Problems[0]
		}
	}
	return f
}

// readOptions asks the databases of one user's installs, in one child.
func readOptions(ctx context.Context, h *Host, user proc.Identity, installs []Found, facts []Facts, indexes []int) error {
	for len(indexes) > 0 {
		batch := indexes[:min(len(indexes), scanInstalls)]
		indexes = indexes[len(batch):]
		request := optionsRequest{}
		for _, i := range batch {
			c := installs[i].Config
			network, addr := doorOf(c.DBHost, h.DB)
			request.Sites = append(request.Sites, optionsQuery{Net: network, Addr: addr, Name: c.DBName, User: c.DBUser, Password: c.DBPassword, Prefix: c.TablePrefix})
		}
		rounds := time.Duration(1 + len(batch)/optionsParallel)
		opt := proc.CallOptions{Timeout: rounds*optionsTime + 3*time.Second, MaxAnswer: 4 << 20}
		var answers []siteOptions
		err := proc.Call(ctx, user, opt, "wp.options", request, &answers)
		if ctx.Err() != nil {
			return fmt.Errorf("inspecting installs: %w", ctx.Err())
		}
		for n, i := range batch {
			switch {
			case err != nil || n >= len(answers):
				facts[i].Status, facts[i].Reason = StatusUnreadable, "its database could not be asked"
			default:
				facts[i].apply(answers[n], installs[i])
			}
		}
	}
	return nil
}

// apply takes over what the tables say; constants of wp-config.php win, as in
// WordPress.
func (f *Facts) apply(o siteOptions, in Found) {
	if o.Err != "" {
		f.Status, f.Reason = StatusBroken, cleanLine(o.Err, 200)
		if !in.Config.Simple { // these may not be the settings that PHP comes to
			f.Status, f.Reason = StatusUnreadable, cleanLine("wp-config.php computes its settings: "+in.Config.Why, 200)
		}
		return
	}
	// WordPress stores the title escaped for HTML.
	f.Title = cleanLine(html.UnescapeString(o.Title), 200)
	if home := cleanURL(o.Home); home != "" && cleanURL(in.Config.Home) == "" {
		f.URL = home
	}
	f.AdminURL = f.URL + "/wp-admin/"
	for _, site := range []string{in.Config.SiteURL, o.SiteURL} {
		if site = cleanURL(site); site != "" {
			f.AdminURL = site + "/wp-admin/"
			break
		}
	}
}

// cleanURL is an http(s) address on one line without credentials, or "".
func cleanURL(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	u, err := url.Parse(s)
	if len(s) > 2048 || err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || cleanLine(s, 2048) != s {
		return ""
	}
	return s
}

// sameServer decides whether a DB_HOST means the server that admin is connected
// to: written as we write it, or another spelling of this machine with its port or
// socket.
func sameServer(host, ours string, admin *Admin) bool {
	if host == ours {
		return true
	}
	name, port, socket := splitDBHost(host)
	if socket != "" {
		return admin.net == "unix" && socket == admin.addr
	}
	if !loopback[strings.ToLower(name)] {
		return false
	}
	oursName, oursPort, oursSocket := splitDBHost(ours)
	if oursSocket == "" && loopback[strings.ToLower(oursName)] && port == oursPort {
		return true
	}
	adminHost, adminPort, err := net.SplitHostPort(admin.addr)
	return err == nil && admin.net == "tcp" && loopback[adminHost] && port == adminPort
}

// doorOf is the way that PHP takes to a server that is ours (sameServer): the database
// knows a user by the way it comes in.
func doorOf(host string, admin *Admin) (network, addr string) {
	name, port, socket := splitDBHost(host)
	name = strings.Trim(name, "[]")
	switch {
	case socket != "":
		return "unix", socket
	case name == "" || strings.EqualFold(name, "localhost"):
		// PHP takes its default socket, which is not ours to know; the administrator's leads
		// to the same server.
		return admin.net, admin.addr
	case admin.net == "tcp" && !loopback[name]:
		return admin.net, admin.addr
	}
	return "tcp", net.JoinHostPort(name, port)
}

var loopback = map[string]bool{"": true, "localhost": true, "127.0.0.1": true, "::1": true, "[::1]": true}

// splitDBHost reads host[:port][:/socket], the port defaulting to 3306, as
// wpdb::parse_db_host does.
func splitDBHost(s string) (host, port, socket string) {
	if i := strings.Index(s, ":/"); i >= 0 {
		s, socket = s[:i], s[i+1:]
	}
	port = "3306"
	if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return s, port, socket // a bare IPv6 address
	}
	if i := strings.LastIndex(s, ":"); i >= 0 && !strings.HasSuffix(s, "]") {
		s, port = s[:i], s[i+1:]
	}
	return s, port, socket
}
