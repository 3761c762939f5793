package tasks

import (
	"context"
	"time"
)

var passwordResetSpec = Spec{
	Kind:     "password.reset",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(PasswordReset) },
}

// PasswordReset gives a user another password and logs it out everywhere. Nobody is told by
// mail; application passwords stay.
type PasswordReset struct {
	User     string `json:"user" maxLength:"60" example:"admin" doc:"Login name."`
	Password Secret `json:"password,omitempty" writeOnly:"true" doc:"Generated when left out, and shown once in the result."`
}

// PasswordResetResult is whose password it is.
type PasswordResetResult struct {
	UserID int64  `json:"user_id"`
	User   string `json:"user"`
}

// Kind is "password.reset".
func (*PasswordReset) Kind() string { return passwordResetSpec.Kind }

// Generates makes up the password when the request has none.
func (p *PasswordReset) Generates() (*Secret, string) { return &p.Password, "password" }

// Validate names every problem.
func (p *PasswordReset) Validate() []Problem {
	var found problems
	found.add("user", validKnownLogin(p.User))
	found.add("password", validPassword(p.Password))
	return found
}

// Steps looks for the user first: the old password cannot be put back, so from the second
// step on there is no return.
func (p *PasswordReset) Steps(r *Run) []Step {
	x := &passwordReset{Run: r, ask: p}
	return []Step{
		{Name: "user", Message: "Looking for the user", Do: x.look},
		{Name: "password", Message: "Setting the password", Weight: 2, Commit: true, Do: x.set},
	}
}

type passwordReset struct {
	*Run
	ask *PasswordReset
}

func (x *passwordReset) look(ctx context.Context) error {
	site, err := x.live(ctx)
	if err != nil {
		return err
	}
	if found := x.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	if _, err := x.openPassword(x.ask.Password); err != nil {
		return err
	}
	user, err := x.Host.CLI.UserGet(ctx, site, x.ask.User)
	if err != nil {
		return noSuchUser(err)
	}
	return x.SetResult(PasswordResetResult{UserID: user.ID, User: user.Login})
}

func (x *passwordReset) set(ctx context.Context) error {
	site, err := x.live(ctx)
	if err != nil {
		return err
	}
	password, err := x.openPassword(x.ask.Password)
	if err != nil {
		return err
	}
	user, err := x.Host.CLI.UserResetPassword(ctx, site, x.ask.User, password)
	if err != nil {
		return accessFailure(err)
	}
	x.logf("Set a new password for %s and ended its sessions.", user.Login)
	return nil
}
