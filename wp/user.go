package wp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// User is a user of a site.
type User struct {
	ID    int64  `json:"ID"`
	Login string `json:"user_login"`
	Email string `json:"user_email"`
	Name  string `json:"display_name"`
	Roles string `json:"roles"` // separated by commas
}

// HasRole reports whether the user has a role, such as "administrator".
func (u User) HasRole(role string) bool {
	return slices.Contains(strings.Split(u.Roles, ","), role)
}

// NewUser is a user to be made by an operation.
type NewUser struct {
	Login, Email, Role string
	Password           string
	Op                 string
}

// ErrNoUser says that there is no user of that login.
var ErrNoUser = errors.New("no such user")

// UserList reads the users of a role, or all of them when role is empty.
func (c *CLI) UserList(ctx context.Context, site Site, role string) ([]User, error) {
	out, err := c.must(ctx, site, userList(role))
	if err != nil {
		return nil, err
	}
	return parseUsers(out)
}

// UserGet reads one user; the error is ErrNoUser when there is none.
func (c *CLI) UserGet(ctx context.Context, site Site, login string) (User, error) {
	out, err := c.must(ctx, site, userGet(login))
	if err != nil {
		return User{}, err
	}
	users, err := parseUsers(out)
	if err != nil {
		return User{}, err
	}
	for _, u := range users {
		if u.Login == login {
			return u, nil
		}
	}
	return User{}, fmt.Errorf("%w: %s", ErrNoUser, cleanField(login))
}

// UserCreate makes a user, tells nobody by mail, and tries its password. The user carries a
// mark of the operation (user meta wptk_op): called again by the same one, it is no refusal
// that the user exists. Errors: an *AccessError with RefusedUserExists, RefusedEmailExists,
// RefusedNoRole or RefusedWordPress.
func (c *CLI) UserCreate(ctx context.Context, site Site, u NewUser) (User, error) {
	made, err := c.askUser(ctx, site, userCreate(u))
	if err == nil && (!made.HasRole(u.Role) || made.Email != u.Email) {
		err = fmt.Errorf("creating user: %w: %s has the roles %q", ErrNotApplied, made.Email, made.Roles)
	}
	return made, err
}

// UserRemove removes a user that the operation has made. Any other of that name stays,
// without error.
func (c *CLI) UserRemove(ctx context.Context, site Site, login, op string) error {
	return c.ask(ctx, site, access("remove-user", map[string]string{"login": login, "op": op}), &struct{}{})
}

// UserResetPassword sets a password, tells nobody by mail, ends all sessions of the user,
// and tries the password. The error is an *AccessError when there is no such user.
func (c *CLI) UserResetPassword(ctx context.Context, site Site, login, password string) (User, error) {
	return c.askUser(ctx, site, userResetPassword(login, password))
}

func (c *CLI) askUser(ctx context.Context, site Site, cmd Command) (User, error) {
	var got struct {
		ID           int64
		Login, Email string
		Roles        []string
		Matches      bool
		Sessions     int
	}
	if err := c.ask(ctx, site, cmd, &got); err != nil {
		return User{}, err
	}
	u := User{ID: got.ID, Login: cleanField(got.Login), Email: cleanField(got.Email), Roles: cleanField(strings.Join(got.Roles, ","))}
	switch {
	case !got.Matches:
		return u, fmt.Errorf("trying password: %w", ErrNotApplied)
	case got.Sessions > 0:
		return u, fmt.Errorf("ending sessions: %w: %d are left", ErrNotApplied, got.Sessions)
	}
	return u, nil
}

// UserCheckPassword reports whether the password is right. It is a command of our own
// (php/run.php): the one of WP-CLI takes the password as an argument.
func (c *CLI) UserCheckPassword(ctx context.Context, site Site, login, password string) (bool, error) {
	door, err := c.SiteDoor(ctx, site, login, password)
	return door.Opens, err
}

// Door is how a site is entered.
type Door struct {
	Opens   bool   // the password is right
	SiteURL string // as WordPress sees it, filters and constants included; also when it does not open
}

// SiteDoor is UserCheckPassword that also tells the site's address, by the same start of PHP.
func (c *CLI) SiteDoor(ctx context.Context, site Site, login, password string) (Door, error) {
	out, err := c.must(ctx, site, userCheckPassword(login, password))
	if err != nil {
		return Door{}, err
	}
	return parseDoor(out, login)
}

const userFields literal = "ID,user_login,user_email,display_name,roles"

func userList(role string) Command {
	return command("user", "list").
		optional("role", role).
		fixed("fields", userFields).
		fixed("format", "json").
		withoutPlugins().forParser()
}

// userGet is a list of one: `user get` takes a login that looks like a number for an ID.
func userGet(login string) Command {
	return command("user", "list").
		value("login", login).
		fixed("fields", userFields).
		fixed("format", "json").
		withoutPlugins().forParser()
}

func userCreate(u NewUser) Command {
	return access("create-user", map[string]string{
		"login": u.Login, "email": u.Email, "role": u.Role, "password": u.Password, "op": u.Op,
	}).hiding(u.Password)
}

func userResetPassword(login, password string) Command {
	return access("reset-password", map[string]string{"login": login, "password": password}).hiding(password)
}

func userCheckPassword(login, password string) Command {
	return command("wptk", "check-password").
		input(`{"login":` + jsonText(login) + `,"password":` + jsonText(password) + `}`).
		hiding(password).withoutPlugins().forParser()
}

func parseUsers(out []byte) ([]User, error) {
	var users []User
	if err := parseJSON(out, &users); err != nil {
		return nil, fmt.Errorf("reading users: %w", err)
	}
	for i, u := range users {
		users[i] = User{u.ID, cleanField(u.Login), cleanField(u.Email), cleanField(u.Name), cleanField(u.Roles)}
	}
	return users, nil
}

func parseDoor(out []byte, login string) (Door, error) {
	var answer struct {
		Found, Matches bool
		SiteURL        string
	}
	if err := parseJSON(out, &answer); err != nil {
		return Door{}, fmt.Errorf("checking password: %w", err)
	}
	door := Door{Opens: answer.Found && answer.Matches, SiteURL: cleanField(answer.SiteURL)}
	if !answer.Found {
		return door, fmt.Errorf("%w: %s", ErrNoUser, cleanField(login))
	}
	return door, nil
}
