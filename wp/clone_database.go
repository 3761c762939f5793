package wp

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// DatabaseShare is the part that an install has in its database.
type DatabaseShare struct {
	Tables []string `json:"tables"`
	Bytes  int64    `json:"bytes"`
	// Whole: nothing of another install is in there, so that tables without the prefix, which
	// some plugins make, are the install's as well.
	Whole bool `json:"whole"`
}

// DatabaseShare looks at it, as the site's user.
func (h *Host) DatabaseShare(ctx context.Context, found Found) (DatabaseShare, error) {
	answer, err := h.asTenant(ctx, found, tablesRequest{})
	if err != nil {
		return DatabaseShare{}, err
	}
	if answer.Refused != "" {
		return DatabaseShare{}, fmt.Errorf("listing tables: %w: %s", ErrDatabaseConnection, cleanLine(answer.Refused, 200))
	}
	return shareOf(found.Config.TablePrefix, answer.Tables), nil
}

// shareOf tells installs in one database apart by the tables that every WordPress has.
func shareOf(prefix string, tables []tableInfo) DatabaseShare {
	var others []string
	for _, t := range tables {
		p, ok := strings.CutSuffix(t.Name, "usermeta")
		if ok && p != prefix && slices.ContainsFunc(tables, func(o tableInfo) bool { return o.Name == p+"options" }) {
			others = append(others, p)
		}
	}
	share := DatabaseShare{Whole: len(others) == 0}
	for _, t := range tables {
		// The longest prefix owns: wp_ has no part in wp_two_options.
		owner := prefix
		for _, p := range others {
			if strings.HasPrefix(t.Name, p) && (len(p) > len(owner) || !strings.HasPrefix(t.Name, owner)) {
				owner = p
			}
		}
		if t.Name == claimTable || owner != prefix || !share.Whole && !strings.HasPrefix(t.Name, prefix) {
			continue
		}
		share.Tables = append(share.Tables, t.Name)
		share.Bytes += max(t.Bytes, 0)
	}
	return share
}
