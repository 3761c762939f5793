package wp

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// Site is one install, or the place of one to come. Only Layout.Find makes one that CLI
// and Files accept. The fields are there to be read.
type Site struct {
	ID      string // wp_…; for logs, set by whoever knows it
	Account string // hosting account, also the Unix user
	Domain  string
	Path    string // relative to Home; "" is Home itself

	Home    string        // the domain's directory, absolute; owned by User
	Docroot string        // where WordPress is, absolute; Home or below it
	User    proc.Identity // whom everything of this install runs as
	URL     string        // what the install is reached as, no slash at the end

	Suspended bool // the account or the domain is; see DomainDir

	checked bool // set by newSite alone, so that a literal Site{} is refused
}

// ErrUncheckedSite is the answer to a Site that did not come from Layout.Find.
var ErrUncheckedSite = errors.New("site was not found by a layout")

// webroot is the one path component that web servers do not show: the install in
// public_html is the site itself, the one in public_html/blog is its /blog.
const webroot = "public_html"

func newSite(d DomainDir, path string) (Site, error) {
	if path != "" {
		if reason := ValidPath(path); reason != "" {
			return Site{}, fmt.Errorf("path %s", reason)
		}
	}
	s := Site{
		Account: d.Account,
		Domain:  d.Domain,
		Path:    path,
		Home:    d.Dir,
		Docroot: filepath.Join(d.Dir, path),
		User:    d.User,

		Suspended: d.Suspended,
		checked:   true,
	}
	return s.WithURL("https://" + d.Domain + URLPath(path))
}

// URLPath is what stands behind the host name for an install at path: "" or "/blog".
func URLPath(path string) string {
	below := strings.TrimPrefix(path, webroot)
	switch {
	case path == "":
		return ""
	case below != path && (below == "" || below[0] == '/'):
		return below
	}
	return "/" + path
}

// base is the path of the site's URL with a slash at the end: "/" or "/blog/".
func (s Site) base() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "/" // WithURL has parsed it before
	}
	return u.Path + "/"
}

// WithURL returns the same site under another address: http or https, nothing but host,
// port and path in it.
func (s Site) WithURL(address string) (Site, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil {
		return Site{}, fmt.Errorf("reading site URL: %w", err)
	}
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || *u != plain {
		return Site{}, fmt.Errorf("site URL %q must be http(s)://host[:port][/path]", address)
	}
	s.URL = plain.String()
	return s, nil
}

// Staged returns the site as it is while it is being built in the directory name right
// below Home: the same owner and URL, another Docroot.
func (s Site) Staged(name string) (Site, error) {
	if name == "" || name != filepath.Base(name) || name == "." || name == ".." || strings.ContainsFunc(name, isControl) {
		return Site{}, fmt.Errorf("stage %q must be one name below the domain's directory", name)
	}
	s.Docroot = filepath.Join(s.Home, name)
	return s, nil
}

// check refuses a site that was not made by newSite or was altered afterwards.
func (s Site) check() error {
	inside := s.Docroot == s.Home || strings.HasPrefix(s.Docroot, s.Home+"/")
	if !s.checked || !filepath.IsAbs(s.Home) || filepath.Clean(s.Docroot) != s.Docroot || !inside {
		return fmt.Errorf("%w: %s %s", ErrUncheckedSite, s.Account, s.Domain)
	}
	return nil
}

// Base is the path of the site's address, with a slash at the end: "/" or "/blog/".
func (s Site) Base() string { return s.base() }
