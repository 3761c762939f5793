package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/wispanel/wptk/tasks"
)

// farNode is a second node, which shares nothing but servers and the backup store with the
// first. It comes up with the first row that needs it.
type farNode struct {
	once  sync.Once
	sites map[string]*demoSite // by version, each of an account of its own
	err   error
}

const e2eFarNode = "e2e-far"

// farSite is an empty domain on the far node.
func (e *e2e) farSite(ctx context.Context, version string) (*demoSite, error) {
	e.far.once.Do(func() { e.far.err = e.startFar(ctx) })
	return e.far.sites[version], e.far.err
}

func (e *e2e) startFar(ctx context.Context) error {
	bins, err := e.programs(ctx)
	if err != nil {
		return err
	}
	e.far.sites = map[string]*demoSite{}
	var first *demoSite
	for _, version := range e.cmd.Versions {
		s := &demoSite{node: e2eFarNode, account: newUserName(), domain: "far-" + strings.ReplaceAll(version, ".", "-") + ".localhost"}
		if err := e.makeSite(ctx, s); err != nil {
			return fmt.Errorf("making a tenant of the far node: %w", err)
		}
		s.release() // nothing serves it
		if first == nil {
			first = s
		}
		s.port, e.far.sites[version] = first.port, s // the node has one form of addresses
	}
	if err := e.stack.worker(bins, first, !e.root); err != nil {
		return err
	}
	return e.stack.await(ctx, "the far node", func(ctx context.Context) error { return e.stack.nodesUp(ctx, []*demoSite{first}) })
}

// checkCloneAway copies the site to another node, by way of the store that both reach.
func checkCloneAway(x *exam) {
	if x.err != nil {
		return
	}
	far, err := x.e2e.farSite(x.ctx, x.version)
	x.note(err)
	x.makeHard()
	var before any
	x.ask(&before, content)
	if x.err != nil {
		return
	}
	body := fields{"source_id": x.id, "target_domain": far.domain, "node": far.node, "account": far.account, "staging": true, "dry_run": true}
	x.note(x.e2e.stack.await(x.ctx, "the domain on the far node", func(ctx context.Context) error { // its first scan finds it
		_, err := x.e2e.stack.client.post(ctx, "/wordpress/clone", body, nil)
		return err
	}))
	delete(body, "dry_run")
	var r tasks.CloneResult
	op := x.asked("/clone", body, &r)
	if x.err != nil {
		return
	}
	y := &exam{e2eSite: &e2eSite{demoSite: far, e2e: x.e2e, version: x.version, id: op.ID}, ctx: x.ctx}
	y.result = installed{InstallResult: tasks.InstallResult{DBName: r.DBName}}
	x.undo(func() {
		y.remove(&tasks.SiteDeleteResult{}, "keep_backup", "false")
		x.note(y.err)
	})
	x.wordpress(before, content) // the original is as it was
	y.wordpress([]any{x.version, far.url(), r.DBName}, `return array( get_bloginfo( 'version' ), get_option( 'siteurl' ), DB_NAME );`)
	y.hasHard()
	y.wordpress([]any{}, `global $wpdb; $found = array(); foreach ( $wpdb->get_col( 'SHOW TABLES' ) as $t ) { foreach ( $wpdb->get_results( "SELECT * FROM $t", ARRAY_A ) as $row ) {
		foreach ( $row as $c => $v ) { if ( false !== strpos( (string) $v, $args[0] ) ) { $found[] = "$t.$c"; } } } } return $found;`, x.domain)
	x.note(y.err)
	x.check(op.Node == far.node && r.Staging && r.SiteUp && r.Broken == 0 && r.Rewritten > 0 && r.Files > 1000, "the result is %s", inJSON(r))
	var list []backupView
	x.read("/backups", &list)
	for _, b := range list {
		x.check(b.Reason != tasks.BackupClone, "the copy's parcel is still in the store: %s", inJSON(b))
	}
}
