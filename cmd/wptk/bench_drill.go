package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// drillFigures are of a restore from a backup that a schedule has made, after the site was
// spoiled: what came back as it was.
type drillFigures struct {
	Files   int      `json:"files"`  // identical in every byte, and in mode
	Tables  int      `json:"tables"` // identical in every row
	Differ  []string `json:"differ,omitempty"`
	Seconds float64  `json:"restore_seconds"`
}

func (d drillFigures) held() bool { return d.Files > 1000 && d.Tables >= 12 && len(d.Differ) == 0 }

// drillPatience is a schedule's minute, and the backup.
const drillPatience = 5 * time.Minute

// drill has a schedule back the site up, spoils it, and holds what the restore brings back against
// what was there.
func (b *backupBench) drill(x *exam) {
	if x.err != nil {
		return
	}
	before := x.fingerprint()
	id := x.scheduledBackup()
	x.put("wp-content/uploads/spoiled.txt", "new")
	x.drop("wp-content/uploads/2024")
	x.ask(nil, `global $wpdb; $wpdb->query( "DELETE FROM $wpdb->posts" ); update_option( 'blogname', 'spoiled' );`)
	began := time.Now()
	var done tasks.RestoreResult
	x.restored(fields{"backup_id": id, "checkpoint": false}, &done)
	b.drilled.Seconds = figure(time.Since(began).Seconds())
	after := x.fingerprint()
	if x.err != nil {
		return
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch table := strings.HasPrefix(name, "table "); {
		case before[name] != after[name]:
			b.drilled.Differ = append(b.drilled.Differ, name)
		case table:
			b.drilled.Tables++
		default:
			b.drilled.Files++
		}
	}
}

// scheduledBackup waits for the backup of a schedule that fires every minute.
func (x *exam) scheduledBackup() string {
	if x.err != nil {
		return ""
	}
	var made schedule
	c := x.e2e.stack.client
	_, err := c.post(x.ctx, "/wordpress/schedules", fields{"name": "drill", "kind": "backup", "target": fields{"id": x.id}, "cron": "* * * * *"}, &made)
	x.note(err)
	deadline := time.Now().Add(drillPatience)
	for x.err == nil && time.Now().Before(deadline) {
		var list []backupView
		x.read("/backups", &list)
		at := slices.IndexFunc(list, func(v backupView) bool { return v.Reason == tasks.BackupSchedule })
		if at >= 0 {
			_, err := c.do(x.ctx, request{method: http.MethodDelete, path: "/wordpress/schedules/" + made.ID}, nil)
			x.note(err)
			return list[at].ID
		}
		select {
		case <-x.ctx.Done():
			x.note(x.ctx.Err())
		case <-time.After(time.Second):
		}
	}
	x.check(x.err != nil, "the schedule has made no backup in %s", short(drillPatience))
	return ""
}

// fingerprint is all that the site has: files but for the database's name in wp-config.php, and
// tables but for what WordPress keeps for a time.
func (x *exam) fingerprint() map[string]string {
	all := map[string]string{}
	if x.err != nil {
		return all
	}
	x.note(filepath.WalkDir(x.docroot(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if d.Name() == "wp-config.php" {
			data = []byte(strings.Replace(string(data), "'"+x.result.DBName+"'", "''", 1))
		}
		sum := sha256.Sum256(data)
		all[strings.TrimPrefix(path, x.docroot()+"/")] = fmt.Sprint(info.Mode(), hex.EncodeToString(sum[:]))
		return err
	}))
	tables := map[string]string{}
	x.ask(&tables, `global $wpdb; $sums = array();
		foreach ( $wpdb->get_col( 'SHOW TABLES' ) as $t ) {
			$skip = $t === $wpdb->options ? " WHERE option_name NOT LIKE '%transient%' AND option_name <> 'cron'" : '';
			$sums[ "table $t" ] = md5( serialize( $wpdb->get_results( "SELECT * FROM $t$skip ORDER BY 1", ARRAY_A ) ) );
		} return $sums;`)
	maps.Copy(all, tables)
	return all
}
