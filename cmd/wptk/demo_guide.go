package main

import (
	"os"
	"strings"
)

// guide tells people what there is now and what they can try.
func (d *demo) guide() {
	d.tell("")
	for _, s := range d.sites {
		d.tell("  %s   user %s   password %s", s.url(), clean(s.result.AdminUser), clean(s.result.AdminPassword))
		d.tell("  %s   node %s, account %s", strings.Repeat(" ", len(s.url())), s.node, s.account)
	}
	alpha := d.sites[0]
	where := ""
	api, wptk := d.stack.apiURL()+apiRoot, callMe()
	if strings.HasPrefix(wptk, "go run") {
		where = ", in the source folder"
	}
	d.tell(`
Try in another terminal%s:

  export WPTK_API=%s WPTK_KEY=%s
  alias api='curl -sS -H "Authorization: Bearer $WPTK_KEY"'

  # how the first install went
  api %s/wordpress/install/%s/progress
  # all operations, all installs
  api %s/wordpress/operations
  api %s/wordpress/installations
  # one more WordPress, then see it at %s/blog/
  api -H 'Content-Type: application/json' %s/wordpress/install \
    -d '{"domain":"%s","path":"public_html/blog","title":"A blog","admin_user":"demo","admin_email":"demo@example.com"}'
  # the same from the command line
  %s ops list
  %s sites list
  %s nodes list
  # a link that opens the operations console in a browser
  %s console
  # what Prometheus scrapes: the API and the two nodes
  curl -sS http://%s/metrics
  curl -sS http://%s/metrics
  curl -sS http://%s/metrics
  # OpenAPI: %s/docs

docker compose up brings Prometheus and Grafana with the dashboards.

Ctrl-C takes everything down.`,
		where, d.stack.apiURL(), d.key, api, alpha.op.ID, api, api, alpha.url(), api, alpha.domain, wptk, wptk, wptk, wptk,
		d.stack.metrics, d.sites[0].metrics, d.sites[1].metrics, d.stack.apiURL())
}

// callMe is how to start this program once more.
func callMe() string {
	self, err := os.Executable()
	if err != nil || strings.Contains(self, "/go-build") { // where go run puts it
		return "go run ./cmd/wptk"
	}
	return self
}
