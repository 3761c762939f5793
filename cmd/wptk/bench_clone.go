package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/wispanel/wptk/tasks"
)

type benchCloneCmd struct {
	DB      int    `help:"Size of the original's tables, in MB." default:"46" env:"-"`
	Uploads int    `help:"Size of its uploads, in MB." default:"500" env:"-"`
	Rounds  int    `help:"Clones of each kind that are measured." default:"3" env:"-"`
	Version string `help:"Version of WordPress." default:"latest" env:"-"`
	Alone   bool   `help:"Leave the scripts out: only what a clone of ours costs, step by step." env:"-"`
}

// cloneGoal is how many times faster than the script a clone is.
const cloneGoal = 10

// cloneFigures compare with search-replace --precise, which handles every value as a clone
// does, and with its default mode, which leaves values without serialized text to the server.
type cloneFigures struct {
	figures
	costFigures
	Default      float64            `json:"default"` // ms of the script without --precise
	DefaultRatio float64            `json:"default_ratio"`
	DefaultCPU   float64            `json:"default_cpu_ratio"`
	Steps        map[string]float64 `json:"steps"`     // ms of each step, as a client sees them
	StepsCPU     map[string]float64 `json:"steps_cpu"` // ms of processor time
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
	return a.measured(f, f.Met, "CLONE-MS MIN P50 MAX CPU", rows)
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
	var precise, byDefault, ours []cost
	steps := map[string][]cost{}
	kinds := []func(){
		func() { ours = append(ours, ourClone(x, steps)) },
		func() { precise = append(precise, scriptedClone(x, plain, "--precise")) },
		func() { byDefault = append(byDefault, scriptedClone(x, plain)) },
	}
	if cmd.Alone {
		kinds = kinds[:1]
	}
	for round := range cmd.Rounds {
		for i := range kinds { // none always comes after the same other
			kinds[(i+round)%len(kinds)]()
		}
	}
	return cmd.report(precise, byDefault, ours, steps)
}

// scriptedClone is what people do by hand, and then removed.
func scriptedClone(x *exam, plain *plainWP, mode ...string) (took cost) {
	if x.err != nil {
		return took
	}
	s, err := plain.next(x.ctx)
	if err != nil {
		x.note(err)
		return took
	}
	dump := s.dir + ".sql"
	original := plainSite{dir: x.docroot()}
	replace := append([]string{"search-replace", x.url(), "http://bench-copy.localhost", "--all-tables", "--quiet"}, mode...)
	m, err := startMeter()
	x.note(err)
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
	took, err = m.read()
	x.note(err)
	if x.err == nil {
		x.note(errors.Join(plain.sh(x.ctx, `rm -rf -- "$1" "$2"`, s.dir, dump), plain.db.DropDatabase(x.ctx, s.db)))
	}
	return took
}

// ourClone is what a client sees, from POST to succeeded; then the copy is deleted.
func ourClone(x *exam, steps map[string][]cost) (took cost) {
	if x.err != nil {
		return took
	}
	path := "bench-copy"
	y := &exam{e2eSite: &e2eSite{demoSite: x.demoSite, e2e: x.e2e, version: x.version}, ctx: x.ctx}
	var answer accepted
	whole, err := startMeter()
	x.note(err)
	if _, err := x.e2e.stack.client.post(x.ctx, "/wordpress/clone", fields{"source_id": x.id, "target_domain": x.domain, "target_path": path}, &answer); err != nil {
		x.fail("POST /clone: %w", err)
		return took
	}
	op := x.metered(answer.OperationID, whole, steps)
	took, err = whole.read()
	x.note(err)
	if x.err == nil && op.Status != tasks.Succeeded {
		x.fail("the clone is %s: %s", op.Status, op.failure())
	}
	if x.err == nil {
		y.id = op.ID
		y.remove(&tasks.SiteDeleteResult{}, "keep_backup", "false")
		x.note(y.err)
		x.drop(filepath.Join(x.homeDir(), path))
	}
	return took
}

func (cmd *benchCloneCmd) report(precise, byDefault, ours []cost, steps map[string][]cost) (f cloneFigures, rows [][]string) {
	if len(ours) == 0 {
		return f, nil
	}
	clock, scripted, other := clockOf(ours), quantile(clockOf(precise), .5), compareCPU(ours, byDefault)
	median, byClock := quantile(clock, .5), quantile(clockOf(byDefault), .5)
	f = cloneFigures{Default: figure(byClock), DefaultRatio: figure(byClock / max(median, 1)), DefaultCPU: other.CPURatio,
		Steps: map[string]float64{}, StepsCPU: map[string]float64{}, DB: cmd.DB, Uploads: cmd.Uploads,
		costFigures: compareCPU(ours, precise), figures: figures{
			Name: "bench.clone", Value: figure(median), Unit: "ms", Baseline: figure(scripted),
			BaselineName: "cp -a, wp db export, wp db import, wp search-replace --precise, sync", Ratio: figure(scripted / max(median, 1)),
			Goal: cloneGoal, N: cmd.Rounds, Spread: [2]float64{figure(quantile(clock, 0)), figure(quantile(clock, 1))},
		}}
	f.Met = f.Ratio >= cloneGoal
	for step, all := range steps {
		f.Steps[step], f.StepsCPU[step] = figure(quantile(clockOf(all), .5)), figure(quantile(cpuOf(all), .5))
	}
	row := func(name string, all []cost) []string {
		ms := clockOf(all)
		return []string{name, digits(quantile(ms, 0), 0), digits(quantile(ms, .5), 0), digits(quantile(ms, 1), 0), digits(quantile(cpuOf(all), .5), 0)}
	}
	return f, [][]string{row("ours", ours), row("script-precise", precise), row("script-default", byDefault)}
}
