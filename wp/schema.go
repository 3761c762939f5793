package wp

import "context"

// FreshSchema makes an empty database that belongs to op: the next free <base>_rN, open to
// user@userHost. Done again for the same op it answers the same one.
func (h *Host) FreshSchema(ctx context.Context, op, base, user, userHost string) (string, error) {
	return "", errNotBuilt
}

// DropSchema drops a database that op has claimed; another's, or none, is left alone.
func (h *Host) DropSchema(ctx context.Context, op, name string) error { return errNotBuilt }

// AdoptSchema ends op's claim: the database is the tenant's alone.
func (h *Host) AdoptSchema(ctx context.Context, op, name string) error { return errNotBuilt }

// TableCounts counts the rows of every table (not of views), exactly.
func (h *Host) TableCounts(ctx context.Context, site Site, login Login) (map[string]int64, error) {
	return nil, errNotBuilt
}

// CountText counts the cells of text columns that hold a host name (or address, or path) by
// the rules of rewrite.Host, and says where: "wp_options.option_value: 3".
func (h *Host) CountText(ctx context.Context, site Site, login Login, text string) (int64, []string, error) {
	return 0, nil, errNotBuilt
}
