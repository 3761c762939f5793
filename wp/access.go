package wp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The commands below are our own (php/access.php): everything that one of them needs is told
// by standard input, done in one start of PHP, read back, and answered as JSON. They run
// without the site's plugins and theme, so that a broken one keeps nobody out.

// Refusal is why a command of ours did not do what it was asked.
type Refusal string

// The refusals. Nothing was changed.
const (
	RefusedNoUser      Refusal = "no_user"
	RefusedUserExists  Refusal = "user_exists"
	RefusedEmailExists Refusal = "email_exists"
	RefusedNoRole      Refusal = "no_role"
	RefusedWordPress   Refusal = "wordpress"    // by WordPress itself; Detail has its words
	RefusedBusy        Refusal = "busy"         // another command holds the lock
	RefusedForeignFile Refusal = "foreign_file" // there is a wptk.php that is not ours
	RefusedNotWritten  Refusal = "not_written"  // the must-use plugin
	RefusedNotStored   Refusal = "not_stored"   // in the options table
	RefusedRedirect    Refusal = "bad_redirect" // not an address of the site
	RefusedSlugTaken   Refusal = "slug_taken"   // Detail says by what
)

// AccessError is a command for users and logins that found a reason not to do it.
type AccessError struct {
	Command string // "wptk create-user"
	Reason  Refusal
	Detail  string // the site's words, cleaned; may be empty
}

func (e *AccessError) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("wp %s refused: %s (%s)", e.Command, e.Reason, e.Detail)
	}
	return fmt.Sprintf("wp %s refused: %s", e.Command, e.Reason)
}

// access is a command of php/access.php with what it is told.
func access(name literal, told any) Command {
	cmd := command("wptk", name).loading("access.php").withoutPlugins().forParser()
	input, err := json.Marshal(told)
	if err != nil {
		return cmd.fail(fmt.Errorf("encoding input: %w", err))
	}
	return cmd.input(string(input))
}

// ask runs such a command. What it answers goes into answer, unless it refuses.
func (c *CLI) ask(ctx context.Context, site Site, cmd Command, answer any) error {
	out, err := c.must(ctx, site, cmd)
	if err != nil {
		return err
	}
	var refusal struct {
		Refused Refusal
		Message string
		Roles   []string
	}
	if err := parseJSON(out, &refusal); err != nil {
		return fmt.Errorf("reading answer of wp %s: %w", cmd.Name(), err)
	}
	if refusal.Refused != "" {
		detail := refusal.Message
		if refusal.Refused == RefusedNoRole {
			detail = fmt.Sprint(refusal.Roles)
		}
		return &AccessError{Command: cmd.Name(), Reason: Refusal(cleanField(string(refusal.Refused))), Detail: cleanField(detail)}
	}
	if err := parseJSON(out, answer); err != nil {
		return fmt.Errorf("reading answer of wp %s: %w", cmd.Name(), err)
	}
	return nil
}

// LoginLink is a login link to be issued.
type LoginLink struct {
	Hash     string // SHA-256 of the token, in hex: the token itself stays out of the site
	User     string // login; empty is the first administrator
	Redirect string // where to go afterwards: a path below the site, an address of it, or empty
	Op       string
	Lifetime time.Duration // whole seconds
}

// IssuedLogin is a login link that works until it Expires.
type IssuedLogin struct {
	UserID   int64
	User     string
	Address  string // of the site, with a slash at the end
	Redirect string
	Expires  time.Time
}

// LoginIssue stores a login link in the site's options table, and puts the must-use plugin
// in place that serves it. Issued again, a link gets a new lifetime. Errors: an *AccessError
// with RefusedNoUser, RefusedRedirect or what is wrong with the plugin's file.
func (c *CLI) LoginIssue(ctx context.Context, site Site, l LoginLink) (IssuedLogin, error) {
	var got struct {
		ID                       int64
		Login, Address, Redirect string
		Expires                  int64
	}
	if err := c.ask(ctx, site, loginIssue(l), &got); err != nil {
		return IssuedLogin{}, err
	}
	own, err := site.WithURL(got.Address)
	if err != nil {
		return IssuedLogin{}, fmt.Errorf("issuing login link: %w: %w", ErrOutput, err)
	}
	return IssuedLogin{
		UserID: got.ID, User: cleanField(got.Login), Address: strings.TrimRight(own.URL, "/") + "/", Redirect: cleanField(got.Redirect),
		Expires: time.Unix(got.Expires, 0).UTC(),
	}, nil
}

// LoginRevoke makes a login link useless; one that is not there is no error.
func (c *CLI) LoginRevoke(ctx context.Context, site Site, hash string) error {
	return c.ask(ctx, site, access("revoke-login", map[string]string{"hash": hash}), &struct{}{})
}

func loginIssue(l LoginLink) Command {
	return access("issue-login", struct {
		Hash     string `json:"hash"`
		Login    string `json:"login"`
		Redirect string `json:"redirect"`
		Op       string `json:"op"`
		Seconds  int64  `json:"seconds"`
		Plugin   string `json:"plugin"`
	}{l.Hash, l.User, l.Redirect, l.Op, int64(l.Lifetime / time.Second), muPlugin})
}

// LoginDoor is where a site's login page is.
type LoginDoor struct {
	Was   string `json:"was"`   // the slug before the call
	Slug  string `json:"slug"`  // empty: not hidden
	URL   string `json:"url"`   // of the login page
	Off   bool   `json:"off"`   // wp-config.php switches hiding off (WPTK_HIDE_LOGIN)
	There bool   `json:"there"` // the must-use plugin is in place
}

// LoginDoor reads where the login page is, and whether slug, unless empty, is free to become
// its address: if not, the error is an *AccessError with RefusedSlugTaken.
func (c *CLI) LoginDoor(ctx context.Context, site Site, slug string) (LoginDoor, error) {
	return c.hideLogin(ctx, site, slug, true)
}

// HideLogin moves the login page to a slug, and with an empty one back to wp-login.php. It
// puts the must-use plugin in place, or removes it when no login link needs it either.
func (c *CLI) HideLogin(ctx context.Context, site Site, slug string) (LoginDoor, error) {
	door, err := c.hideLogin(ctx, site, slug, false)
	if err == nil && (door.Slug != slug || slug != "" && !door.There) {
		err = fmt.Errorf("hiding login page: %w: the slug is %q", ErrNotApplied, cleanField(door.Slug))
	}
	return door, err
}

func (c *CLI) hideLogin(ctx context.Context, site Site, slug string, check bool) (LoginDoor, error) {
	var door LoginDoor
	if err := c.ask(ctx, site, hideLogin(slug, check), &door); err != nil {
		return LoginDoor{}, err
	}
	door.Was, door.Slug, door.URL = cleanField(door.Was), cleanField(door.Slug), cleanField(door.URL)
	return door, nil
}

func hideLogin(slug string, check bool) Command {
	return access("hide-login", struct {
		Slug   string `json:"slug"`
		Check  bool   `json:"check"`
		Plugin string `json:"plugin"`
	}{slug, check, muPlugin})
}
