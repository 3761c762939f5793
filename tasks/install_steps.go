package tasks

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/wispanel/wptk/wp"
)

// installer is one install at work. What it has to know after a crash is in the
// run's memory, under these keys.
type installer struct {
	*Run
	ask *Install

	dbPassword string // that writeConfig has written; not known after a crash
	hash       string // of the administrator's password, that a template was filled with; the same
}

const (
	keyVersion  = "version"   // the exact one, once "latest" is resolved
	keyPrefix   = "prefix"    // table prefix
	keyDBName   = "db_name"   // of the database and of its user
	keyDBHost   = "db_host"   // the user's host
	keyDBIntent = "db_intent" // set while a database of that name can only be ours
	keyAccount  = "account"   // what was made of the account
	keyEngine   = "engine"    // set when wp-config.php may have another password than the database
)

// Steps lists what an install does on the node. WordPress is built and filled
// in a stage beside the docroot and appears there by one rename, so no visitor
// and no crash ever meets half of one. Plugins and theme come after that: what
// they write into the database when they are activated may hold their path.
func (p *Install) Steps(r *Run) []Step {
	in := &installer{Run: r, ask: p}
	steps := in.byWPCLI()
	if in.mode() == ModeGolden {
		steps = in.byTemplate()
	}
	if p.Provision {
		steps = slices.Insert(steps, 0, Step{Name: "account", Message: "Creating account and domain", Weight: 5, Do: in.makeAccount, Undo: in.removeAccount})
	}
	if len(p.Plugins) > 0 || p.Theme != "" {
		steps = append(steps, Step{Name: "extras", Message: "Installing plugins and theme", Weight: 30, Do: in.addExtras})
	}
	return append(steps,
		Step{Name: "verify", Message: "Checking the new site", Weight: 20, Verify: in.verify},
		Step{Name: "finish", Message: "Finishing", Weight: 3, Commit: true, Do: in.finish},
	)
}

func (in *installer) byWPCLI() []Step {
	return []Step{
		{Name: "target", Message: "Checking the target", Weight: 2, Do: in.checkTarget},
		{Name: "core_files", Message: "Copying WordPress files", Weight: 25, Do: in.stageCore, Undo: in.removeStage},
		{Name: "database", Message: "Creating the database", Weight: 5, Do: in.makeDatabase, Undo: in.dropDatabase},
		{Name: "config", Message: "Writing the configuration", Weight: 5, Do: in.writeConfig, Verify: in.readConfig},
		{Name: "install", Message: "Installing WordPress", Weight: 35, Do: in.installCore},
		{Name: "publish", Message: "Putting the site in place", Weight: 5, Check: in.isPublished, Do: in.publish, Undo: in.unpublish},
	}
}

// byTemplate makes the database first, so that it is filled while the files are copied.
func (in *installer) byTemplate() []Step {
	return []Step{
		{Name: "target", Message: "Checking the target", Weight: 2, Do: in.checkTarget},
		{Name: "database", Message: "Creating the database", Weight: 5, Do: in.makeDatabase, Undo: in.dropDatabase},
		{Name: "core_files", Message: "Copying WordPress files", Weight: 60, Do: in.stageAndFill, Undo: in.removeStage},
		{Name: "config", Message: "Writing the configuration", Weight: 5, Do: in.writeConfig, Verify: in.readConfig},
		{Name: "install", Message: "Installing WordPress", Weight: 5, Do: in.installUnlessFilled},
		{Name: "publish", Message: "Putting the site in place", Weight: 5, Check: in.isPublished, Do: in.publish, Undo: in.unpublish},
	}
}

// site is where the finished WordPress stands, under the address it will have.
func (in *installer) site() (wp.Site, error) {
	if in.Missing != nil {
		return wp.Site{}, missingSite(in.Missing)
	}
	address, err := in.address(in.Site)
	if err != nil {
		return wp.Site{}, err
	}
	site, err := in.Site.WithURL(address)
	if err != nil {
		return wp.Site{}, fmt.Errorf("choosing address: %w", err)
	}
	return site, nil
}

// staged is the same site while it is being built.
func (in *installer) staged() (wp.Site, error) {
	site, err := in.site()
	if err != nil {
		return wp.Site{}, err
	}
	return site.Staged(in.stage())
}

func (in *installer) stage() string { return wp.StageName(in.Op.ID) }

// address puts together the node's form of addresses, the path below the domain
// that the layout has found, and the scheme that the request may have asked for.
func (in *installer) address(site wp.Site) (string, error) {
	u, err := url.Parse(site.URL)
	if err != nil {
		return "", fmt.Errorf("reading address: %w", err)
	}
	path := wp.URLPath(site.Path) // not of the URL, which may follow the node's form already
	if in.Host.SiteURL != "" {
		if u, err = url.Parse(strings.ReplaceAll(in.Host.SiteURL, "{domain}", site.Domain)); err != nil {
			return "", fmt.Errorf("reading the node's form of addresses: %w", err)
		}
		u = u.JoinPath(path)
	}
	switch ssl := in.ask.SSL; {
	case ssl != nil && *ssl:
		u.Scheme = "https"
	case ssl != nil:
		u.Scheme = "http"
	}
	return u.String(), nil
}

func missingSite(err error) error {
	f := Failure{
		Code:    CodeUnknownDomain,
		Message: "The domain has no directory on this node.",
		Hint:    "Create the domain's directory first, owned by its account, then try again.",
	}
	switch {
	case errors.Is(err, wp.ErrForeign):
		f.Message = "The domain's directory does not belong to the account."
		f.Hint = "Give the directory to the account; a link is not followed."
	case errors.Is(err, wp.ErrNoAccount):
		f.Message = "The account is no hosting user of this node."
		f.Hint = "Create the account first, then try again."
	}
	return Permanent(err, f)
}

func (in *installer) title() string {
	if in.ask.Title == "" {
		return in.Op.Site.Domain
	}
	return in.ask.Title
}

// password opens the administrator's password and holds it to the same rules
// that the API did, who may have been somebody else.
func (in *installer) password() (string, error) {
	plain, err := in.Reveal(in.ask.AdminPassword)
	if err != nil {
		return "", err
	}
	if reason := validPlainPassword(plain); reason != "" {
		return "", invalidPayload(Problem{"admin_password", reason})
	}
	return plain, nil
}

func invalidPayload(found ...Problem) error {
	err := &InvalidError{Problems: found}
	return Permanent(err, Failure{
		Code:    CodeInvalidPayload,
		Message: "The request has values that cannot be used: " + found[0].Field + " " + found[0].Reason + ".",
		Hint:    "Correct them and send the request again.",
	})
}
