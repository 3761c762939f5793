package tasks

import "context"

// Step is one resumable part of a task. The runner journals it (fsync) before
// and after, so a step that was interrupted is entered again at Check.
//
//	Check  is the effect already there, and ours? true skips Do. May be nil.
//	Do     make the effect. Must be safe to repeat after a crash in the middle.
//	       May be nil for a step that only looks.
//	Verify is the effect really there? May be nil.
//	Undo   take back exactly what Do made. Also safe to repeat. May be nil.
type Step struct {
	Name    string // wire and metric name: "core_files"
	Message string // what a person reads while it runs: "Copying WordPress files"
	Weight  int    // share of the progress bar, relative to the other steps; 0 counts as 1

	// Commit is the point of no return: once such a step is entered, the op is
	// neither cancelled nor undone any more, and what goes wrong in it ends the
	// op as unverified. It belongs at the end.
	Commit bool

	Check  func(ctx context.Context) (bool, error)
	Do     func(ctx context.Context) error
	Verify func(ctx context.Context) error
	Undo   func(ctx context.Context) error
}
