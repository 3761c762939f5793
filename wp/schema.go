package wp

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A database that is being filled belongs to an operation, as Claim says. These databases
// are made here: <base>_r1, <base>_r2, … Whoever is not told of one by its operation does
// not see it, and the operation that ends badly drops it.

const maxSchemaBase = 52 // with _r and nine digits within checkName's 64

var schemaSuffix = regexp.MustCompile(`_r[0-9]{1,9}$`)

// FreshSchema makes an empty database that belongs to op: the next free <base>_rN, base
// being the name of the present one, with its default collation. user may enter it from
// where it may enter base, and from userHost. Done again for the same op it answers the
// same one. errors.Is ErrRefusedLogin when there is no such user.
func (h *Host) FreshSchema(ctx context.Context, op, base, user, userHost string) (string, error) {
	if err := checkOwner(op); err != nil {
		return "", err
	}
	stem := schemaStem(base)
	taken, err := h.DB.schemas(ctx, stem)
	if err != nil {
		return "", err
	}
	highest := 0
	for _, s := range taken {
		if s.owner == op {
			return s.name, h.DB.openSchema(ctx, s.name, op, base, user, userHost)
		}
		highest = max(highest, s.number)
	}
	for n := highest + 1; n <= highest+20; n++ {
		name := stem + "_r" + strconv.Itoa(n)
		err := h.DB.createSchema(ctx, name, op, base)
		if errors.Is(err, ErrExists) {
			continue // by somebody quicker
		}
		if err != nil {
			return "", err
		}
		return name, h.DB.openSchema(ctx, name, op, base, user, userHost)
	}
	return "", fmt.Errorf("making fresh database for %s: no free name", base)
}

// schemaStem is what the names of base's successors begin with.
func schemaStem(base string) string {
	return namePart(schemaSuffix.ReplaceAllString(base, ""), maxSchemaBase, "db")
}

// DropSchema drops a database that op has claimed, and every right on its name; another's,
// or none, is left alone, without error.
func (h *Host) DropSchema(ctx context.Context, op, name string) error {
	if err := errors.Join(checkName(name), checkOwner(op)); err != nil {
		return err
	}
	taken, err := h.DB.schemas(ctx, schemaStem(name))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(taken, func(s schema) bool { return s.name == name && s.owner == op }) {
		return nil
	}
	// Nobody may keep rights on the name: the next database of that name may be another
	// tenant's. They go first, as nobody comes back for a database that is gone.
	if err := h.DB.revokeAll(ctx, name); err != nil {
		return err
	}
	return h.DB.DropDatabase(ctx, name)
}

// AdoptSchema ends op's claim: the database is the tenant's alone. Done again it does
// nothing.
func (h *Host) AdoptSchema(ctx context.Context, op, name string) error {
	switch holder, err := h.DB.ClaimedBy(ctx, name); {
	case err != nil:
		return err
	case holder == "":
		return h.DB.forgetOwner(ctx, name)
	case holder != op:
		return fmt.Errorf("adopting database %s: it belongs to %s", name, holder)
	}
	// The comment first: as long as the claim is there this is done again.
	if err := h.DB.forgetOwner(ctx, name); err != nil {
		return err
	}
	return h.DB.Unclaim(ctx, name)
}

// schema is a database that FreshSchema may have made.
type schema struct {
	name   string
	number int
	owner  string // "" when it is nobody's, or the tenant's
}

// ownerComment is the comment of a database from its first moment, before it has a table
// that could carry the claim.
const ownerComment = "wptk "

func (a *Admin) schemas(ctx context.Context, stem string) ([]schema, error) {
	rows, err := a.db.QueryContext(ctx, `
		SELECT s.SCHEMA_NAME, s.SCHEMA_COMMENT, COALESCE(t.TABLE_COMMENT, '') FROM information_schema.SCHEMATA s
		LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = s.SCHEMA_NAME AND t.TABLE_NAME = ?
		WHERE LEFT(s.SCHEMA_NAME, CHAR_LENGTH(?)) = ?`, claimTable, stem+"_r", stem+"_r")
	if err != nil {
		return nil, classify("listing databases", err)
	}
	defer rows.Close()
	var all []schema
	for rows.Next() {
		var s schema
		var comment string
		if err := rows.Scan(&s.name, &comment, &s.owner); err != nil {
			return nil, classify("listing databases", err)
		}
		number, ok := strings.CutPrefix(s.name, stem+"_r")
		if s.number, err = strconv.Atoi(number); !ok || err != nil {
			continue // of another stem, such as alice_blog_renewed
		}
		if owner, ok := strings.CutPrefix(comment, ownerComment); ok && s.owner == "" {
			s.owner = owner
		}
		all = append(all, s)
	}
	return all, classify("listing databases", rows.Err())
}

