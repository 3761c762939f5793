package wp

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wispanel/wptk/wp/wptest"
)

// looksAround is put in front of wp-config.php: what code of a site sees of the process that
// it runs in.
const looksAround = `<?php
$seen = array( 'env' => getenv(), 'status' => file_get_contents( '/proc/self/status' ), 'cwd' => getcwd(), 'fds' => array() );
foreach ( scandir( '/proc/self/fd' ) as $fd ) {
	$to = @readlink( "/proc/self/fd/$fd" ); // the directory that is being listed is gone by now
	if ( ctype_digit( $fd ) && $to && false === strpos( $to, '/proc/' ) ) {
		$seen['fds'][ $fd ] = $to;
	}
}
file_put_contents( %q, json_encode( $seen, JSON_FORCE_OBJECT ) );
?>`

// Whoever gives the child more than this changes the golden file, and is seen doing it.
func TestChildOfWPCLIHasExactlyThisEnvironmentAndTheseDescriptors(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	site := l.prepare(t, "trent", "child.test", "public_html", ConfigOptions{TablePrefix: "wp_child_"})
	config := filepath.Join(site.Docroot, "wp-config.php")
	was, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(site.Home, "seen.json")
	now := strings.Replace(looksAround, "%q", "'"+file+"'", 1) + string(was)
	if err := (Files{}).WriteFile(t.Context(), site, "wp-config.php", []byte(now), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := l.cli.CoreIsInstalled(t.Context(), site); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Env, Fds    map[string]string
		Status, Cwd string
	}
	if err := json.Unmarshal(raw, &seen); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, line := range strings.Split(seen.Status, "\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigIgn", "Umask":
			b.WriteString(name + " " + strings.Join(strings.Fields(value), " ") + "\n")
		}
	}
	b.WriteString("cwd " + seen.Cwd + "\n")
	for _, all := range []struct {
		what string
		of   map[string]string
	}{{"env", seen.Env}, {"fd", seen.Fds}} {
		for _, name := range slices.Sorted(maps.Keys(all.of)) {
			b.WriteString(all.what + " " + name + " " + all.of[name] + "\n")
		}
	}
	who, err := wptest.Tenant("trent")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer(filepath.Dir(l.cli.dirs.empty), "STATE", l.cache, "PACKAGES", strconv.FormatUint(uint64(who.UID), 10), "TENANT").Replace(b.String())
	got = regexp.MustCompile(`(?m)^(env TMPDIR|env WP_CLI_CACHE_DIR|env WPTK_NONCE) .*$`).ReplaceAllString(got, "$1 …")
	got = regexp.MustCompile(`(pipe|socket|anon_inode):\[?[^\n]*`).ReplaceAllString(got, "$1")
	golden := filepath.Join("testdata", "child.golden")
	if *recordRuns {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // then groups and the bounding set are those of whoever runs the test
		drop := regexp.MustCompile(`(?m)^(Uid|Gid|Groups|CapBnd).*\n`)
		got, want = drop.ReplaceAllString(got, ""), drop.ReplaceAll(want, nil)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-golden +real):\n%s", diff)
	}
}
