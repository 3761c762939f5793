package tasks

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/wispanel/wptk/wp"
)

// What kept WordPress from starting keeps the undo from it too: there is nothing to take back.
func TestUndoLeavesAloneWhatWasNeverReached(t *testing.T) {
	t.Parallel()
	away, lost := fmt.Errorf("wp x: %w", wp.ErrStrangeConfig), errors.New("connection lost")
	for _, c := range []struct {
		name  string
		tries []error
		tried bool // the undo
	}{
		{"never", []error{away, away}, false},
		{"the second time", []error{away, lost}, true},
		{"the first time only", []error{lost, away}, true},
		{"without an attempt", nil, true}, // another program's journal
	} {
		r := &Run{Missing: nil}
		for _, err := range c.tries {
			if got := r.reaching(func() error { return err }); !errors.Is(got, err) {
				t.Errorf("%s: %v became %v", c.name, err, got)
			}
		}
		if got := r.Get(keyReached) != no; got != c.tried {
			t.Errorf("%s: the undo is tried: %t", c.name, got)
		}
		if !c.tried && r.undoLive(context.Background(), func(wp.Site) error { return lost }) != nil {
			t.Errorf("%s: it was tried", c.name)
		}
	}
}
