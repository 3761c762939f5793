package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/wispanel/wptk/wp"
)

// Values of Install.Mode.
const (
	ModeWPCLI  = "wp-cli" // the real `wp core install`
	ModeGolden = "golden" // the rows that it leaves, from a template
)

const (
	keyMode     = "mode"     // ModeGolden when a template is tried
	keyFilled   = "filled"   // the database was filled from a template
	keyUnfilled = "unfilled" // why it was not, for people
)

func validMode(mode string) string {
	switch mode {
	case "", ModeWPCLI, ModeGolden:
		return ""
	}
	return fmt.Sprintf("must be %s or %s; leave it out for the node's own", ModeWPCLI, ModeGolden)
}

// mode is how the install is made. It is remembered from the first step on, since the order
// of the steps hangs on it and the node's default may change while an op is interrupted.
func (in *installer) mode() string {
	switch {
	case in.Get(keyMode) != "":
		return in.Get(keyMode)
	case in.Get(keyVersion) != "": // began before there were modes
		return ModeWPCLI
	case in.ask.Mode != "":
		return in.ask.Mode
	case in.Host != nil && in.Host.InstallMode != "":
		return in.Host.InstallMode
	}
	return ModeWPCLI
}

// stageAndFill copies the files and fills the database meanwhile. That the database is filled
// here, or why it is not, is all that the install step goes by. Done again it does all of it
// again: after a power cut the stage may be another one, without rewrite rules.
func (in *installer) stageAndFill(ctx context.Context) error {
	if _, err := in.core(ctx); err != nil { // both need the same one
		return err
	}
	for _, key := range []string{keyFilled, keyUnfilled} {
		if err := in.forget(key); err != nil {
			return err
		}
	}
	type outcome struct {
		got wp.Installed
		err error
	}
	filled := make(chan outcome, 1)
	go func() {
		got, err := in.fill(ctx)
		filled <- outcome{got, err}
	}()
	err := in.stageCore(ctx)
	fill := <-filled
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fill.err
	case fill.err != nil:
		return in.leaveToWPCLI(fill.err)
	}
	staged, err := in.staged()
	if err != nil {
		return err
	}
	if err := in.Host.Files.WriteFile(ctx, staged, ".htaccess", []byte(fill.got.Rewrites), 0o644); err != nil {
		return fmt.Errorf("writing rewrite rules: %w", err)
	}
	in.hash = fill.got.Hash
	return in.Set(keyFilled, "yes")
}

func (in *installer) forget(key string) error {
	if in.Get(key) == "" {
		return nil
	}
	return in.Set(key, "")
}

// fill fills the database by a password that is written nowhere and that the next step
// replaces: until then no tenant can meddle.
func (in *installer) fill(ctx context.Context) (wp.Installed, error) {
	switch {
	case in.Host.Engine == nil:
		return wp.Installed{}, fmt.Errorf("%w: the node makes none", wp.ErrNotGolden)
	case in.ask.Multisite != "":
		return wp.Installed{}, fmt.Errorf("%w: a network is not made of one", wp.ErrNotGolden)
	}
	tree, err := in.core(ctx)
	if err != nil {
		return wp.Installed{}, err
	}
	password, err := in.password()
	if err != nil {
		return wp.Installed{}, err
	}
	site, err := in.site()
	if err != nil {
		return wp.Installed{}, err
	}
	prefix, err := in.Recall(keyPrefix, in.newPrefix)
	if err != nil {
		return wp.Installed{}, err
	}
	name := in.Get(keyDBName)
	order := wp.EngineInstall{URL: site.URL,
		ConfigOptions: wp.ConfigOptions{DBName: name, DBUser: name, DBPassword: wp.NewPassword(32), DBHost: in.Host.DBHost, TablePrefix: prefix},
		InstallOptions: wp.InstallOptions{Title: in.title(), AdminUser: in.ask.AdminUser, AdminEmail: in.ask.AdminEmail,
			AdminPassword: password, Locale: in.ask.Locale}}
	if err := in.Host.DB.Empty(ctx, name); err != nil {
		return wp.Installed{}, err
	}
	if err := in.Host.DB.SetPassword(ctx, name, in.Get(keyDBHost), order.DBPassword); err != nil {
		return wp.Installed{}, err
	}
	return in.Host.Engine.Fill(ctx, tree, order)
}

// leaveToWPCLI remembers why no template was used. The database server being away is no such
// reason: the step is done again then.
func (in *installer) leaveToWPCLI(cause error) error {
	why := cause.Error()
	switch {
	case errors.Is(cause, wp.ErrUnavailable), errors.Is(cause, wp.ErrDatabaseFull):
		return cause
	case errors.Is(cause, wp.ErrEngineCold):
		why = "no template is ready yet for this version, language and form of address"
	case !errors.Is(cause, wp.ErrNotGolden):
		slog.Warn("installing from a template", "op", in.Op.ID, "err", cause)
		why = "it failed; the worker's log has the reason"
	}
	in.logf("Installing by WP-CLI instead: %s", why)
	return in.Set(keyUnfilled, why)
}

// installUnlessFilled is the install step where a template is tried first.
func (in *installer) installUnlessFilled(ctx context.Context) error {
	if in.Get(keyFilled) != "" {
		return nil
	}
	return in.installCore(ctx)
}

// verifyFilled looks at a site that was filled from a template and has had no code of its own
// run yet: what its wp-config.php says has to open the database, and what is in there has to
// be this site. No PHP is started: the rows are those of a real installation, the files those
// of the package.
func (in *installer) verifyFilled(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	password, err := in.password()
	if err != nil {
		return err
	}
	login, err := in.Host.Login(ctx, site)
	if err != nil {
		return foundBad(err, "The new site's wp-config.php does not say how its database is entered.")
	}
	door, err := in.Host.Engine.FilledDoor(ctx, login, in.Get(keyPrefix), in.ask.AdminUser, password, in.hash)
	switch {
	case errors.Is(err, wp.ErrNoUser):
		return foundBad(err, "The administrator cannot log in.")
	case err != nil:
		return notConfirmed(err)
	case door.SiteURL != site.URL:
		return foundBad(fmt.Errorf("siteurl is %q", door.SiteURL), "The new site has another address than it should have.")
	case !door.Opens:
		return foundBad(nil, "The administrator cannot log in.")
	}
	return nil
}
