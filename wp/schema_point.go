package wp

import (
	"context"
	"errors"
)

// ErrConfigComputed says that DB_NAME is not a plain literal of wp-config.php, so that it
// cannot be pointed at another database.
var ErrConfigComputed = errors.New("wp-config.php computes the name of its database")

// PointConfig has wp-config.php name another database, in one rename and without PHP. undo
// is the name that was there: PointConfig with it goes back. Done again it answers the
// schema itself.
func (f Files) PointConfig(ctx context.Context, site Site, schema string) (undo string, err error) {
	return "", errNotBuilt
}
