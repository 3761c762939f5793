package tasks

import (
	"errors"
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
