package boot

import (
	"context"
	"errors"
	"sync"
)

// Together runs the parts of a process until one fails or ctx ends, and returns
// when all are done. A part that returns early without an error ends the others
// too: half a process is worse than none.
func Together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			defer cancel()
			if err := part(ctx); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
