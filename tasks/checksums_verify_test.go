package tasks

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wispanel/wptk/wp"
)

func (o *order) verified(ignore ...string) ChecksumsResult {
	o.t.Helper()
	var r ChecksumsResult
	must(o.t, json.Unmarshal(o.change(&ChecksumsVerify{Ignore: ignore}).mustEnd(Succeeded).Result, &r))
	return r
}

func TestTamperedFilesOfCoreAndPluginsAreFound(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	o := n.order(t, "vesna", "sums.test", "public_html", Install{Version: "6.5.5", Plugins: []string{"akismet"}})
	o.mustEnd(Succeeded)
	r := o.verified()
	i := slices.IndexFunc(r.Plugins, func(p PackageReport) bool { return p.Slug == "akismet" })
	if !r.OK || r.Core.Status != PackageVerified || r.Core.Files < 2000 || len(r.Findings) != 0 || i < 0 || r.Plugins[i].Status != PackageVerified || r.Plugins[i].Files < 20 {
		t.Errorf("of a new site: %+v", r)
	}

	o.put("wp-includes/load.php", read(t, o, "wp-includes/load.php")+"\n// changed")
	o.put("wp-content/plugins/akismet/akismet.php", read(t, o, "wp-content/plugins/akismet/akismet.php")+"\neval( $_GET['x'] );\n")
	o.put("wp-content/plugins/akismet/extra.php", "<?php")
	o.put("wp-content/uploads/2026/x.php", "<?php evil();")
	o.put("wp-admin/mine/tool.php", "<?php")
	o.put("readme.html", "")
	r = o.verified("wp-admin/mine/**")
	want := map[string]string{
		"wp-includes/load.php":                   "critical modified",
		"wp-content/plugins/akismet/akismet.php": "critical modified",
		"wp-content/plugins/akismet/extra.php":   "critical unexpected",
		"wp-content/uploads/2026/x.php":          "critical unexpected",
		"wp-admin/mine/tool.php":                 "none ignored",
		"readme.html":                            "notice modified",
	}
	for _, f := range r.Findings {
		if got := string(f.Severity) + " " + string(f.Class); want[f.Path] != got {
			t.Errorf("%s is %s, want %q", f.Path, got, want[f.Path])
		}
		delete(want, f.Path)
	}
	if len(want) > 0 || r.OK || r.Core.Status != PackageDiffers || r.Core.Counts[wp.Modified] != 2 || r.Core.Counts[wp.Ignored] != 1 {
		t.Errorf("not found: %v in %+v", want, r)
	}

	// A site that does not come up is compared all the same.
	o.put("wp-settings.php", "<?php die( 'owned' );")
	if r = o.verified(); r.OK || r.PluginsReason == "" || r.Core.Counts[wp.Modified] != 3 {
		t.Errorf("%+v", r)
	}
}

func read(t *testing.T, o *order, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.docroot(), name))
	must(t, err)
	return string(data)
}

func TestPatternsOfIgnoredPathsAreChecked(t *testing.T) {
	t.Parallel()
	for pattern, good := range map[string]bool{
		"wp-admin/x.php": true, "wp-content/*/x.php": true, "wp-content/plugins/own/**": true,
		"": false, "/**": false, "/etc/passwd": false, "../x": false, "[": false, "a\nb": false, strings.Repeat("x", 201): false,
	} {
		if got := (&ChecksumsVerify{Ignore: []string{pattern}}).Validate(); (len(got) == 0) != good {
			t.Errorf("%q: %v", pattern, got)
		}
	}
	if len((&ChecksumsVerify{Ignore: make([]string, 101)}).Validate()) == 0 {
		t.Error("101 patterns were accepted")
	}
}
