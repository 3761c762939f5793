package tasks

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/wispanel/wptk/wp"
	"github.com/wispanel/wptk/wp/proc"
)

var testAccount = regexp.MustCompile(`^wptktest[0-9a-f]{8}$`)

// makesAccounts has a node look for its tenants where it makes them: among the users of the host.
func (n *node) makesAccounts(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make users")
	}
	layout, err := wp.ParseLayout(n.home + "/*/domains/*")
	must(t, err)
	n.host.Layout, n.host.Accounts = layout, wp.NewAccounts(layout, true)
}

// provision is an order for an account that no host has.
func (n *node) provision(t *testing.T, task Install) *order {
	t.Helper()
	b := make([]byte, 4)
	rand.Read(b) // never fails, see crypto/rand
	name := fmt.Sprintf("wptktest%x", b)
	task.Provision = true
	o := n.order(t, name, "fresh.test", "public_html", task)
	must(t, os.RemoveAll(filepath.Join(n.home, name))) // that order has made
	t.Cleanup(func() { removeTestAccount(t, name) })
	return o
}

// removeTestAccount removes a user with a name that only tests choose, and no other.
func removeTestAccount(t *testing.T, name string) {
	t.Helper()
	if _, err := user.Lookup(name); err != nil || !testAccount.MatchString(name) {
		return
	}
	exit, err := proc.Run(context.WithoutCancel(t.Context()), proc.Spec{Path: program(t, "userdel"), Args: []string{"--", name}, Trusted: true})
	if err != nil || exit.Code != 0 {
		t.Errorf("removing %s: %+v %v", name, exit, err)
	}
}

// mustLeaveNoAccount finds neither user nor group, directory, database nor its user.
func (o *order) mustLeaveNoAccount() {
	o.t.Helper()
	account := o.op.Site.Account
	_, errUser := user.Lookup(account)
	_, errGroup := user.LookupGroup(account)
	if left := entries(o.t, o.node.home); errUser == nil || errGroup == nil || len(left) != 0 {
		o.t.Errorf("left of %s: user %v, group %v, directories %q", account, errUser, errGroup, left)
	}
	if left := o.node.databases(o.t, account); len(left) != 0 {
		o.t.Errorf("left of %s: databases %q", account, left)
	}
}

func TestInstallMakesItsAccountWhateverDies(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.makesAccounts(t)
	o := n.provision(t, Install{})
	r := &reaper{order: o, share: 0, shares: 3, after: true, seen: map[string]bool{}}
	o.fail = r.entry
	out, err := r.live()
	must(t, err)
	o.mustBe(out, Succeeded)
	if r.deaths < 5 {
		t.Errorf("%d deaths only", r.deaths)
	}
	site, err := n.host.Find(o.op.Site.Account, o.op.Site.Domain, o.op.Site.Path)
	must(t, err)
	state, err := n.host.Files.State(t.Context(), site)
	must(t, err)
	if u, err := user.Lookup(o.op.Site.Account); err != nil || state.Kind != wp.DirWordPress || fmt.Sprint(site.User.UID) != u.Uid {
		t.Errorf("%+v %v: %+v of %+v", u, err, state, site.User)
	}
	o.fail = nil
	// The next install of the account finds both, and makes nothing of them.
	again := o.then(t, "install", asJSON(t, map[string]any{"admin_user": "boss", "admin_email": "boss@fresh.test", "admin_password": sealed(t, rootPassword), "provision": true}))
	if out := again.mustEnd(Failed); out.Error.Code != CodeWordPressExists {
		t.Errorf("%+v", out.Error)
	}
	if _, err := user.Lookup(o.op.Site.Account); err != nil {
		t.Error("the second one took the account away")
	}
}

// Whatever step fails for good: nothing is left, though the worker dies on the way back.
func TestInstallThatFailsTakesItsAccountBack(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t) // its PHP fails at once
	n.makesAccounts(t)
	o := n.provision(t, Install{})
	if out := o.mustEnd(Failed); out.Error.Code == CodeUnknownDomain || out.Error.Code == CodeUnavailable {
		t.Errorf("%+v", out.Error)
	}
	o.mustLeaveNoAccount()

	for share := range 2 {
		dies := n.provision(t, Install{})
		r := &reaper{order: dies, share: share, shares: 2, after: share == 0, seen: map[string]bool{}}
		dies.fail = r.entry
		out, err := r.live()
		must(t, err)
		dies.mustBe(out, Failed)
		dies.mustLeaveNoAccount()
	}

	cancelled := n.provision(t, Install{})
	cancelled.fail = func(e Entry) error {
		if e.Mark == MarkDone && e.Step == "account" {
			return errDead
		}
		return nil
	}
	if _, err := cancelled.attempt(); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	cancelled.fail = nil
	asked := make(chan struct{})
	close(asked)
	cancelled.cfg.Cancelled = asked
	cancelled.mustEnd(Cancelled)
	cancelled.mustLeaveNoAccount()
}

func TestNodeThatMakesNoAccountsSaysSo(t *testing.T) {
	t.Parallel()
	n := newSlimNode(t)
	for _, accounts := range []*wp.Accounts{nil, wp.NewAccounts(n.host.Layout, false)} {
		n.host.Accounts = accounts
		o := n.order(t, "olga", "none.test", "public_html", Install{Provision: true})
		if out := o.mustEnd(Failed); out.Error.Code != CodeUnavailable || out.Error.Hint == "" {
			t.Errorf("%+v", out.Error)
		}
		o.mustBeGone(nil)
	}
}
