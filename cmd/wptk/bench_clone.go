package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/wispanel/wptk/tasks"
)

type benchCloneCmd struct {
	DB      int    `help:"Size of the original's tables, in MB." default:"46" env:"-"`
	Uploads int    `help:"Size of its uploads, in MB." default:"500" env:"-"`
	Rounds  int    `help:"Clones of each kind that are measured." default:"3" env:"-"`
	Version string `help:"Version of WordPress." default:"latest" env:"-"`
}

// cloneGoal is how many times faster than the script a clone is.
const cloneGoal = 10

// cloneFigures compare with search-replace --precise, which handles every value as a clone
// does, and with its default mode, which leaves values without serialized text to the server.
type cloneFigures struct {
	figures
	Default      float64            `json:"default"` // ms of the script without --precise
	DefaultRatio float64            `json:"default_ratio"`
	Steps        map[string]float64 `json:"steps"` // ms of each step, as a client sees them
	DB           int                `json:"db_mb"`
	Uploads      int                `json:"uploads_mb"`
}

// Run measures and prints. Each round copies one site three times, in turn: by the script
// with --precise, by the script without, and by POST /wordpress/clone. The copies are removed
// while no clock runs.
func (cmd *benchCloneCmd) Run(ctx context.Context, a *app) error {
	if cmd.Rounds < 1 || cmd.DB < 1 || cmd.Uploads < 1 {
		return usage("--rounds, --db and --uploads must be at least 1")
	}
	var f cloneFigures
	var rows [][]string
	err := onBenchStack(ctx, a, cmd.Version, func(site *e2eSite) (err error) {
		plain, err := newPlainWP(ctx, site)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, plain.db.Close()) }()
		return site.examine(ctx, func(x *exam) { f, rows = cmd.measure(x, plain) })
	})
	if err != nil {
		return err
	}
	return a.measured(f, f.Met, "CLONE-MS MIN P50 MAX", rows)
}

// filling gives a site tables and uploads of so many MB: half posts, half serialized values.
const filling = `global $wpdb; list( $db, $uploads, $url ) = $args; $text = str_repeat( "Lorem ipsum <a href=\"$url/page\">dolor</a> sit amet. ", 16 );
	for ( $mb = 0; $mb < $db; ++$mb ) { $posts = array(); $meta = array();
		for ( $i = 0; $i < 512; ++$i ) { $n = $mb * 512 + $i;
			$posts[] = $wpdb->prepare( '(%s, %s, %s, %s, %s, %s)', "Post $n", "$n $text", '', '', '', '' );
			$meta[]  = $wpdb->prepare( '(%d, %s, %s)', 1, '_bench', serialize( array( 'n' => $n, 'url' => "$url/$n", 'text' => $text ) ) ); }
		$wpdb->query( "INSERT INTO $wpdb->posts (post_title, post_content, post_excerpt, to_ping, pinged, post_content_filtered) VALUES " . implode( ',', $posts ) );
		$wpdb->query( "INSERT INTO $wpdb->postmeta (post_id, meta_key, meta_value) VALUES " . implode( ',', $meta ) ); }
	for ( $i = 0; $i < $uploads * 4; ++$i ) { $dir = WP_CONTENT_DIR . '/uploads/bench/' . ( $i % 32 ); wp_mkdir_p( $dir ); file_put_contents( "$dir/$i.jpg", random_bytes( 262144 ) ); }`

func (cmd *benchCloneCmd) measure(x *exam, plain *plainWP) (f cloneFigures, rows [][]string) {
	checkInstall(x)
	x.ask(nil, filling, cmd.DB, cmd.Uploads, x.url())
	x.tenant("", "sync")
	var precise, byDefault, ours []float64
	steps := map[string][]float64{}
	kinds := []func(){
		func() { precise = append(precise, scriptedClone(x, plain, "--precise")) },
		func() { byDefault = append(byDefault, scriptedClone(x, plain)) },
		func() { ours = append(ours, ourClone(x, steps)) },
	}
	for round := range cmd.Rounds {
		for i := range kinds { // none always comes after the same other
			kinds[(i+round)%len(kinds)]()
		}
	}
	return cmd.report(precise, byDefault, ours, steps)
}

