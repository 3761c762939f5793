package tasks

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// What the kinds about users and logging in have in common: admin.create, admin.autologin,
// password.reset and security.hide-login.

// live is the install that an op works on, under the address that it has given itself.
func (r *Run) live(ctx context.Context) (wp.Site, error) {
	site, err := r.existing()
	if err != nil {
		return wp.Site{}, err
	}
	site, err = r.Host.Addressed(ctx, site)
	return site, lookError(err)
}

// keyReached is "no" when WordPress never started for what the op wanted to change in it.
const keyReached = "reached"

// reaching makes a change in WordPress and remembers whether it can have been made: what kept
// WordPress from starting would keep the undo from it too, and there is nothing to take back.
func (r *Run) reaching(change func() error) error {
	before := r.Get(keyReached)
	if err := r.Set(keyReached, yes); err != nil {
		return err
	}
	err := change()
	if before != yes && wp.NeverStarted(err) {
		return errors.Join(err, r.Set(keyReached, no))
	}
	return err
}

// undoLive takes something back in the site, if the site is still there and was reached.
func (r *Run) undoLive(ctx context.Context, undo func(wp.Site) error) error {
	if r.Missing != nil || r.Get(keyReached) == no {
		return nil
	}
	site, err := r.Host.Addressed(ctx, r.Site)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return undo(site)
}

// validKnownLogin checks the name of a user that is there already, who may have come with
// other rules than those for new names.
func validKnownLogin(login string) string {
	if login == "" {
		return "is missing"
	}
	return validText(login, maxAdminUser)
}

func noSuchUser(err error) error {
	if !errors.Is(err, wp.ErrNoUser) {
		return err
	}
	return Permanent(err, Failure{CodeNoSuchUser, "The site has no such user.",
		"GET /wordpress/installation?id=… lists the administrators."})
}

var rolePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,59}$`)

func validRole(role string) string {
	if !rolePattern.MatchString(role) {
		return "must be a role of WordPress, like administrator or editor"
	}
	return ""
}

// openPassword opens a password of the payload and holds it to the rules of the API, which
// may have been another one.
func (r *Run) openPassword(secret Secret) (string, error) {
	plain, err := r.Reveal(secret)
	if err != nil {
		return "", err
	}
	if reason := validPlainPassword(plain); reason != "" {
		return "", invalidPayload(Problem{"password", reason})
	}
	return plain, nil
}

// accessFailure names the failures of the commands for users and logins.
func accessFailure(err error) error {
	var no *wp.AccessError
	if !errors.As(err, &no) {
		return err
	}
	switch no.Reason {
	case wp.RefusedNoUser:
		return noSuchUser(errors.Join(wp.ErrNoUser, err))
	case wp.RefusedUserExists, wp.RefusedEmailExists:
		message := "The site has a user of this name already."
		if no.Reason == wp.RefusedEmailExists {
			message = "The site has a user with this e-mail address already."
		}
		return Permanent(err, Failure{CodeUserExists, message, "Choose another one, or set a new password for that user."})
	case wp.RefusedNoRole:
		return invalidPayload(Problem{"role", "is no role of this site, which has " + strings.Trim(no.Detail, "[]")})
	case wp.RefusedRedirect:
		return invalidPayload(Problem{"redirect", "is not an address of this site"})
	case wp.RefusedSlugTaken:
		return invalidPayload(Problem{"slug", "is the address of " + no.Detail + " already"})
	case wp.RefusedWordPress:
		return Permanent(err, Failure{CodeWPCLI, "WordPress refused: " + no.Detail, "Change the request accordingly and send it again."})
	case wp.RefusedForeignFile:
		return Permanent(err, Failure{CodeConflict, "There is a must-use plugin wptk.php that is not the toolkit's.",
			"Give that file another name, then try again."})
	case wp.RefusedNotWritten:
		return Permanent(err, Failure{CodePermission, "The must-use plugin could not be written.",
			"Look at owner, mode, disk space and quota of the site's mu-plugins directory."})
	}
	return err // the lock, the options table: they may work the next time
}
