package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/wispanel/wptk/examples/php"
	"github.com/wispanel/wptk/wp/proc"
)

// billing calls a function of the PHP example as a billing system would, for a service on
// a domain, and reads its answer.
func (x *exam) billing(domain, call string, into any) {
	if x.err != nil {
		return
	}
	api, err := url.Parse(x.e2e.stack.apiURL())
	x.note(err)
	binary, err := program("php")
	x.note(err)
	dir := x.e2e.state.dir("php")
	x.note(os.MkdirAll(dir, 0o700))
	x.note(os.WriteFile(filepath.Join(dir, "wptk.php"), php.Module, 0o600))
	if x.err != nil {
		return
	}
	in := inJSON(fields{"call": call, "params": fields{
		"serverhostname": api.Hostname(), "serverport": api.Port(), "serversecure": false, "serveraccesshash": x.e2e.key,
		"serviceid": 17, "domain": domain, "username": "customer", "clientsdetails": fields{"email": "customer@example.com"},
	}})
	var out, errs bytes.Buffer
	exit, err := proc.Run(x.ctx, proc.Spec{Path: binary, Args: []string{"-r", php.Driver, dir}, Dir: "/", Env: toolEnv, Trusted: true,
		Stdin: strings.NewReader(in), Stdout: &out, Stderr: &errs})
	if err != nil || exit.Code != 0 || errs.Len() > 0 {
		x.fail("wptk_%s: exit status %d: %s %w", call, exit.Code, clean(errs.String()), err)
		return
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		x.fail("wptk_%s answers %.300q", call, out.String())
	}
}

// bills wants a function to succeed.
func (x *exam) bills(domain, call string) {
	var said string
	x.billing(domain, call, &said)
	x.check(x.err != nil || said == "success", "wptk_%s says %s", call, said)
}

// checkPHP has the PHP example create, suspend, unsuspend, log into and terminate a site of
// its own, most of it twice, as billing systems do.
func checkPHP(x *exam) {
	made := *x.demoSite
	made.domain = "php." + x.domain
	y := &exam{e2eSite: &e2eSite{demoSite: &made, e2e: x.e2e, version: x.version}, ctx: x.ctx}
	x.tenant("", "mkdir", "-p", made.homeDir())
	x.undo(func() {
		x.bills(made.domain, "TerminateAccount")
		x.drop(made.homeDir())
	})
	for range 2 {
		x.bills(made.domain, "CreateAccount")
	}
	if x.err != nil {
		return
	}
	y.wordpress([]any{made.url(), []string{"customer"}},
		`return array( get_option( 'siteurl' ), wp_list_pluck( get_users( array( 'role' => 'administrator' ) ), 'user_login' ) );`)
	for range 2 { // every day, as long as it lasts
		x.bills(made.domain, "SuspendAccount")
		x.check(x.err != nil || y.has(".maintenance"), "the suspended site is open")
	}
	x.bills(made.domain, "UnsuspendAccount")
	x.check(x.err != nil || !y.has(".maintenance"), "the site is closed although it is not suspended any more")
	var link struct {
		Success    bool   `json:"success"`
		RedirectTo string `json:"redirectTo"`
		ErrorMsg   string `json:"errorMsg"`
	}
	x.billing(made.domain, "ServiceSingleSignOn", &link)
	x.check(x.err != nil || link.Success && strings.HasPrefix(link.RedirectTo, made.url()+"/?wptk-login="), "the login link is %s", inJSON(link))
	y.wordpress(1, `return (int) $GLOBALS['wpdb']->get_var( "SELECT COUNT(*) FROM {$GLOBALS['wpdb']->options} WHERE option_name LIKE 'wptk\_login\_%'" );`)
	x.note(y.err)
	x.bills(made.domain, "TerminateAccount")
	x.check(x.err != nil || !y.has("wp-config.php"), "files of the terminated site are left")
}
