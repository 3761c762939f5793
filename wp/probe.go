package wp

import (
	"context"
	"errors"
	"fmt"
)

// Health is whether WordPress comes up.
type Health struct {
	Up     bool   `json:"up"`
	Reason string `json:"reason,omitempty"` // what keeps it from coming up, one line

	// Untranslated: it came up, and said that there are no translations.
	Untranslated bool `json:"-"`
}

// Probe starts WordPress as a visit does, with its plugins and its theme. A site that does not
// come up is no error. It sees what ends PHP while the site is loaded, not what goes wrong
// later, in a page. The errors are the context's, and of a database that cannot be reached.
func (h *Host) Probe(ctx context.Context, site Site) (Health, error) {
	out, err := h.CLI.must(ctx, site, siteBoot())
	var answer struct {
		Version   string `json:"version"`
		Languages *int   `json:"languages"`
	}
	if err == nil {
		err = parseJSON(out, &answer)
	}
	health, err := healthOf(ctx, site, err)
	health.Untranslated = health.Up && answer.Languages != nil && *answer.Languages == 0
	return health, err
}

func siteBoot() Command {
	return command("wptk", "boot").loading("extensions.php").forParser().within(factsTime)
}

// healthOf tells what err, of a start with everything loaded, says about the site.
func healthOf(ctx context.Context, site Site, err error) (Health, error) {
	switch {
	case err == nil:
		return Health{Up: true}, nil
	case ctx.Err() != nil, errors.Is(err, ErrDatabaseConnection):
		return Health{}, fmt.Errorf("starting WordPress: %w", err)
	}
	return Health{Reason: reasonOfRun(err, culpritOf(site, err))}, nil
}

// Survey is Probe and Extensions in one start of a site that comes up. The list of one that
// does not is read without its plugins and theme.
func (h *Host) Survey(ctx context.Context, site Site) (Extensions, Health, error) {
	found, err := h.CLI.extensions(ctx, site, false)
	health, err := healthOf(ctx, site, err)
	if err == nil && !health.Up {
		found, err = h.CLI.Extensions(ctx, site)
	}
	return found, health, err
}

// Addressed gives a site the address that it has given itself, read from its files and
// tables: a network answers to no other. errors.Is fs.ErrNotExist: there is no WordPress.
func (h *Host) Addressed(ctx context.Context, site Site) (Site, error) {
	found, err := h.Files.Look(ctx, site)
	if err != nil {
		return Site{}, fmt.Errorf("looking at install: %w", err)
	}
	facts, err := Inspect(ctx, h, found)
	if err != nil {
		return Site{}, err
	}
	return addressed(site, facts[0]), nil
}
