package tasks

import (
	"context"
	"time"

	"github.com/wispanel/wptk/wp"
)

var adminCreateSpec = Spec{
	Kind:     "admin.create",
	Class:    Interactive,
	Deadline: 3 * time.Minute,
	New:      func() Task { return new(AdminCreate) },
}

// AdminCreate makes a user, of the main site on a network. Nobody is told by mail.
type AdminCreate struct {
	User     string `json:"user" maxLength:"60" example:"jane" doc:"Login name."`
	Email    string `json:"email" maxLength:"100" example:"jane@blog.com"`
	Role     string `json:"role,omitempty" maxLength:"60" example:"administrator" doc:"A role that the site has; administrator by default."`
	Password Secret `json:"password,omitempty" writeOnly:"true" doc:"Generated when left out, and shown once in the result."`
}

// AdminCreateResult is the user as WordPress shows it.
type AdminCreateResult struct {
	UserID int64  `json:"user_id"`
	User   string `json:"user"`
	Email  string `json:"email"`
	Role   string `json:"role"`
}

// Kind is "admin.create".
func (*AdminCreate) Kind() string { return adminCreateSpec.Kind }

// Generates makes up the password when the request has none.
func (p *AdminCreate) Generates() (*Secret, string) { return &p.Password, "password" }

// Validate names every problem. Whether the site has the role, only the node can tell.
func (p *AdminCreate) Validate() []Problem {
	var found problems
	found.add("user", validLogin(p.User))
	found.add("email", validEmail(p.Email))
	found.optional("role", p.Role, validRole)
	found.add("password", validPassword(p.Password))
	return found
}

// Steps is one: the user is made, tried and read back in one start of WordPress, and carries
// a mark of the op, by which it knows its own after a crash and when it takes it back.
func (p *AdminCreate) Steps(r *Run) []Step {
	c := &creation{Run: r, ask: p}
	return []Step{{Name: "user", Message: "Creating the user", Do: c.do, Undo: c.undo}}
}

type creation struct {
	*Run
	ask *AdminCreate
}

func (c *creation) do(ctx context.Context) error {
	site, err := c.live(ctx)
	if err != nil {
		return err
	}
	if found := c.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	password, err := c.openPassword(c.ask.Password)
	if err != nil {
		return err
	}
	role := c.ask.Role
	if role == "" {
		role = "administrator"
	}
	var made wp.User
	err = c.reaching(func() (err error) {
		made, err = c.Host.CLI.UserCreate(ctx, site, wp.NewUser{
			Login: c.ask.User, Email: c.ask.Email, Role: role, Password: password, Op: c.Op.ID,
		})
		return err
	})
	if err != nil {
		return accessFailure(err)
	}
	c.logf("Made the user %s with the role %s.", made.Login, role)
	return c.SetResult(AdminCreateResult{UserID: made.ID, User: made.Login, Email: made.Email, Role: role})
}

func (c *creation) undo(ctx context.Context) error {
	return c.undoLive(ctx, func(site wp.Site) error {
		return c.Host.CLI.UserRemove(ctx, site, c.ask.User, c.Op.ID)
	})
}
