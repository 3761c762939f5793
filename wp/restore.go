package wp

import (
	"context"
	"fmt"
	"net/http"
)

// RestoredConfig says what a restored wp-config.php has in place of what was saved: the
// database of the present is the only one that the site's user may enter.
type RestoredConfig struct {
	Login       Login
	TablePrefix string // "" leaves the one that was saved
	// Rewrite replaces addresses and paths, of a backup of another place; nil leaves them.
	Rewrite func([]byte) []byte
}

// Apply edits a wp-config.php of a backup. The error is ErrUncertain or ErrNotConfig when the
// file computes what would have to be changed.
func (o RestoredConfig) Apply(src []byte) ([]byte, error) {
	if o.Rewrite != nil {
		src = o.Rewrite(src)
	}
	var err error
	if o.TablePrefix != "" {
		if src, err = setTablePrefix(src, o.TablePrefix); err != nil {
			return nil, err
		}
	}
	var edits []ConfigEdit
	for _, s := range []struct{ name, value string }{
		{"DB_NAME", o.Login.Name}, {"DB_USER", o.Login.User}, {"DB_PASSWORD", o.Login.Password}, {"DB_HOST", o.Login.Host},
	} {
		value, err := PHPText(s.value)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", s.name, err)
		}
		edits = append(edits, ConfigEdit{s.name, value})
	}
	next, _, err := EditConfig(src, edits...)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(next)
	if err != nil {
		return nil, err
	}
	if c.DBName != o.Login.Name || c.DBUser != o.Login.User || c.DBPassword != o.Login.Password || o.TablePrefix != "" && c.TablePrefix != o.TablePrefix {
		return nil, fmt.Errorf("%w: the restored one would say %v", ErrUncertain, c)
	}
	return next, nil
}

// ProbeStaged is Probe for a docroot that is not in its place yet. It leaves the object cache
// alone, which is the present site's.
func (h *Host) ProbeStaged(ctx context.Context, site Site) (Health, error) {
	_, err := h.CLI.must(ctx, site, siteBoot().loading("staged.php"))
	return healthOf(ctx, site, err)
}

// LeaveDatabase removes what an install has in a database that it uses no more, with the
// tenant's own login. The user stays, without rights on the database when that is gone.
// errors.Is ErrNotDropped when the login does not suffice.
func (h *Host) LeaveDatabase(ctx context.Context, site Site, login Login, part DatabasePart) error {
	part.Hosts = nil
	found := Found{Site: site, Config: Config{DBName: login.Name, DBUser: login.User, DBPassword: login.Password, DBHost: login.Host}}
	if err := h.DropDatabase(ctx, found, part); err != nil || part.Kept != "" || !part.Whole {
		return err
	}
	return h.DB.revokeAll(ctx, part.Name)
}

// Broken says what no visitor should see of a site, for people: "" when it is nothing. Other
// than Worse it needs no look at the site before.
func (s Sight) Broken() string {
	if !s.Health.Up {
		return "WordPress does not come up: " + s.Health.Reason
	}
	for _, p := range s.Pages {
		front := p.Path == "" || p.Path == "wp-login.php"
		switch {
		case p.Closed || !front:
		case p.Fatal != "":
			return "/" + p.Path + " shows an error: " + p.Fatal
		case p.Setup:
			return "/" + p.Path + " leads to the page that installs WordPress"
		case p.Loop:
			return "/" + p.Path + " redirects for ever"
		case p.Status >= http.StatusInternalServerError:
			return fmt.Sprintf("/%s answers with status %d", p.Path, p.Status)
		}
	}
	return ""
}
