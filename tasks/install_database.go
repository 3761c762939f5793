package tasks

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/wispanel/wptk/wp"
)

// The database of an install has an owner from the moment it exists: the claim
// in it (wp.Admin.Claim). What the op remembers is only that it meant to make
// one, so that after a crash it knows to look; undo drops nothing without a
// claim of this op.

const (
	configFile = "wp-config.php"
	configMode = 0o640 // the tenant, and a web server in the tenant's group
)

func (in *installer) makeDatabase(ctx context.Context) error {
	name, err := in.Recall(keyDBName, func() (string, error) {
		return wp.DatabaseName(in.Op.Site.Account, in.ask.DBName), nil
	})
	if err != nil {
		return err
	}
	host, err := in.Recall(keyDBHost, func() (string, error) { return in.Host.DB.UserHost(ctx, in.Host.DBHost) })
	if err != nil {
		return err
	}
	if err := in.createDatabase(ctx, name, host); err != nil {
		return err
	}
	// A password that nobody knows: writeConfig gives the user the one it writes down.
	if err := in.Host.DB.EnsureUser(ctx, name, host, wp.NewPassword(32)); err != nil {
		return err
	}
	return in.Host.DB.Grant(ctx, name, name, host)
}

func (in *installer) createDatabase(ctx context.Context, name, userHost string) error {
	resumed := in.Get(keyDBIntent) != ""
	if !resumed {
		if err := in.refuseTaken(ctx, name, userHost); err != nil {
			return err
		}
		if err := in.Set(keyDBIntent, "yes"); err != nil {
			return err
		}
	}
	err := in.Host.DB.CreateDatabase(ctx, name)
	switch {
	case errors.Is(err, wp.ErrExists) && !resumed:
		return in.taken(name) // between the look and the creation
	case err != nil && !errors.Is(err, wp.ErrExists):
		return err
	}
	holder, err := in.Host.DB.Claim(ctx, name, in.Op.ID)
	if err != nil {
		return err
	}
	if holder != in.Op.ID {
		return in.taken(name)
	}
	return nil
}

func (in *installer) refuseTaken(ctx context.Context, name, userHost string) error {
	db, err := in.Host.DB.DatabaseExists(ctx, name)
	if err != nil {
		return err
	}
	user, err := in.Host.DB.UserExists(ctx, name, userHost)
	if err != nil {
		return err
	}
	if db || user {
		return databaseTaken(name)
	}
	return nil
}

// taken gives up the intent together with the name: it is somebody else's.
func (in *installer) taken(name string) error {
	if err := in.Set(keyDBIntent, ""); err != nil {
		return err
	}
	return databaseTaken(name)
}

func databaseTaken(name string) error {
	return Permanent(nil, Failure{
		Code:    CodeDatabaseExists,
		Message: fmt.Sprintf("The database %s or a user of that name exists already.", name),
		Hint:    "Ask for another db_name, or leave it out to get a new one.",
	})
}

// dropDatabase drops the claim with the database, last of all: until then a
// crash finds its way back here.
func (in *installer) dropDatabase(ctx context.Context) error {
	name := in.Get(keyDBName)
	if in.Get(keyDBIntent) == "" {
		return nil
	}
	db := in.Host.DB
	switch exists, err := db.DatabaseExists(ctx, name); {
	case err != nil:
		return err
	case !exists:
		return nil // never made, or dropped by an undo that was cut short
	}
	switch holder, err := db.Claim(ctx, name, in.Op.ID); {
	case err != nil:
		return err
	case holder != in.Op.ID:
		return nil
	}
	if err := db.DropUser(ctx, name, in.Get(keyDBHost)); err != nil {
		return err
	}
	return db.DropDatabase(ctx, name)
}

// writeConfig sets a fresh password in the database and writes it down, every
// time it runs: the password is nowhere else, so there is none to be read.
func (in *installer) writeConfig(ctx context.Context) error {
	staged, err := in.staged()
	if err != nil {
		return err
	}
	prefix, err := in.Recall(keyPrefix, in.newPrefix)
	if err != nil {
		return err
	}
	name, password := in.Get(keyDBName), wp.NewPassword(32)
	network, err := in.network(staged)
	if err != nil {
		return err
	}
	config, err := wp.RenderConfig(wp.ConfigOptions{
		DBName: name, DBUser: name, DBPassword: password, DBHost: in.Host.DBHost,
		TablePrefix: prefix, Multisite: network,
	})
	if err != nil {
		return err
	}
	if err := in.Host.DB.SetPassword(ctx, name, in.Get(keyDBHost), password); err != nil {
		return err
	}
	if err := in.Host.Files.WriteFile(ctx, staged, configFile, config, configMode); err != nil {
		return fmt.Errorf("writing wp-config: %w", err)
	}
	in.dbPassword = password
	return nil
}

func (in *installer) newPrefix() (string, error) {
	if in.ask.TablePrefix != "" {
		return in.ask.TablePrefix, nil
	}
	return wp.NewTablePrefix(), nil
}

func (in *installer) network(site wp.Site) (*wp.MultisiteOptions, error) {
	if in.ask.Multisite == "" {
		return nil, nil
	}
	u, err := url.Parse(site.URL)
	if err != nil {
		return nil, fmt.Errorf("reading address: %w", err)
	}
	return &wp.MultisiteOptions{Subdomains: in.ask.Multisite == Subdomains, Domain: u.Host, Path: u.Path + "/"}, nil
}

// readConfig reads back what was written, by the parser that adopts sites.
func (in *installer) readConfig(ctx context.Context) error {
	staged, err := in.staged()
	if err != nil {
		return err
	}
	data, err := in.Host.Files.ReadFile(ctx, staged, configFile, wp.MaxConfigSize)
	if err != nil {
		return fmt.Errorf("reading wp-config back: %w", err)
	}
	config, err := wp.ParseConfig(data)
	if err != nil {
		return fmt.Errorf("reading wp-config back: %w", err)
	}
	if !config.Simple || config.DBName != in.Get(keyDBName) || config.TablePrefix != in.Get(keyPrefix) {
		return fmt.Errorf("reading wp-config back: it says %v", config)
	}
	return nil
}
