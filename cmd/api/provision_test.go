package main

import (
	"strings"
	"testing"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const newInstall = `{"domain":"fresh.com","path":"public_html","admin_user":"boss","admin_email":"boss@fresh.com","provision":true`

// addProvisioner registers a node that makes accounts, or does not.
func (k *kit) addProvisioner(id string, provisions bool, installs ...queue.Site) *queue.Node {
	k.t.Helper()
	n := queue.NewNode(k.store, queue.NodeConfig{ID: id, Recipient: k.nodeKey.Recipient(), FastSlots: 1, BulkSlots: 1, Provisions: provisions})
	must(k.t, n.Register(k.t.Context()))
	for _, site := range installs {
		must(k.t, n.PutSite(k.t.Context(), site))
	}
	return n
}

func siteOn(node, account, domain string) queue.Site {
	return queue.Site{Status: queue.SiteOK, SiteRef: tasks.SiteRef{
		ID: tasks.SiteID(node, account, domain, "public_html"), Node: node, Account: account, Domain: domain, Path: "public_html"}}
}

func (k *kit) provision(secret, more string) answer {
	k.t.Helper()
	return k.call(secret, "POST", "/api/v1/wordpress/install", newInstall+more+"}")
}

// nodeOf is where an accepted install went.
func (k *kit) nodeOf(a answer) string {
	k.t.Helper()
	if a.status != 202 {
		k.t.Fatalf("%d %s", a.status, a.raw)
	}
	op, err := k.client.Get(k.t.Context(), a.text(k.t, "operation_id"))
	must(k.t, err)
	task, _, err := tasks.Decode(op.Kind, op.Payload)
	must(k.t, err)
	if install, ok := task.(*tasks.Install); !ok || !install.Provision || op.Site.Account != "carol" {
		k.t.Errorf("%+v for %+v", task, op.Site)
	}
	return op.Site.Node
}

func TestOnlyAdminsHaveAccountsMade(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.addProvisioner("p1", true)
	k.provision(k.alice, `,"account":"alice"`).mustBeRefused(t, "a user's key", 403, "FORBIDDEN")
	// Nor by asking once more for what an admin has asked for.
	op := k.provision(k.admin, `,"account":"alice"`).text(t, "operation_id")
	k.cancelled(op)
	retry := "/api/v1/wordpress/operations/" + op + "/retry"
	k.call(k.alice, "POST", retry, "").mustBeRefused(t, "a user's retry", 403, "FORBIDDEN")
	if got := k.call(k.admin, "POST", retry, ""); got.status != 202 {
		t.Errorf("an admin's retry: %d %s", got.status, got.raw)
	}
}

func TestNewAccountGoesToTheLeastLoadedNodeThatMakesThem(t *testing.T) {
	t.Parallel()
	k := newKit(t) // n1 makes none and has no installs
	k.addProvisioner("p1", true, siteOn("p1", "dave", "d.com"))
	p2 := k.addProvisioner("p2", true)
	k.addProvisioner("p3", true)
	must(t, k.client.SetDrain(t.Context(), "p3", true))
	if got := k.nodeOf(k.provision(k.admin, `,"account":"carol"`)); got != "p2" {
		t.Errorf("without a name it is %s", got)
	}
	if got := k.nodeOf(k.provision(k.admin, `,"account":"carol","node":"p1"`)); got != "p1" {
		t.Errorf("named it is %s", got)
	}
	must(t, p2.PutSite(t.Context(), siteOn("p2", "eve", "e.com")))
	must(t, p2.PutSite(t.Context(), siteOn("p2", "eve", "f.com")))
	if got := k.nodeOf(k.provision(k.admin, `,"account":"carol"`)); got != "p1" {
		t.Errorf("with two installs on p2 it is %s", got)
	}
	must(t, p2.PutSite(t.Context(), siteOn("p2", "carol", "c.com")))
	if got := k.nodeOf(k.provision(k.admin, `,"account":"carol"`)); got != "p2" {
		t.Errorf("the account is on p2, and it is %s", got)
	}
}

func TestProvisionIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.provision(k.admin, `,"account":"carol"`).mustBeRefused(t, "a fleet that makes none", 400, "VALIDATION_ERROR")
	k.addProvisioner("p1", true)
	must(t, k.client.SetDrain(t.Context(), "p1", true))
	k.provision(k.admin, `,"account":"carol"`).mustBeRefused(t, "all drain", 503, "NODE_UNAVAILABLE")
	must(t, k.client.SetDrain(t.Context(), "p1", false))
	if got := k.provision(k.admin, `,"account":"carol","node":"n1"`); got.status != 400 || !strings.Contains(got.raw, "--provision") {
		t.Errorf("a node that makes none: %d %s", got.status, got.raw)
	}
	k.provision(k.admin, `,"account":"carol","node":"p9"`).mustBeRefused(t, "an unknown node", 503, "NODE_UNAVAILABLE")
	for _, account := range []string{"", "root", "www-data", "docker", "../x", "-r", "a b", "Carol"} {
		got := k.provision(k.admin, `,"account":"`+account+`"`)
		got.mustBeRefused(t, "account "+account, 400, "VALIDATION_ERROR")
		if !strings.Contains(got.raw, "account") {
			t.Errorf("%q: %s", account, got.raw)
		}
	}
	for _, domain := range []string{"blog.com", "bob.com"} {
		got := k.call(k.admin, "POST", "/api/v1/wordpress/install", strings.Replace(newInstall, "fresh.com", domain, 1)+`,"account":"carol"}`)
		got.mustBeRefused(t, "the domain of another", 409, "CONFLICT")
	}
	// What is there already is used.
	got := k.call(k.admin, "POST", "/api/v1/wordpress/install", strings.Replace(newInstall, "fresh.com", "blog.com", 1)+`,"account":"alice"}`)
	if got.status != 202 {
		t.Errorf("the account's own domain: %d %s", got.status, got.raw)
	}
	if dry := k.provision(k.admin, `,"account":"carol","dry_run":true`); dry.status != 200 || !strings.Contains(dry.raw, `"provision":true`) || !strings.Contains(dry.raw, `"node":"p1"`) {
		t.Errorf("dry run: %d %s", dry.status, dry.raw)
	}
}
