package wp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

// InstallOptions are the answers that WordPress asks for when it is installed. The address
// is the site's URL.
type InstallOptions struct {
	Title         string
	AdminUser     string
	AdminEmail    string
	AdminPassword string // goes in by standard input only; 1 to 512 bytes on one line
	Locale        string // en_US when empty; its translation has to be there already
}

// NetworkOptions are those of a multisite network.
type NetworkOptions struct {
	InstallOptions
	Subdomains bool // blogs are subdomains, else directories
}

// Installed is what stood in the database when the installation had ended.
type Installed struct {
	Version    string   `json:"version"`
	SiteURL    string   `json:"siteurl"`
	Home       string   `json:"home"`
	Title      string   `json:"title"`
	Permalinks string   `json:"permalinks"` // a network chooses its own
	Admins     []string `json:"admins"`     // login names, at most 20
	Tables     int      `json:"tables"`     // with the site's prefix

	// Rewrites is the .htaccess that the site should have; empty where it was written.
	Rewrites string `json:"rewrites,omitempty"`

	// Hash is that of the administrator's password, where it was made here (Engine.Fill).
	Hash string `json:"-"`
}

// coreTables is how many tables WordPress has had since 4.4; a network has had six more since
// 5.1 (wpdb::$global_tables and $ms_global_tables).
const (
	coreTables    = 12
	networkTables = coreTables + 6
)

// CoreInstall creates the tables, the first user and the settings, without a request or a
// mail leaving the process. Its address and permalinks are right afterwards. Where WordPress
// takes itself for installed already, nothing changes but these two: after an interrupted
// run empty the database first, or the site may lack its user (ErrNotApplied) or its content.
func (c *CLI) CoreInstall(ctx context.Context, site Site, o InstallOptions) (Installed, error) {
	return c.install(ctx, site, coreInstall(o), o.AdminUser, coreTables)
}

// CoreMultisiteInstall installs a network. The constants in wp-config.php are the caller's:
// they may be there before, and have to be there afterwards.
func (c *CLI) CoreMultisiteInstall(ctx context.Context, site Site, o NetworkOptions) (Installed, error) {
	return c.install(ctx, site, coreMultisiteInstall(site.base(), o), o.AdminUser, networkTables)
}

func (c *CLI) install(ctx context.Context, site Site, cmd Command, admin string, tables int) (Installed, error) {
	out, err := c.must(ctx, site, cmd)
	if err != nil {
		return Installed{}, err
	}
	got, err := parseInstalled(out)
	if err != nil {
		return Installed{}, fmt.Errorf("reading result of wp %s: %w", cmd.Name(), err)
	}
	switch {
	case got.SiteURL != site.URL || got.Home != site.URL:
		err = fmt.Errorf("%w: address is %q and %q", ErrNotApplied, got.SiteURL, got.Home)
	case got.Tables < tables:
		err = fmt.Errorf("%w: %d of %d tables", ErrNotApplied, got.Tables, tables)
	case !slices.Contains(got.Admins, admin):
		err = fmt.Errorf("%w: user %q is no administrator", ErrNotApplied, admin)
	}
	if err != nil {
		return got, fmt.Errorf("checking result of wp %s: %w", cmd.Name(), err)
	}
	return got, nil
}

// CoreIsInstalled reports whether the tables are there. Everything else that can be wrong,
// the database being away first of all, is an error and not a "no".
func (c *CLI) CoreIsInstalled(ctx context.Context, site Site) (bool, error) {
	cmd := coreIsInstalled()
	res, err := c.Run(ctx, site, cmd)
	if err != nil {
		return false, err
	}
	return parseIsInstalled(cmd, res)
}

// CoreVersion reads the version of the files. No code of the site is run but version.php.
func (c *CLI) CoreVersion(ctx context.Context, site Site) (CoreVersion, error) {
	out, err := c.must(ctx, site, coreVersion())
	if err != nil {
		return CoreVersion{}, err
	}
	return parseCoreVersion(out)
}

// CoreVersion is what `wp core version --extra` says.
type CoreVersion struct {
	WordPress string // "7.1.1"
	Database  string // revision of the schema, "60421"
	Language  string // of the package the files came from: "en_US"
}

func coreInstall(o InstallOptions) Command {
	return installing(command("core", "install"), o)
}

func coreMultisiteInstall(base string, o NetworkOptions) Command {
	cmd := installing(command("core", "multisite-install"), o.InstallOptions).
		value("base", base).
		flag("skip-config")
	if o.Subdomains {
		cmd = cmd.flag("subdomains")
	}
	return cmd
}

func installing(cmd Command, o InstallOptions) Command {
	return cmd.
		value("title", o.Title).
		value("admin_user", o.AdminUser).
		value("admin_email", o.AdminEmail).
		optional("locale", o.Locale).
		flag("skip-email").
		secret("admin_password", slashed(o.AdminPassword)).hiding(o.AdminPassword).
		duringInstall().forParser().within(5 * time.Minute)
}

// slashed is PHP's addslashes. The login form compares the password in this form (see
// php/run.php), and WordPress's own installer stores it so. `wp core install` passes what it
// is given: with a quote in the password nobody could log in. The user commands slash.
func slashed(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`).Replace(s)
}

func coreIsInstalled() Command { return command("core", "is-installed").withoutPlugins() }

func coreVersion() Command { return command("core", "version").flag("extra").forParser() }

// parseInstalled reads the last line: what the command says comes in front of it.
func parseInstalled(out []byte) (Installed, error) {
	out = bytes.TrimSpace(out)
	var in Installed
	if err := parseJSON(out[bytes.LastIndexByte(out, '\n')+1:], &in); err != nil {
		return Installed{}, err
	}
	// WordPress stores a title with its special characters as HTML entities.
	in.Version, in.Title = cleanField(in.Version), cleanField(html.UnescapeString(in.Title))
	for i, login := range in.Admins {
		in.Admins[i] = cleanField(login)
	}
	return in, nil
}

// parseIsInstalled: status 1 is both "no" and "something is wrong"; only the latter comes
// with a message.
func parseIsInstalled(cmd Command, res Result) (bool, error) {
	switch {
	case res.Exit.Code == 0:
		return true, nil
	case res.Exit.Code == 1 && !strings.Contains(res.Stderr, "Error"):
		return false, nil
	}
	return false, newExitError(cmd, res)
}

func parseCoreVersion(out []byte) (CoreVersion, error) {
	var v CoreVersion
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		key, value, ok := strings.Cut(sc.Text(), ":")
		if !ok {
			continue
		}
		value = cleanField(value)
		switch strings.TrimSpace(key) {
		case "WordPress version":
			v.WordPress = value
		case "Database revision":
			v.Database = value
		case "Package language":
			v.Language, _, _ = strings.Cut(value, " ")
		}
	}
	if v.WordPress == "" {
		return CoreVersion{}, fmt.Errorf("%w: no version", ErrOutput)
	}
	return v, nil
}
