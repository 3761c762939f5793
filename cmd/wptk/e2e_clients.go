package main

import (
	"bytes"
	"net/http"
	"strings"

	toolkit "github.com/wispanel/wptk/client"
	"github.com/wispanel/wptk/wp/proc"
)

// beside is a domain of the same tenant, for a site that a client makes and deletes itself.
func (x *exam) beside(name string) *exam {
	made := *x.demoSite
	made.domain = name + "." + x.domain
	x.tenant("", "mkdir", "-p", made.homeDir())
	x.undo(func() { x.drop(made.homeDir()) })
	return &exam{e2eSite: &e2eSite{demoSite: &made, e2e: x.e2e, version: x.version}, ctx: x.ctx}
}

// checkGoClient has the Go package install a site, watch it being made, and delete it.
func checkGoClient(x *exam) {
	y := x.beside("go")
	if x.err != nil {
		return
	}
	c, err := toolkit.New(x.e2e.stack.apiURL(), x.e2e.key, toolkit.Options{})
	if err != nil {
		x.note(err)
		return
	}
	took, err := c.Install(x.ctx, toolkit.InstallRequest{Domain: y.domain, Path: "public_html", Title: "Made by the Go client", AdminUser: "boss", AdminEmail: "boss@example.com"})
	if err != nil {
		x.note(err)
		return
	}
	last, seen := int64(0), 0
	_, err = c.Wait(x.ctx, took.OperationID, func(op toolkit.Operation) {
		x.check(op.Progress >= last, "the progress went from %d to %d", last, op.Progress)
		last, seen = op.Progress, seen+1
	})
	x.note(err)
	x.check(last == 100 && seen > 2, "%d changes were watched, the last at %d %%", seen, last)
	y.wordpress("Made by the Go client", `return get_option( 'blogname' );`)
	x.note(y.err)
	keep := false
	gone, err := c.Delete(x.ctx, toolkit.DeleteBody{ID: took.ID, KeepBackup: &keep})
	if err != nil {
		x.note(err)
		return
	}
	_, err = c.Wait(x.ctx, gone.OperationID, nil)
	x.note(err)
	x.check(x.err != nil || !y.has("wp-config.php"), "files of the deleted site are left")
}

// checkGenerated has the client that an off-the-shelf generator makes of the API's document
// (deploy/oapi) install a site, watch it and delete it. `make e2e` builds it.
func checkGenerated(x *exam) {
	y := x.beside("oapi")
	binary, err := sibling("wptk-oapi")
	x.note(err)
	if x.err != nil {
		return
	}
	var out, errs bytes.Buffer
	exit, err := proc.Run(x.ctx, proc.Spec{Path: binary, Args: []string{y.domain, "public_html"}, Dir: "/", Trusted: true, Stdout: &out, Stderr: &errs,
		Env: []string{"WPTK_API=" + x.e2e.stack.apiURL(), "WPTK_KEY=" + x.e2e.key}})
	if err != nil || exit.Code != 0 {
		x.fail("exit status %d: %s %w", exit.Code, clean(errs.String()), err)
	}
	for _, want := range []string{"install succeeded 100 %", "site.delete succeeded 100 %"} {
		x.check(bytes.Contains(out.Bytes(), []byte(want)), "%q is not in what it watched: %.600s", want, clean(out.String()))
	}
	x.check(x.err != nil || !y.has("wp-config.php"), "files of the deleted site are left")
}

// lifeInTour are the sections of the guide that are the whole life of a site.
var lifeInTour = []string{"Before you start", "Install WordPress", "Follow it", "Change it", "Delete it"}

// checkGuide does what the guide says with curl, on the site's domain in place of the demo's:
// it installs a second WordPress below the site, follows that, changes it, and deletes it.
func checkGuide(x *exam) {
	steps, err := readTour(lifeInTour...)
	if x.note(err); x.err != nil {
		return
	}
	const domain = "alpha.localhost" // of the demo, which the guide is written for
	for i := range steps {
		steps[i].commands = strings.ReplaceAll(steps[i].commands, domain, x.domain)
		steps[i].prints = strings.ReplaceAll(steps[i].prints, domain, x.domain)
	}
	x.note(tour(x.ctx, x.e2e.stack.apiURL(), x.e2e.key, steps))
	x.check(x.err != nil || !x.has("blog/wp-config.php"), "files of the deleted site are left")
	x.answers(http.StatusOK, "/") // the one above it is as it was
}