// createSchema makes a database that is op's by its comment.
func (a *Admin) createSchema(ctx context.Context, name, op, base string) error {
	if err := errors.Join(checkName(name), checkOwner(op)); err != nil {
		return err
	}
	charset, collation := "utf8mb4", ""
	found, err := a.strings(ctx, "reading collation of database", `
		SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?
		UNION ALL SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?`, base, base)
	if err != nil {
		return err
	}
	if len(found) == 2 && tablePattern.MatchString(found[0]) && tablePattern.MatchString(found[1]) {
		charset, collation = found[0], " COLLATE "+found[1]
	}
	return a.exec(ctx, "creating database "+name,
		"CREATE DATABASE "+quoteIdent(name)+" CHARACTER SET "+charset+collation+" COMMENT '"+ownerComment+op+"'")
}

// openSchema claims a database of op's and opens it to its user.
func (a *Admin) openSchema(ctx context.Context, name, op, base, user, userHost string) error {
	switch holder, err := a.Claim(ctx, name, op); {
	case err != nil:
		return err
	case holder != op:
		return fmt.Errorf("claiming database %s: it belongs to %q", name, holder)
	}
	if err := a.revokeAll(ctx, name); err != nil { // of a database of that name that its tenant has dropped
		return err
	}
	hosts, err := a.strings(ctx, "listing hosts of database user", `
		SELECT DISTINCT u.Host FROM mysql.user u LEFT JOIN mysql.db d ON d.User = u.User AND d.Host = u.Host AND REPLACE(d.Db, '\\', '') = ?
		WHERE u.User = ? AND (d.Db IS NOT NULL OR u.Host = ?)`, base, user, userHost)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return fmt.Errorf("opening database %s: %w", name, ErrRefusedLogin)
	}
	for _, host := range hosts {
		// Quoted, not checked: both are what the server has, made by whatever panel.
		err := a.exec(ctx, "granting database "+name,
			"GRANT ALL PRIVILEGES ON "+quoteGrant(name)+".* TO "+quoteIdent(user)+"@"+quoteIdent(host))
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetOwner empties the comment of createSchema, which is then the tenant's to use.
func (a *Admin) forgetOwner(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	comment, err := a.strings(ctx, "reading comment of database", "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", name)
	if err != nil || len(comment) == 0 || !strings.HasPrefix(comment[0], ownerComment) {
		return err
	}
	return a.exec(ctx, "adopting database "+name, "ALTER DATABASE "+quoteIdent(name)+" COMMENT ''")
}

// revokeAll takes everybody's rights on a database away.
func (a *Admin) revokeAll(ctx context.Context, name string) error {
	rows, err := a.db.QueryContext(ctx, `SELECT User, Host, Db FROM mysql.db WHERE REPLACE(Db, '\\', '') = ?`, name)
	if err != nil {
		return classify("listing rights on "+name, err)
	}
	defer rows.Close()
	var revoke []string
	for rows.Next() {
		var user, host, db string
		if err := rows.Scan(&user, &host, &db); err != nil {
			return classify("listing rights on "+name, err)
		}
		revoke = append(revoke, "REVOKE ALL PRIVILEGES ON "+quoteIdent(db)+".* FROM "+quoteIdent(user)+"@"+quoteIdent(host))
	}
	if err := rows.Err(); err != nil {
		return classify("listing rights on "+name, err)
	}
	for _, statement := range revoke {
		if err := a.exec(ctx, "revoking rights on "+name, statement); err != nil {
			return err
		}
	}
	return nil
}
