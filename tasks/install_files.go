package tasks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// checkTarget refuses everything that would put the new site over something, and
// what is wrong with the request in a way that only the node can see.
func (in *installer) checkTarget(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	if found := in.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	if _, err := in.password(); err != nil {
		return err
	}
	if u, err := url.Parse(site.URL); err == nil && u.Path != "" && in.ask.Multisite == Subdomains {
		return invalidPayload(Problem{"multisite", "can be subdomains only for a site at the top of its domain; use subdirectories"})
	}
	if _, err := in.Recall(keyMode, func() (string, error) { return in.mode(), nil }); err != nil {
		return err
	}
	state, err := in.Host.Files.State(ctx, site)
	if err != nil {
		return fmt.Errorf("looking at target: %w", err)
	}
	return refuseOccupied(state)
}

func refuseOccupied(state wp.DirState) error {
	switch state.Kind {
	case wp.DirAbsent, wp.DirEmpty:
		return nil
	case wp.DirWordPress:
		return Permanent(nil, Failure{
			Code:    CodeWordPressExists,
			Message: "There is a WordPress in this directory already.",
			Hint:    "Delete that site first, or install into another path.",
		})
	}
	return targetNotEmpty(nil, state.What)
}

func targetNotEmpty(err error, what []string) error {
	f := Failure{
		Code:    CodeTargetNotEmpty,
		Message: "The directory is not empty.",
		Hint:    "Move its files away, or install into another path.",
	}
	if len(what) > 0 {
		f.Message = "The directory is not empty: it has " + strings.Join(what, ", ") + "."
	}
	return Permanent(err, f)
}

// stageCore fetches all packages before it copies the first file: what is not
// available is known while there is nothing to undo.
func (in *installer) stageCore(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	tree, err := in.fetch(ctx)
	if err != nil {
		return err
	}
	err = in.Host.Files.StageCore(ctx, site, tree.Dir, in.stage(), func(done, total int64) {
		in.Report(float64(done)/float64(total), "")
	})
	if err != nil {
		return fmt.Errorf("copying core: %w", err)
	}
	if tree.Languages == "" {
		return nil
	}
	staged, err := in.staged()
	if err != nil {
		return err
	}
	if err := in.Host.Files.CopyTree(ctx, staged, tree.Languages, "wp-content/languages"); err != nil {
		return fmt.Errorf("copying translation: %w", err)
	}
	return nil
}

func (in *installer) fetch(ctx context.Context) (wp.CoreTree, error) {
	tree, err := in.core(ctx)
	if err != nil {
		return wp.CoreTree{}, err
	}
	for _, entry := range in.ask.Plugins {
		if _, err := in.plugin(ctx, tree, entry); err != nil {
			return wp.CoreTree{}, err
		}
	}
	if in.ask.Theme != "" {
		if _, err := in.theme(ctx, tree, in.ask.Theme); err != nil {
			return wp.CoreTree{}, err
		}
	}
	return tree, nil
}

// core provides the WordPress of this op: the same one in every attempt, though
// "latest" may have moved on.
func (in *installer) core(ctx context.Context) (wp.CoreTree, error) {
	request := in.Get(keyVersion)
	if request == "" {
		if request = in.ask.Version; request == "" {
			request = "latest"
		}
	}
	tree, err := in.Host.Packages.Core(ctx, request, in.ask.Locale)
	if err != nil {
		return wp.CoreTree{}, fmt.Errorf("fetching WordPress: %w", err)
	}
	if tree.Version != in.Get(keyVersion) {
		err = in.Set(keyVersion, tree.Version)
	}
	return tree, err
}

func (in *installer) removeStage(ctx context.Context) error {
	return in.undoFiles(ctx, in.Host.Files.Remove)
}

func (in *installer) isPublished(ctx context.Context) (bool, error) {
	site, err := in.site()
	if err != nil {
		return false, err
	}
	state, err := in.Host.Files.State(ctx, site)
	if err != nil {
		return false, fmt.Errorf("looking at target: %w", err)
	}
	return state.Stage == in.stage(), nil
}

func (in *installer) publish(ctx context.Context) error {
	site, err := in.site()
	if err != nil {
		return err
	}
	err = in.Host.Files.Publish(ctx, site, in.stage())
	if errors.Is(err, fs.ErrExist) {
		return targetNotEmpty(err, nil) // filled since checkTarget looked
	}
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return nil
}

func (in *installer) unpublish(ctx context.Context) error {
	return in.undoFiles(ctx, in.Host.Files.Unpublish)
}

// undoFiles takes back files of the site. When the domain's directory is gone,
// they are gone with it.
func (in *installer) undoFiles(ctx context.Context, undo func(context.Context, wp.Site, string) error) error {
	if errors.Is(in.Missing, wp.ErrNoDomain) {
		return nil
	}
	site, err := in.site()
	if err != nil {
		return err
	}
	return undo(ctx, site, in.stage())
}
