package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
)

// checkProvision installs into an account that no node has, and one that makes none refuses.
func checkProvision(x *exam) {
	site := *x.demoSite
	site.account, site.domain = newUserName(), "fresh."+x.domain
	y := &exam{e2eSite: &e2eSite{demoSite: &site, e2e: x.e2e, version: x.version}, ctx: x.ctx}
	body := y.order()
	body["title"], body["provision"], body["account"], body["node"] = "Fresh "+x.version, true, site.account, site.node
	if !x.e2e.root {
		x.refuses(http.StatusBadRequest, "VALIDATION_ERROR", body)
		return
	}
	body["account"] = "www-data"
	x.refuses(http.StatusBadRequest, "VALIDATION_ERROR", body)
	body["account"] = site.account
	x.note(x.e2e.stack.state.willAddUser(site.account))
	home := x.e2e.stack.state.dir(site.node, "home", site.account)
	x.undo(func() { x.note(errors.Join(os.RemoveAll(home), removeUser(x.ctx, site.account))) })

	op := x.install(body)
	if x.err != nil {
		return
	}
	u, err := user.Lookup(site.account)
	x.note(err)
	docroot := filepath.Join(home, "domains", site.domain, demoPath)
	for dir, owner := range map[string]string{home: "0", filepath.Join(home, "domains"): "0", filepath.Dir(docroot): u.Uid, docroot: u.Uid} {
		info, err := os.Lstat(dir)
		x.note(err)
		if x.err == nil {
			st, ok := info.Sys().(*syscall.Stat_t)
			x.check(ok && info.IsDir() && fmt.Sprint(st.Uid) == owner, "%s is %v of uid %d, want uid %s", dir, info.Mode(), st.Uid, owner)
		}
	}
	version, err := os.ReadFile(filepath.Join(docroot, "wp-includes/version.php"))
	x.check(err == nil && strings.Contains(string(version), "'"+x.version+"'"), "version.php says %.100q, %v", version, err)
	y.id, y.err = op.ID, x.err
	y.remove(nil)
	x.note(y.err)
}

// refuses wants an install refused before it is an operation.
func (x *exam) refuses(status int, code string, body fields) {
	if x.err != nil {
		return
	}
	var refused *apiError
	_, err := x.e2e.stack.client.post(x.ctx, "/wordpress/install", body, nil)
	x.check(errors.As(err, &refused) && refused.Status == status && refused.Code == code, "account %v answers %v, want %d %s", body["account"], err, status, code)
}
