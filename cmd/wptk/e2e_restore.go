package main

import (
	"net/http"

	"github.com/wispanel/wptk/tasks"
)

// checkRestore saves a state, spoils files and tables, and brings it back: all of it, then a
// single path, then by way of the checkpoint the spoiled state again.
func checkRestore(x *exam) {
	const file, gone = "wp-content/uploads/e2e-restore.txt", "wp-content/uploads/e2e-later.txt"
	const state = `return array( get_option( 'e2e_restore' ), file_get_contents( ABSPATH . $args[0] ), file_exists( ABSPATH . $args[1] ) );`
	spoil := func(word string) {
		x.put(file, word)
		x.ask(nil, `update_option( 'e2e_restore', $args[0] );`, word)
	}
	is := func(option, content string, later bool) {
		x.wordpress([]any{option, content, later}, state, file, gone)
		x.answers(http.StatusOK, "/")
		x.check(!x.has(".maintenance"), "the site is still closed")
	}
	x.undo(func() {
		x.drop(file, gone)
		x.ask(nil, `delete_option( 'e2e_restore' );`)
	})
	spoil("saved ☕")
	var saved tasks.Backup
	x.change("/backup", fields{"type": "full", "label": "e2e"}, &saved)
	spoil("spoiled")
	x.put(gone, "later")

	var dry, done tasks.RestoreResult
	x.change("/restore", fields{"backup_id": saved.ID, "dry_run": true}, &dry)
	x.check(x.err != nil || dry.Would != nil && dry.Would.Files && dry.Would.Database && dry.Would.OneStep, "the dry run says %s", inJSON(dry))
	is("spoiled", "spoiled", true)

	x.restored(fields{"backup_id": saved.ID}, &done)
	x.check(x.err != nil || done.SiteUp && done.Checkpoint != "" && done.Rows > 0 && done.OldTables == "" && done.Leftover == "", "it was restored as %s", inJSON(done))
	is("saved ☕", "saved ☕", false)
	checkpoint := done.Checkpoint

	spoil("spoiled again")
	x.restored(fields{"backup_id": saved.ID, "paths": []string{file}, "checkpoint": false}, &done)
	is("spoiled again", "saved ☕", false)
	x.restored(fields{"backup_id": saved.ID, "tables": []string{"wpe_options"}, "checkpoint": false}, &done)
	is("saved ☕", "saved ☕", false)

	x.restored(fields{"backup_id": checkpoint, "checkpoint": false}, &done)
	is("spoiled", "spoiled", true)
}

// restored is change, and follows the site into its new database.
func (x *exam) restored(body fields, done *tasks.RestoreResult) {
	*done = tasks.RestoreResult{}
	x.change("/restore", body, done)
	if done.Database != "" {
		x.result.DBName = done.Database
	}
}
