package wp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp/proc"
)

// What a wp-config.php says about a database is a tenant's word: it may name the database of
// somebody else. So what is dropped is dropped with the tenant's own credentials, in a child
// as the tenant, and the server decides whether they suffice. Only the database user is
// dropped by the administrator, and only one that has rights on nothing but a database that
// was there before and is gone now, which none but its owner can have brought about.

// DatabasePart is the database of an install, as far as it goes with it. Without secrets: it
// may be written down.
type DatabasePart struct {
	Name  string `json:"name"`
	User  string `json:"user"`
	Whole bool   `json:"whole"` // the install has it alone: the database goes, not only tables
	// Tables and views of the install.
	Tables []string `json:"tables"`
	Bytes  int64    `json:"bytes"`
	// Hosts are those of the user, if it goes too.
	Hosts []string `json:"hosts,omitempty"`
	// Kept says why all of it stays; "" when it goes.
	Kept string `json:"kept,omitempty"`
}

const databaseTime = 10 * time.Minute

// PlanDatabase says what of the database would go with an install, and why it would not.
// others are the other installs of the account. A server that does not answer is an error,
// errors.Is ErrUnavailable; credentials that it refuses are a reason to keep the database.
func (h *Host) PlanDatabase(ctx context.Context, found Found, others ScanReport) (DatabasePart, error) {
	c := found.Config
	part := DatabasePart{Name: c.DBName, User: c.DBUser, Tables: []string{}}
	if part.Kept = h.whyKept(found, others); part.Kept != "" {
		return part, nil
	}
	switch exists, err := h.DB.DatabaseExists(ctx, c.DBName); {
	case err != nil:
		return part, err
	case !exists:
		part.Kept = "it does not exist"
		return part, nil
	}
	answer, err := h.asTenant(ctx, found, tablesRequest{})
	if err != nil {
		return part, err
	}
	if answer.Refused != "" {
		part.Kept = cleanLine(answer.Refused, 200)
		return part, nil
	}
	part.take(c.TablePrefix, answer.Tables)
	if slices.ContainsFunc(others.Found, func(o Found) bool { return o.Config.DBName == c.DBName && h.ours(o) }) {
		part.Whole = false
	}
	if part.Whole && !slices.ContainsFunc(others.Found, func(o Found) bool { return o.Config.DBUser == c.DBUser && h.ours(o) }) {
		part.Hosts, err = h.DB.onlyFor(ctx, c.DBUser, c.DBName)
	}
	return part, err
}

func (h *Host) ours(f Found) bool { return sameServer(f.Config.DBHost, h.DBHost, h.DB) }

func (h *Host) whyKept(found Found, others ScanReport) string {
	c := found.Config
	switch {
	case found.Shut || c.DBName == "" || c.DBUser == "":
		return "wp-config.php does not tell it"
	case !c.Simple:
		return cleanLine("wp-config.php computes its settings: "+c.Why, 200)
	case !h.ours(found):
		return "it is on another server"
	case c.TablePrefix == "" || !tablePattern.MatchString(c.TablePrefix) || strings.HasPrefix(c.DBName, "-"):
		return "its name or table prefix is one that WordPress does not use"
	case len(others.Incomplete) > 0:
		return "the account's other installs could not all be read, and one of them may use it"
	}
	for _, o := range others.Found {
		if o.Config.DBName == c.DBName && o.Config.TablePrefix == c.TablePrefix && h.ours(o) {
			return cleanLine("the install "+o.Site.Path+" of "+o.Site.Domain+" uses the same tables", 200)
		}
	}
	return ""
}

// take sorts the tables into those of the install and others.
func (d *DatabasePart) take(prefix string, tables []tableInfo) {
	var others []string // prefixes of other installs that begin with ours
	for _, t := range tables {
		if p, ok := strings.CutSuffix(t.Name, "usermeta"); ok && p != prefix && strings.HasPrefix(p, prefix) &&
			slices.ContainsFunc(tables, func(t tableInfo) bool { return t.Name == p+"options" }) {
			others = append(others, p)
		}
	}
	d.Whole = true
	for _, t := range tables {
		foreign := slices.ContainsFunc(others, func(p string) bool { return strings.HasPrefix(t.Name, p) })
		if !strings.HasPrefix(t.Name, prefix) && t.Name != claimTable || foreign {
			d.Whole = false
			continue
		}
		d.Tables = append(d.Tables, t.Name)
		d.Bytes += max(t.Bytes, 0)
	}
}

