package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/wispanel/wptk/wp"
)

// byEngine fills the database from the node's own copy of WordPress, which is prepared and
// so twice as fast. done is false where that is not possible, or has failed for a reason
// that the ordinary way may not meet; nothing is lost then, as that begins with an empty
// database.
func (in *installer) byEngine(ctx context.Context, staged wp.Site, password string) (done bool, err error) {
	if in.Host.Engine == nil || in.ask.Multisite != "" || in.ask.Locale != "" && in.ask.Locale != "en_US" {
		return false, nil
	}
	tree, err := in.core(ctx)
	if err != nil {
		return false, err
	}
	if !in.Host.Engine.Ready(tree) {
		if in.Get(keyEngine) != "" { // an attempt that was cut short has left its password
			err = in.giveConfig(ctx)
		}
		return false, err
	}
	if err := in.Host.DB.Empty(ctx, in.Get(keyDBName)); err != nil {
		return false, err
	}
	site, err := in.site()
	if err != nil {
		return false, err
	}
	got, err := in.runEngine(ctx, tree, wp.EngineInstall{URL: site.URL,
		InstallOptions: wp.InstallOptions{Title: in.title(), AdminUser: in.ask.AdminUser,
			AdminEmail: in.ask.AdminEmail, AdminPassword: password}})
	switch {
	case ctx.Err() != nil:
		return false, err
	case errors.Is(err, wp.ErrEngineCold):
		return false, in.giveConfig(ctx)
	case err != nil:
		slog.Warn("installing by engine", "op", in.Op.ID, "err", err)
		return false, in.giveConfig(ctx)
	}
	if err := in.giveConfig(ctx); err != nil {
		return false, err
	}
	if got.Rewrites != "" {
		if err := in.Host.Files.WriteFile(ctx, staged, ".htaccess", []byte(got.Rewrites), 0o644); err != nil {
			return false, fmt.Errorf("writing rewrite rules: %w", err)
		}
	}
	return true, nil
}

// runEngine lets the engine into the database with a password of its own: the one in
// wp-config.php can be read by the tenant, who shall not meddle with rows that code which
// is not the tenant's reads.
func (in *installer) runEngine(ctx context.Context, tree wp.CoreTree, order wp.EngineInstall) (wp.Installed, error) {
	name := in.Get(keyDBName)
	if err := in.Set(keyEngine, "yes"); err != nil {
		return wp.Installed{}, err
	}
	order.ConfigOptions = wp.ConfigOptions{DBName: name, DBUser: name, DBPassword: wp.NewPassword(32),
		DBHost: in.Host.DBHost, TablePrefix: in.Get(keyPrefix)}
	if err := in.Host.DB.SetPassword(ctx, name, in.Get(keyDBHost), order.DBPassword); err != nil {
		return wp.Installed{}, err
	}
	return in.Host.Engine.Install(ctx, tree, order)
}

// giveConfig makes the password in wp-config.php the one that opens the database.
func (in *installer) giveConfig(ctx context.Context) error {
	if in.dbPassword == "" {
		return in.writeConfig(ctx)
	}
	return in.Host.DB.SetPassword(ctx, in.Get(keyDBName), in.Get(keyDBHost), in.dbPassword)
}
