package wp

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ReservedPrefix is the one table prefix that no WordPress may have.
const ReservedPrefix = "wptk_"

// claimTable says, in its comment, which operation a new database belongs to until the
// operation has ended.
const claimTable = ReservedPrefix + "claim"

// Claim makes an empty database belong to owner, and answers to whom it belongs: owner, or
// whoever was first, or "" when it has tables that nobody claimed. It is one CREATE TABLE,
// so of two operations that both believe to have made the database only one gets it, on
// every node and after every crash. Done again it answers the same.
func (a *Admin) Claim(ctx context.Context, db, owner string) (holder string, err error) {
	if err := errors.Join(checkName(db), checkOwner(owner)); err != nil {
		return "", err
	}
	if holder, err = a.ClaimedBy(ctx, db); err != nil || holder != "" {
		return holder, err
	}
	tables, err := a.Tables(ctx, db)
	if err != nil {
		return "", err
	}
	if len(tables) > 0 {
		return a.ClaimedBy(ctx, db) // one of them may be the claim of somebody quicker
	}
	// COMMENT takes a literal only; checkOwner has left nothing in it that could end one.
	err = a.exec(ctx, "claiming database "+db,
		"CREATE TABLE "+quoteIdent(db)+"."+quoteIdent(claimTable)+" (id INT PRIMARY KEY) COMMENT='"+owner+"'")
	if err != nil && !errors.Is(err, ErrExists) {
		return "", err
	}
	return a.ClaimedBy(ctx, db)
}

// ClaimedBy answers who has claimed a database, "" when nobody has or there is none.
func (a *Admin) ClaimedBy(ctx context.Context, db string) (string, error) {
	var owner string
	err := a.db.QueryRowContext(ctx,
		"SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", db, claimTable).Scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return owner, classify("reading claim of "+db, err)
}

// Unclaim ends the claim: the database is the tenant's alone. No claim is no error.
func (a *Admin) Unclaim(ctx context.Context, db string) error {
	return a.dropTables(ctx, db, claimTable)
}

// Empty drops the tables of a database but for the claim.
func (a *Admin) Empty(ctx context.Context, db string) error {
	tables, err := a.Tables(ctx, db)
	if err != nil {
		return err
	}
	var drop []string
	for _, name := range tables {
		if name != claimTable {
			drop = append(drop, name)
		}
	}
	return a.dropTables(ctx, db, drop...)
}

func (a *Admin) dropTables(ctx context.Context, db string, tables ...string) error {
	if err := checkName(db); err != nil || len(tables) == 0 {
		return err
	}
	quoted := make([]string, len(tables))
	for i, name := range tables {
		quoted[i] = quoteIdent(db) + "." + quoteIdent(name)
	}
	return a.exec(ctx, "dropping tables of "+db, "DROP TABLE IF EXISTS "+strings.Join(quoted, ", "))
}

// UserHost is the host that a tenant's user must have to come in from this node, dbHost
// being what wp-config.php says: the literal one for a server on this machine, else the
// address that the server sees this node at.
func (a *Admin) UserHost(ctx context.Context, dbHost string) (string, error) {
	host := dbHost
	if h, _, err := net.SplitHostPort(dbHost); err == nil {
		host = h
	} else if name, _, ok := strings.Cut(dbHost, ":/"); ok {
		host = name // localhost:/run/mysqld/mysqld.sock
	}
	if ip := net.ParseIP(host); host == "localhost" || host == "" || ip != nil && ip.IsLoopback() {
		return cmp.Or(host, "localhost"), nil
	}
	var seen string
	if err := a.db.QueryRowContext(ctx, "SELECT SUBSTRING_INDEX(USER(), '@', -1)").Scan(&seen); err != nil {
		return "", classify("asking the database server for our address", err)
	}
	return seen, nil
}

func checkOwner(owner string) error {
	if owner == "" || len(owner) > 100 || strings.Trim(owner, lower+upper+digits+"-_.") != "" {
		return fmt.Errorf("owner %q: only letters, digits, -, _ and . are used", owner)
	}
	return nil
}
