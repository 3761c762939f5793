package tasks

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

var securityHideLoginSpec = Spec{
	Kind:     "security.hide-login",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(SecurityHideLogin) },
}

// SecurityHideLogin moves the login page to an address of the owner's choice; wp-login.php
// and wp-admin are then not found by whoever is not logged in. It keeps guessing robots
// away; it does not protect a weak password.
type SecurityHideLogin struct {
	Enabled bool   `json:"enabled"`
	Slug    string `json:"slug,omitempty" maxLength:"40" example:"backstage" doc:"The login page is at /slug/ then: 3 to 40 of a-z, 0-9 and -. Needed when enabled."`
}

// SecurityHideLoginResult is where the login page is now.
type SecurityHideLoginResult struct {
	Enabled  bool   `json:"enabled"`
	Slug     string `json:"slug"`
	LoginURL string `json:"login_url"`
	// Suspended: wp-config.php defines WPTK_HIDE_LOGIN as false, so nothing is hidden for now.
	Suspended bool `json:"suspended"`
}

// Kind is "security.hide-login".
func (*SecurityHideLogin) Kind() string { return securityHideLoginSpec.Kind }

// Validate names every problem. Whether the site uses the address already, only the node
// can tell.
func (p *SecurityHideLogin) Validate() []Problem {
	var found problems
	switch {
	case p.Enabled && p.Slug == "":
		found.add("slug", "is missing; choose where the login page should be")
	case p.Slug != "":
		found.add("slug", validLoginSlug(p.Slug))
	}
	return found
}

var (
	loginSlugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{1,38})[a-z0-9]$`)
	digitsPattern    = regexp.MustCompile(`^[0-9-]+$`)

	// What every robot tries, and what WordPress itself answers at.
	knownDoors = []string{"login", "admin", "administrator", "dashboard", "signin", "sign-in", "log-in", "register", "wp-json", "feed", "xmlrpc"}
)

func validLoginSlug(slug string) string {
	switch {
	case !loginSlugPattern.MatchString(slug):
		return "must be 3 to 40 letters a-z, digits and hyphens, with no hyphen at its ends"
	case slices.Contains(knownDoors, slug) || strings.HasPrefix(slug, "wp-"):
		return "is what everybody tries first, or is WordPress's own; choose another one"
	case digitsPattern.MatchString(slug):
		return "must have a letter: numbers are the addresses of archives"
	}
	return ""
}

// Steps looks before it changes anything, so that the undo knows what was there.
func (p *SecurityHideLogin) Steps(r *Run) []Step {
	x := &hideLogin{Run: r, ask: p}
	return []Step{
		{Name: "check", Message: "Checking the address", Do: x.check},
		{Name: "apply", Message: "Moving the login page", Do: x.apply, Undo: x.undo},
	}
}

type hideLogin struct {
	*Run
	ask *SecurityHideLogin
}

// keySlugBefore remembers the slug that the op has found.
const keySlugBefore = "slug_before"

func (x *hideLogin) slug() string {
	if !x.ask.Enabled {
		return ""
	}
	return x.ask.Slug
}

func (x *hideLogin) check(ctx context.Context) error {
	site, err := x.live(ctx)
	if err != nil {
		return err
	}
	if found := x.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	door, err := x.Host.CLI.LoginDoor(ctx, site, x.slug())
	if err != nil {
		return accessFailure(err)
	}
	return x.Set(keySlugBefore, door.Slug)
}

func (x *hideLogin) apply(ctx context.Context) error {
	site, err := x.live(ctx)
	if err != nil {
		return err
	}
	door, err := x.Host.CLI.HideLogin(ctx, site, x.slug())
	if err != nil {
		return accessFailure(err)
	}
	if door.Off {
		x.logf("wp-config.php switches this off: it defines WPTK_HIDE_LOGIN as false.")
	}
	return x.SetResult(SecurityHideLoginResult{Enabled: door.Slug != "", Slug: door.Slug, LoginURL: door.URL, Suspended: door.Off})
}

func (x *hideLogin) undo(ctx context.Context) error {
	return x.undoLive(ctx, func(site wp.Site) error {
		if _, err := x.Host.CLI.HideLogin(ctx, site, x.Get(keySlugBefore)); err != nil {
			return fmt.Errorf("putting the login page back: %w", err)
		}
		return nil
	})
}
