package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/wispanel/wptk/cmd/internal/boot"
)

type installCmd struct {
	Domain string `arg:"" help:"Domain that a node has a directory for."`

	Path       string `help:"Where in the domain's directory." default:"public_html" env:"-"`
	Title      string `help:"Title of the site." env:"-"`
	AdminUser  string `help:"Login of the administrator." env:"-"`
	AdminEmail string `help:"Address of the administrator." env:"-"`

	AdminPasswordFile string `help:"File with the administrator's password, - for standard input; without, one is generated and shown once." placeholder:"FILE" env:"-" xor:"password"`
	AskPassword       bool   `help:"Ask for the administrator's password." env:"-" xor:"password"`

	DBName      string   `name:"db-name" help:"Wish for the database's name." env:"-"`
	Core        string   `name:"version" help:"WordPress version; the newest when left out." env:"-"`
	Locale      string   `help:"Language, such as de_DE." env:"-"`
	TablePrefix string   `help:"Prefix of the tables." env:"-"`
	Plugin      []string `help:"Plugin to install and activate (slug or slug@version); may be repeated." env:"-"`
	Theme       string   `help:"Theme to install and activate." env:"-"`
	Multisite   string   `help:"A network of sites: subdirectories or subdomains." enum:",subdirectories,subdomains" default:"" env:"-"`
	NoSSL       bool     `name:"no-ssl" help:"http in the site's address." env:"-"`
	InstallMode string   `help:"wp-cli for the real wp core install, golden for the rows that it leaves from a template; the node's own when left out." enum:",wp-cli,golden" default:"" env:"-"`
	Node        string   `help:"Needed only when several nodes have the domain; with --provision, where to make it." env:"-"`
	Account     string   `help:"Needed only when several accounts have the domain, and with --provision." env:"-"`
	Provision   bool     `help:"Make the account and the domain's directory first (admin keys)." env:"-"`
	OnExists    string   `help:"What to do when WordPress is there already: fail or return." enum:",fail,return" default:"" env:"-"`
	DryRun      bool     `help:"Only say what would be done." env:"-"`
	Watch       bool     `help:"Follow the operation until it is done." short:"w" env:"-"`
}

// installBody is the request as it goes out.
type installBody struct {
	Domain        string   `json:"domain"`
	Path          string   `json:"path"`
	Title         string   `json:"title,omitempty"`
	AdminUser     string   `json:"admin_user,omitempty"`
	AdminPassword string   `json:"admin_password,omitempty"`
	AdminEmail    string   `json:"admin_email,omitempty"`
	DBName        string   `json:"db_name,omitempty"`
	Version       string   `json:"version,omitempty"`
	Locale        string   `json:"locale,omitempty"`
	TablePrefix   string   `json:"table_prefix,omitempty"`
	Plugins       []string `json:"plugins,omitempty"`
	Theme         string   `json:"theme,omitempty"`
	Multisite     string   `json:"multisite,omitempty"`
	SSL           *bool    `json:"ssl,omitempty"`
	InstallMode   string   `json:"install_mode,omitempty"`
	Node          string   `json:"node,omitempty"`
	Account       string   `json:"account,omitempty"`
	Provision     bool     `json:"provision,omitempty"`
	OnExists      string   `json:"on_exists,omitempty"`
	DryRun        bool     `json:"dry_run,omitempty"`
}

// Run asks for the install.
func (cmd *installCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	password, err := cmd.password(a)
	if err != nil {
		return err
	}
	body := installBody{Domain: cmd.Domain, Path: cmd.Path, Title: cmd.Title, AdminUser: cmd.AdminUser, AdminPassword: password,
		AdminEmail: cmd.AdminEmail, DBName: cmd.DBName, Version: cmd.Core, Locale: cmd.Locale, TablePrefix: cmd.TablePrefix,
		Plugins: cmd.Plugin, Theme: cmd.Theme, Multisite: cmd.Multisite, InstallMode: cmd.InstallMode, Node: cmd.Node, Account: cmd.Account,
		Provision: cmd.Provision,
		OnExists:  cmd.OnExists, DryRun: cmd.DryRun}
	if cmd.NoSSL {
		body.SSL = new(bool)
	}
	var op accepted
	got, err := c.post(ctx, "/wordpress/install", body, &op)
	if err != nil {
		return err
	}
	if op.OperationID == "" && !a.json { // a dry run, or the install that was there
		return a.notStarted(op)
	}
	return a.accepted(ctx, c, op, got.raw, cmd.Watch && op.OperationID != "")
}

func (a *app) notStarted(op accepted) error {
	switch {
	case op.Would != nil:
		conflict := ""
		if op.Would.Conflict {
			conflict = "WordPress is there already"
		}
		return a.facts("would install", clean(op.Would.Domain+"/"+op.Would.Path), "node", clean(op.Would.Node),
			"account", clean(op.Would.Account), "generates", clean(strings.Join(op.Would.Generates, ", ")), "but", conflict)
	case op.Install != nil:
		say(a.out, "WordPress %s is there already: %s %s", clean(op.Install.Version), clean(op.ID), clean(op.Install.SiteURL))
	}
	return nil
}

// password is the administrator's, or empty to have one generated.
func (cmd *installCmd) password(a *app) (string, error) {
	switch {
	case cmd.AskPassword:
		return askPassword(a.console)
	case cmd.AdminPasswordFile == "-":
		data, err := io.ReadAll(io.LimitReader(a.in, 64<<10))
		if err != nil {
			return "", fmt.Errorf("reading the password from standard input: %w", err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		return notEmpty(strings.TrimRight(line, "\r"))
	case cmd.AdminPasswordFile != "":
		password, err := boot.ReadSecret("--admin-password-file", cmd.AdminPasswordFile)
		if err != nil {
			return "", &exitError{exitUsage, err}
		}
		return notEmpty(password)
	}
	return "", nil
}

// notEmpty keeps an empty file from meaning "generate one".
func notEmpty(password string) (string, error) {
	if password == "" {
		return "", usage("the administrator's password is empty")
	}
	return password, nil
}

var errNoTerminal = errors.New("--ask-password needs a terminal; use --admin-password-file")

func askPassword(c *console) (string, error) {
	fd := int(c.in.Fd())
	if !term.IsTerminal(fd) {
		return "", &exitError{exitUsage, errNoTerminal}
	}
	// A signal in the middle would leave the terminal without echo.
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the terminal's state: %w", err)
	}
	defer term.Restore(fd, state) //nolint:errcheck // nothing to be done about it
	var typed [2]string
	for i, prompt := range []string{"Password of the administrator: ", "Again: "} {
		fmt.Fprint(c.err, prompt)
		line, err := term.ReadPassword(fd)
		fmt.Fprintln(c.err)
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		typed[i] = string(line)
	}
	if typed[0] != typed[1] {
		return "", usage("the two passwords differ")
	}
	return notEmpty(typed[0])
}
