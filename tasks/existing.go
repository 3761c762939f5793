package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/wispanel/wptk/wp"
)

// existing is the install that an op works on, or why there is none. Kinds that change an
// install ask for it first.
func (r *Run) existing() (wp.Site, error) {
	if r.Missing != nil {
		return wp.Site{}, missingSite(r.Missing)
	}
	return r.Site, nil
}

// installed is existing, once a look at the files has shown that there is a WordPress.
func (r *Run) installed(ctx context.Context) (wp.Site, error) {
	site, err := r.existing()
	if err != nil {
		return wp.Site{}, err
	}
	switch state, err := r.Host.Files.State(ctx, site); {
	case err != nil:
		return wp.Site{}, fmt.Errorf("looking at install: %w", err)
	case state.Kind != wp.DirWordPress:
		return wp.Site{}, Permanent(nil, noWordPress)
	}
	return site, nil
}

var noWordPress = Failure{
	Code:    CodeNoWordPress,
	Message: "There is no WordPress in this place.",
	Hint:    "It was removed or moved after it was last seen; look at the list of installs.",
}

// lookError names the failure of a look at an install that should be there.
func lookError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return Permanent(err, noWordPress)
	}
	return err
}
