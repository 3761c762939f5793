package tasks

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/wp"
)

var adminAutologinSpec = Spec{
	Kind:     "admin.autologin",
	Class:    Interactive,
	Deadline: 2 * time.Minute,
	New:      func() Task { return new(AdminAutologin) },
}

// loginLifetime is how long a login link works.
const loginLifetime = time.Minute

// AdminAutologin makes a link that logs a browser in, once.
//
// The token in the link is made by the API and known to it and to whoever asked. The site
// gets its hash, for one user, together with the must-use plugin that serves the link.
type AdminAutologin struct {
	User     string `json:"user,omitempty" maxLength:"60" example:"admin" doc:"Login name; the first administrator by default."`
	Redirect string `json:"redirect,omitempty" maxLength:"1000" example:"/wp-admin/plugins.php" doc:"Where to go after the login: a path below the site's address, or an address of the site. The dashboard by default."`
	Token    Secret `json:"token,omitempty" hidden:"true"`
}

// AdminAutologinResult has the link, which works once, until it expires.
type AdminAutologinResult struct {
	LoginURL  string    `json:"login_url"`
	UserID    int64     `json:"user_id"`
	User      string    `json:"user"`
	Redirect  string    `json:"redirect"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Kind is "admin.autologin".
func (*AdminAutologin) Kind() string { return adminAutologinSpec.Kind }

// Generates makes up the token, which stands in the link.
func (p *AdminAutologin) Generates() (*Secret, string) { return &p.Token, "login_url" }

// Draw makes a token of 256 bits: nobody has to type it.
func (p *AdminAutologin) Draw() Secret {
	token := make([]byte, 32)
	rand.Read(token) // never fails: the process ends if the system has no randomness
	return Secret(base64.RawURLEncoding.EncodeToString(token))
}

var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// Validate names every problem. Whether the redirect stays on the site, only the node can
// tell, and the site tells once more.
func (p *AdminAutologin) Validate() []Problem {
	var found problems
	found.optional("user", p.User, validKnownLogin)
	found.optional("redirect", p.Redirect, validRedirect)
	if p.Token != "" && !p.Token.Sealed() {
		found.add("token", "cannot be chosen; leave it out")
	}
	return found
}

// validRedirect checks the form of a place on a site: a path, or an http address. What
// browsers would make something else of is refused.
func validRedirect(to string) string {
	const form = "must be a path below the site's address, like /wp-admin/, or an address of the site"
	u, err := url.Parse(to)
	switch {
	case err != nil, strings.ContainsAny(to, "\\ "), strings.ContainsFunc(to, isControl), strings.HasPrefix(to, "//"), u.User != nil:
		return form
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(to, "/"):
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return form
	}
	// Of the decoded path: browsers take %2e for a dot.
	parts := strings.Split(u.Path, "/")
	if slices.Contains(parts, "..") || slices.Contains(parts, ".") || strings.ContainsFunc(u.Path, isControl) || strings.Contains(u.Path, `\`) {
		return "may not have . or .. in its path"
	}
	return ""
}

// Steps is one: the link is stored and read back in one start of WordPress.
func (p *AdminAutologin) Steps(r *Run) []Step {
	x := &autologin{Run: r, ask: p}
	return []Step{{Name: "link", Message: "Making the login link", Do: x.issue, Undo: x.revoke}}
}

type autologin struct {
	*Run
	ask *AdminAutologin
}

func (x *autologin) issue(ctx context.Context) error {
	site, err := x.live(ctx)
	if err != nil {
		return err
	}
	if found := x.ask.Validate(); len(found) > 0 {
		return invalidPayload(found...)
	}
	hash, err := x.hash()
	if err != nil {
		return err
	}
	var link wp.IssuedLogin
	err = x.reaching(func() (err error) {
		link, err = x.Host.CLI.LoginIssue(ctx, site, wp.LoginLink{
			Hash: hash, User: x.ask.User, Redirect: x.ask.Redirect, Op: x.Op.ID, Lifetime: loginLifetime,
		})
		return err
	})
	if err != nil {
		return accessFailure(err)
	}
	x.logf("Made a login link for %s.", link.User)
	return x.SetResult(AdminAutologinResult{
		LoginURL: link.Address + "?wptk-login=" + SecretMark, UserID: link.UserID, User: link.User,
		Redirect: link.Redirect, ExpiresAt: link.Expires,
	})
}

func (x *autologin) revoke(ctx context.Context) error {
	return x.undoLive(ctx, func(site wp.Site) error {
		hash, err := x.hash()
		if err != nil {
			return nil // a token that cannot be opened was not stored either
		}
		return x.Host.CLI.LoginRevoke(ctx, site, hash)
	})
}

// hash is all that the site learns of the token.
func (x *autologin) hash() (string, error) {
	token, err := x.Reveal(x.ask.Token)
	if err != nil {
		return "", err
	}
	if !tokenPattern.MatchString(token) {
		return "", invalidPayload(Problem{"token", "cannot be chosen; leave it out"})
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:]), nil
}