// scriptedClone is what people do by hand, and then removed.
func scriptedClone(x *exam, plain *plainWP, mode ...string) float64 {
	if x.err != nil {
		return 0
	}
	s, err := plain.next(x.ctx)
	if err != nil {
		x.note(err)
		return 0
	}
	dump := s.dir + ".sql"
	original := plainSite{dir: x.docroot()}
	replace := append([]string{"search-replace", x.url(), "http://bench-copy.localhost", "--all-tables", "--quiet"}, mode...)
	began := time.Now()
	for _, step := range []func() error{
		func() error { return plain.sh(x.ctx, `cp -a "$1" "$2"`, original.dir, s.dir) },
		func() error { return plain.wp(x.ctx, original, "db", "export", dump, "--quiet") },
		func() error { return plain.wp(x.ctx, s, "config", "set", "DB_NAME", s.db) },
		func() error { return plain.wp(x.ctx, s, "config", "set", "DB_USER", s.db) },
		func() error { return plain.wp(x.ctx, s, "config", "set", "DB_PASSWORD", s.password) },
		func() error { return plain.wp(x.ctx, s, "db", "import", dump, "--quiet") },
		func() error { return plain.wp(x.ctx, s, replace...) },
		func() error { return plain.sh(x.ctx, `sync -f "$1"`, s.dir) },
	} {
		if x.err == nil {
			x.note(step())
		}
	}
	took := milliseconds(time.Since(began))
	if x.err == nil {
		x.note(errors.Join(plain.sh(x.ctx, `rm -rf -- "$1" "$2"`, s.dir, dump), plain.db.DropDatabase(x.ctx, s.db)))
	}
	return took
}

// ourClone is what a client sees, from POST to succeeded; then the copy is deleted.
func ourClone(x *exam, steps map[string][]float64) float64 {
	if x.err != nil {
		return 0
	}
	path := "bench-copy"
	y := &exam{e2eSite: &e2eSite{demoSite: x.demoSite, e2e: x.e2e, version: x.version}, ctx: x.ctx}
	began := time.Now()
	step, last := "queued", began
	var took accepted
	if _, err := x.e2e.stack.client.post(x.ctx, "/wordpress/clone", fields{"source_id": x.id, "target_domain": x.domain, "target_path": path}, &took); err != nil {
		x.fail("POST /clone: %w", err)
		return 0
	}
	op, err := x.e2e.stack.client.follow(x.ctx, took.OperationID, func(op operation, _ []byte) error {
		if now := time.Now(); op.Step != step || op.Done {
			steps[step] = append(steps[step], milliseconds(now.Sub(last)))
			step, last = op.Step, now
		}
		return nil
	})
	ms := milliseconds(time.Since(began))
	if err == nil && op.Status != tasks.Succeeded {
		err = fmt.Errorf("the clone is %s: %s", op.Status, op.failure())
	}
	x.note(err)
	if x.err == nil {
		y.id = op.ID
		y.remove(&tasks.SiteDeleteResult{}, "keep_backup", "false")
		x.note(y.err)
		x.drop(filepath.Join(x.homeDir(), path))
	}
	return ms
}

func (cmd *benchCloneCmd) report(precise, byDefault, ours []float64, steps map[string][]float64) (f cloneFigures, rows [][]string) {
	if len(ours) == 0 {
		return f, nil
	}
	median, baseline, other := quantile(ours, .5), quantile(precise, .5), quantile(byDefault, .5)
	f = cloneFigures{Default: figure(other), DefaultRatio: figure(other / max(median, 1)), Steps: map[string]float64{}, DB: cmd.DB, Uploads: cmd.Uploads,
		figures: figures{
			Name: "bench.clone", Value: figure(median), Unit: "ms", Baseline: figure(baseline),
			BaselineName: "cp -a, wp db export, wp db import, wp search-replace --precise, sync", Ratio: figure(baseline / max(median, 1)),
			Goal: cloneGoal, N: cmd.Rounds, Spread: [2]float64{figure(quantile(ours, 0)), figure(quantile(ours, 1))},
		}}
	f.Met = f.Ratio >= cloneGoal
	for step, ms := range steps {
		f.Steps[step] = figure(quantile(ms, .5))
	}
	row := func(name string, ms []float64) []string {
		return []string{name, digits(quantile(ms, 0), 0), digits(quantile(ms, .5), 0), digits(quantile(ms, 1), 0)}
	}
	return f, [][]string{row("ours", ours), row("script-precise", precise), row("script-default", byDefault)}
}
