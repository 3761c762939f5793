package wp

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// ClaimedDatabase is a database that still belongs to an operation.
type ClaimedDatabase struct {
	Name  string
	Owner string // the operation
	// Fresh is one of FreshSchema, whose user is that of a site that goes on.
	Fresh bool
}

// Claims lists the claimed databases of the server: of all nodes that share it, and of
// operations that go on. Tenants can write such marks into their own databases.
func (a *Admin) Claims(ctx context.Context) ([]ClaimedDatabase, error) {
	// One row of two columns in one text: neither has a blank.
	tables, err := a.strings(ctx, "listing claims",
		"SELECT CONCAT(TABLE_SCHEMA, ' ', TABLE_COMMENT) FROM information_schema.TABLES WHERE TABLE_NAME = '"+claimTable+"'")
	if err != nil {
		return nil, err
	}
	comments, err := a.strings(ctx, "listing claims",
		"SELECT CONCAT(SCHEMA_NAME, ' ', SUBSTRING(SCHEMA_COMMENT, CHAR_LENGTH(?) + 1)) FROM information_schema.SCHEMATA WHERE LEFT(SCHEMA_COMMENT, CHAR_LENGTH(?)) = ?",
		ownerComment, ownerComment, ownerComment)
	if err != nil {
		return nil, err
	}
	all := map[string]ClaimedDatabase{}
	add := func(line string, fresh bool) {
		name, owner, _ := strings.Cut(line, " ")
		if checkName(name) == nil && checkOwner(owner) == nil {
			all[name] = ClaimedDatabase{Name: name, Owner: owner, Fresh: fresh}
		}
	}
	for _, line := range tables {
		add(line, false)
	}
	for _, line := range comments {
		add(line, true)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b ClaimedDatabase) int { return strings.Compare(a.Name, b.Name) }), nil
}

// DropClaimed drops what an operation could not take back, with the user that it has made for
// it; account is the tenant's. What is no longer the operation's is left alone, without error.
func (h *Host) DropClaimed(ctx context.Context, account string, c ClaimedDatabase) error {
	if c.Fresh {
		return h.DropSchema(ctx, c.Owner, c.Name)
	}
	if holder, err := h.DB.ClaimedBy(ctx, c.Name); err != nil || holder != c.Owner {
		return err
	}
	// The user has the database's name: none but the account's own may be meant by it.
	if !strings.HasPrefix(c.Name, databasePrefix(account)) {
		return errors.New("dropping claimed database: " + c.Name + " is not called as those of its account are")
	}
	host, err := h.DB.UserHost(ctx, h.DBHost)
	if err != nil {
		return err
	}
	if err := h.DB.DropUser(ctx, c.Name, host); err != nil {
		return err
	}
	return h.DB.DropDatabase(ctx, c.Name)
}
