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

// NewUser is a user to be made.
type NewUser struct {
	Login, Email, Role, Name string
	Password                 string // by standard input only
}

// ErrNoUser: there is no user of that login.
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

// UserCreate makes a user, tells nobody by mail, and reads it back.
func (c *CLI) UserCreate(ctx context.Context, site Site, u NewUser) (User, error) {
	if _, err := c.must(ctx, site, userCreate(u)); err != nil {
		return User{}, err
	}
	made, err := c.UserGet(ctx, site, u.Login)
	if err == nil && !made.HasRole(u.Role) {
		err = fmt.Errorf("creating user: %w: roles are %q", ErrNotApplied, made.Roles)
	}
	return made, err
}

// UserSetPassword changes a password, tells nobody by mail, and tries it.
func (c *CLI) UserSetPassword(ctx context.Context, site Site, login, password string) error {
	if _, err := c.must(ctx, site, userSetPassword(login, password)); err != nil {
		return err
	}
	ok, err := c.UserCheckPassword(ctx, site, login, password)
	if err == nil && !ok {
		err = fmt.Errorf("setting password: %w", ErrNotApplied)
	}
	return err
}

// UserCheckPassword reports whether the password is right. It is a command of our own
// (php/run.php): the one of WP-CLI takes the password as an argument.
func (c *CLI) UserCheckPassword(ctx context.Context, site Site, login, password string) (bool, error) {
	out, err := c.must(ctx, site, userCheckPassword(login, password))
	if err != nil {
		return false, err
	}
	return parseCheckPassword(out, login)
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
	return command("user", "create").
		arg(u.Login).
		arg(u.Email).
		value("role", u.Role).
		optional("display_name", u.Name).
		secret("user_pass", u.Password)
}

func userSetPassword(login, password string) Command {
	return command("user", "update").
		arg(login).
		flag("skip-email").
		secret("user_pass", password)
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

func parseCheckPassword(out []byte, login string) (bool, error) {
	var answer struct{ Found, Matches bool }
	if err := parseJSON(out, &answer); err != nil {
		return false, fmt.Errorf("checking password: %w", err)
	}
	if !answer.Found {
		return false, fmt.Errorf("%w: %s", ErrNoUser, cleanField(login))
	}
	return answer.Matches, nil
}
