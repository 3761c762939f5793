package tasks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// installCore fills the database. It begins with an empty one every time: where
// an earlier attempt was cut short, WordPress may take itself for installed and
// have no administrator.
func (in *installer) installCore(ctx context.Context) error {
	staged, err := in.staged()
	if err != nil {
		return err
	}
	password, err := in.password()
	if err != nil {
		return err
	}
	if done, err := in.byEngine(ctx, staged, password); done || err != nil {
		return err
	}
	if err := in.Host.DB.Empty(ctx, in.Get(keyDBName)); err != nil {
		return err
	}
	options := wp.InstallOptions{
		Title: in.title(), AdminUser: in.ask.AdminUser, AdminEmail: in.ask.AdminEmail,
		AdminPassword: password, Locale: in.ask.Locale,
	}
	if in.ask.Multisite != "" {
		_, err = in.Host.CLI.CoreMultisiteInstall(ctx, staged,
			wp.NetworkOptions{InstallOptions: options, Subdomains: in.ask.Multisite == Subdomains})
		return err
	}
	_, err = in.Host.CLI.CoreInstall(ctx, staged, options)
	return err
}

// addExtras installs and activates the theme and the plugins that were asked
// for. Each of them may be done again.
func (in *installer) addExtras(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	tree, err := in.core(ctx)
	if err != nil {
		return err
	}
	total := float64(len(in.ask.Plugins) + 1)
	if entry := in.ask.Theme; entry != "" {
		in.Report(0, "Installing theme "+entry)
		if err := in.addTheme(ctx, site, tree, entry); err != nil {
			return fmt.Errorf("installing theme %s: %w", entry, err)
		}
	}
	for i, entry := range in.ask.Plugins {
		in.Report(float64(i+1)/total, "Installing plugin "+entry)
		if err := in.addPlugin(ctx, site, tree, entry); err != nil {
			return fmt.Errorf("installing plugin %s: %w", entry, err)
		}
	}
	return nil
}

func (in *installer) addTheme(ctx context.Context, site wp.Site, tree wp.CoreTree, entry string) error {
	slug, _ := splitPackage(entry)
	zip, err := in.theme(ctx, tree, entry)
	if err != nil {
		return err
	}
	if zip == "" {
		return in.Host.CLI.ThemeActivate(ctx, site, slug)
	}
	return in.Host.CLI.ThemeInstall(ctx, site, slug, zip, true)
}

func (in *installer) addPlugin(ctx context.Context, site wp.Site, tree wp.CoreTree, entry string) error {
	slug, _ := splitPackage(entry)
	zip, err := in.plugin(ctx, tree, entry)
	if err != nil {
		return err
	}
	if zip == "" {
		return in.Host.CLI.PluginActivate(ctx, site, slug)
	}
	return in.Host.CLI.PluginInstall(ctx, site, slug, zip, true)
}

// plugin provides the archive of "slug" or "slug@version"; "" when the source
// has none and WordPress itself brings the plugin along.
func (in *installer) plugin(ctx context.Context, tree wp.CoreTree, entry string) (string, error) {
	slug, version := splitPackage(entry)
	zip, err := in.Host.Packages.Plugin(ctx, slug, version)
	return zip, unlessBundled(err, version, tree, "plugins", slug)
}

// theme is plugin for themes.
func (in *installer) theme(ctx context.Context, tree wp.CoreTree, entry string) (string, error) {
	slug, version := splitPackage(entry)
	zip, err := in.Host.Packages.Theme(ctx, slug, version)
	return zip, unlessBundled(err, version, tree, "themes", slug)
}

func unlessBundled(err error, version string, tree wp.CoreTree, kind, slug string) error {
	if !errors.Is(err, wp.ErrPackageUnavailable) || version != "" {
		return err
	}
	// The core tree is the node's own, not a tenant's: it may be looked at from here.
	if info, statErr := os.Stat(filepath.Join(tree.Dir, "wp-content", kind, slug)); statErr == nil && info.IsDir() {
		return nil
	}
	return err
}

// coreTables is how many tables WordPress makes, whatever else plugins add.
const coreTables = 12

// verify looks at the site where it now stands: the tables, the address, and
// whether the administrator's password opens it.
func (in *installer) verify(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	password, err := in.password()
	if err != nil {
		return err
	}
	tables, err := in.Host.DB.Tables(ctx, in.Get(keyDBName))
	if err != nil {
		return notConfirmed(err)
	}
	n := 0
	for _, table := range tables {
		if strings.HasPrefix(table, in.Get(keyPrefix)) {
			n++
		}
	}
	if n < coreTables {
		return foundBad(fmt.Errorf("%d tables of %d", n, coreTables), "Tables are missing in the new database.")
	}
	if in.Get(keyFilled) != "" && len(in.ask.Plugins) == 0 && in.ask.Theme == "" {
		return in.verifyFilled(ctx)
	}
	door, err := in.Host.CLI.SiteDoor(ctx, site, in.ask.AdminUser, password)
	noUser := errors.Is(err, wp.ErrNoUser)
	switch {
	case errors.Is(err, wp.ErrNotInstalled), errors.Is(err, wp.ErrNoWordPress):
		return foundBad(err, "WordPress does not find itself installed.")
	case err != nil && !noUser:
		return notConfirmed(err)
	case door.SiteURL != site.URL:
		return foundBad(fmt.Errorf("siteurl is %q", door.SiteURL), "The new site has another address than it should have.")
	case noUser, !door.Opens:
		return foundBad(err, "The administrator cannot log in.")
	}
	return nil
}

func foundBad(err error, message string) error {
	return Permanent(err, Failure{Code: CodeVerifyFailed, Message: message,
		Hint: "Try again; when it happens again, leave out the plugins and the theme to find the one that interferes."})
}

func notConfirmed(err error) error {
	return Unconfirmed(err, Failure{Code: CodeUnconfirmed, Message: "The site was installed, but could not be checked afterwards.",
		Hint: "Open it in a browser. A plugin that interferes or a database server that is away are the usual reasons."})
}

// finish hands the site over: from here on files and database are the tenant's,
// and nothing of them is ours to take back.
func (in *installer) finish(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	name, mode := in.Get(keyDBName), ModeWPCLI
	if in.Get(keyFilled) != "" {
		mode = ModeGolden
	}
	err = in.SetResult(InstallResult{
		ID: in.Op.Site.ID, Domain: site.Domain, Path: site.Docroot,
		Version: in.Get(keyVersion), SiteTitle: in.title(), SiteURL: site.URL, AdminURL: site.URL + "/wp-admin/",
		DBName: name, DBUser: name, DBHost: in.Host.DBHost, TablePrefix: in.Get(keyPrefix),
		AdminUser: in.ask.AdminUser, Multisite: in.ask.Multisite != "",
		Mode: mode, ModeReason: in.Get(keyUnfilled),
	})
	if err != nil {
		return err
	}
	return errors.Join(
		in.Host.DB.Unclaim(ctx, name),
		in.Host.Files.Commit(ctx, site, in.stage()),
	)
}