// DropDatabase removes what PlanDatabase has found, with the credentials in the
// configuration of found, which must be the same install. Done again it does the rest.
func (h *Host) DropDatabase(ctx context.Context, found Found, part DatabasePart) error {
	if part.Kept != "" {
		return nil
	}
	exists, err := h.DB.DatabaseExists(ctx, part.Name)
	if err != nil {
		return err
	}
	if exists {
		if found.Config.DBName != part.Name || found.Config.DBUser != part.User {
			return fmt.Errorf("dropping database: wp-config.php is not the one of before: it says %v", found.Config)
		}
		answer, err := h.asTenant(ctx, found, tablesRequest{Drop: true, Whole: part.Whole, Tables: part.Tables})
		if err != nil {
			return err
		}
		if answer.Refused != "" {
			return fmt.Errorf("dropping database %s: %w: %s", part.Name, ErrNotDropped, cleanLine(answer.Refused, 200))
		}
	}
	if !part.Whole {
		return nil
	}
	switch exists, err := h.DB.DatabaseExists(ctx, part.Name); {
	case err != nil:
		return err
	case exists:
		return fmt.Errorf("dropping database %s: %w", part.Name, ErrNotDropped)
	}
	return h.DB.dropUsers(ctx, part)
}

// ErrNotDropped means that the tenant's credentials do not suffice to drop its database.
var ErrNotDropped = errors.New("database is still there")

func (h *Host) asTenant(ctx context.Context, found Found, request tablesRequest) (tablesAnswer, error) {
	c := found.Config
	return h.tables(ctx, found.Site, Login{Name: c.DBName, User: c.DBUser, Password: c.DBPassword, Host: c.DBHost}, request)
}

// tables asks a database of the tenant's, as the tenant.
func (h *Host) tables(ctx context.Context, site Site, login Login, request tablesRequest) (tablesAnswer, error) {
	request.Net, request.Addr = doorOf(login.Host, h.DB)
	request.Name, request.User, request.Password = login.Name, login.User, login.Password
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	opt := proc.CallOptions{Timeout: databaseTime, Keep: hooks.Keep, Started: hooks.Started, MaxAnswer: 8 << 20}
	var answer tablesAnswer
	if err := proc.Call(ctx, site.User, opt, "wp.tables", request, &answer); err != nil {
		return tablesAnswer{}, fmt.Errorf("asking the database as %s: %w", site.Account, err)
	}
	if answer.Away {
		return tablesAnswer{}, fmt.Errorf("asking the database as %s: %w", site.Account, ErrUnavailable)
	}
	slices.SortFunc(answer.Tables, func(a, b tableInfo) int { return cmp.Compare(a.Name, b.Name) })
	return answer, nil
}

// onlyFor lists the hosts of a user that has rights on one database and nothing else.
func (a *Admin) onlyFor(ctx context.Context, user, db string) ([]string, error) {
	hosts, err := a.strings(ctx, "listing hosts of database user", "SELECT Host FROM mysql.user WHERE User = ? ORDER BY Host", user)
	if err != nil {
		return nil, err
	}
	var only []string
	for _, host := range hosts {
		grantee := "'" + user + "'@'" + host + "'" // as information_schema writes it
		on, err := a.strings(ctx, "reading rights of database user", `
			SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ? AND PRIVILEGE_TYPE <> 'USAGE'
			UNION SELECT CONCAT('in ', REPLACE(TABLE_SCHEMA, '\\', '')) FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = ?
			UNION SELECT CONCAT('in ', TABLE_SCHEMA) FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE = ?`, grantee, grantee, grantee)
		if err != nil {
			return nil, err
		}
		if len(on) == 1 && on[0] == "in "+db {
			only = append(only, host)
		}
	}
	return only, nil
}

// dropUsers drops the users of the plan, if they are still users of nothing else.
func (a *Admin) dropUsers(ctx context.Context, part DatabasePart) error {
	only, err := a.onlyFor(ctx, part.User, part.Name)
	if err != nil {
		return err
	}
	for _, host := range part.Hosts {
		if !slices.Contains(only, host) {
			continue
		}
		// Quoted, not checked: both are what the server has, made by whatever panel.
		err := a.exec(ctx, "dropping database user "+part.User, "DROP USER IF EXISTS "+quoteIdent(part.User)+"@"+quoteIdent(host))
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Admin) strings(ctx context.Context, doing, query string, args ...any) ([]string, error) {
	rows, err := a.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, classify(doing, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, classify(doing, err)
		}
		all = append(all, s)
	}
	return all, classify(doing, rows.Err())
}
