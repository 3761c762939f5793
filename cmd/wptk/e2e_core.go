package main

import (
	"database/sql"
	"errors"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/go-sql-driver/mysql" // the end of a database is looked up by its server

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
)

const e2eAdmin = "boss"

func (x *exam) order() fields {
	return fields{"domain": x.domain, "path": demoPath, "title": x.title, "admin_user": e2eAdmin, "admin_email": "boss@example.com",
		"version": x.version, "db_name": "e2e", "table_prefix": "wpe_"}
}

// install wants an install that succeeds.
func (x *exam) install(body fields) operation {
	var took accepted
	_, err := x.e2e.stack.client.post(x.ctx, "/wordpress/install", body, &took)
	x.note(err)
	op := x.ended(took.OperationID)
	x.check(op.Status == tasks.Succeeded, "the install is %s: %s", op.Status, op.failure())
	return op
}

func checkInstall(x *exam) {
	op := x.install(x.order())
	if x.err != nil {
		return
	}
	made, err := op.installed()
	x.note(err)
	x.id, x.password, x.result = op.ID, made.AdminPassword, made
	x.served, err = x.e2e.stack.startSite(x.ctx, x.demoSite)
	x.note(err)

	page := x.answers(http.StatusOK, "/")
	x.check(strings.Contains(page, html.EscapeString(x.title)) || strings.Contains(page, "End &#038; end "+x.version), "the front page does not show the title")
	x.wordpress([]any{x.version, x.title, x.url(), made.DBName, "wpe_", "boss@example.com"},
		`return array( get_bloginfo( 'version' ), wp_specialchars_decode( get_option( 'blogname' ) ), get_option( 'siteurl' ), DB_NAME, $GLOBALS['table_prefix'], get_option( 'admin_email' ) );`)
	x.wordpress([]any{e2eAdmin}, `return wp_list_pluck( get_users( array( 'role' => 'administrator' ) ), 'user_login' );`)
	_, in := x.logsIn("/wp-login.php", e2eAdmin, x.password)
	x.check(in, "the generated password does not log in")
	if x.e2e.root {
		x.note(x.ownsFiles())
	}
	var refused *apiError
	_, err = x.e2e.stack.client.post(x.ctx, "/wordpress/install", x.order(), nil)
	x.check(errors.As(err, &refused) && refused.Status == http.StatusConflict && refused.Code == "CONFLICT", "a second install in the same place answers %v", err)
}

// checkDelete looks at files, database, user and list; and that the archive is there.
func checkDelete(x *exam) {
	var dry struct{ Would *tasks.SiteDeletion }
	x.remove(&dry, "dry_run", "true")
	x.check(x.err != nil || dry.Would != nil && dry.Would.Docroot == x.docroot() && dry.Would.Database.Name == x.result.DBName,
		"the dry run says %s", inJSON(dry))
	x.answers(http.StatusOK, "/")
	x.wordpress(true, `return true;`)

	var done tasks.SiteDeleteResult
	x.remove(&done)
	if x.err != nil {
		return
	}
	if left, err := os.ReadDir(x.docroot()); err == nil && len(left) > 0 || err != nil && !os.IsNotExist(err) {
		x.fail("%d files are left in the docroot (%v)", len(left), err)
	}
	x.finalBackup(done)
	x.noDatabase()
	var refused *apiError
	x.until("the list without the site", func() (bool, error) {
		err := x.get("/wordpress/installation")
		return errors.As(err, &refused) && refused.Status == http.StatusNotFound, nil
	})
}

func (x *exam) get(path string) error {
	_, err := x.e2e.stack.client.get(x.ctx, path, map[string][]string{"id": {x.id}}, nil)
	return err
}

// remove sends everything in the query, as clients do whose bodies get lost.
func (x *exam) remove(into any, more ...string) {
	if x.err != nil {
		return
	}
	query := map[string][]string{"id": {x.id}}
	for i := 0; i+1 < len(more); i += 2 {
		query[more[i]] = []string{more[i+1]}
	}
	var took accepted
	_, err := x.e2e.stack.client.do(x.ctx, request{method: http.MethodDelete, path: "/wordpress/delete", query: query}, &took)
	x.note(err)
	op := x.ended(took.OperationID)
	x.check(op.Status == tasks.Succeeded, "the deletion is %s: %s", op.Status, op.failure())
	if x.err == nil {
		x.note(decode(op.Result, into))
	}
}

func (x *exam) noDatabase() {
	if x.err != nil {
		return
	}
	db, err := sql.Open("mysql", x.e2e.stack.mariadb.DSN())
	if err != nil {
		x.note(err)
		return
	}
	defer db.Close() // only read from
	var databases, users int
	err = db.QueryRowContext(x.ctx, "SELECT (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?), (SELECT COUNT(*) FROM mysql.user WHERE user = ?)",
		x.result.DBName, x.result.DBUser).Scan(&databases, &users)
	x.note(err)
	x.check(databases+users == 0, "%d databases and %d database users are left", databases, users)
}

// packaged is a file as its version of WordPress has it.
func (x *exam) packaged(name string) string {
	packages, err := devstack.Cache()
	x.note(err)
	raw, err := os.ReadFile(filepath.Join(packages, "core", x.version, "wordpress", name))
	x.note(err)
	return string(raw)
}

const (
	changedFile = "wp-includes/formatting.php"
	missingFile = "wp-includes/images/blank.gif"
	foreignFile = "wp-includes/e2e-backdoor.php"
	uploadFile  = "wp-content/uploads/e2e-shell.php"
)

// tamper does what an intruder does, and an unlucky upload.
func (x *exam) tamper() {
	x.put(changedFile, x.file(changedFile)+"\n// not WordPress's\n")
	x.put(foreignFile, "<?php // silence")
	x.put(uploadFile, "<?php // silence")
	x.drop(missingFile)
}

func (x *exam) mend() {
	for _, name := range []string{changedFile, missingFile} {
		x.put(name, x.packaged(name))
	}
	x.drop(foreignFile, uploadFile)
}

func checkChecksums(x *exam) {
	var clean, found tasks.ChecksumsResult
	x.change("/verify-checksums", nil, &clean)
	x.check(clean.OK && clean.Core.Status == tasks.PackageVerified && clean.Core.Version == x.version, "an untouched site: %s", inJSON(clean))
	x.undo(x.mend)
	x.tamper()
	x.change("/verify-checksums", nil, &found)
	classes := map[string]string{}
	for _, f := range found.Findings {
		classes[f.Path] = string(f.Class)
	}
	for name, want := range map[string]string{changedFile: "modified", missingFile: "missing", foreignFile: "unexpected", uploadFile: "unexpected"} {
		x.check(classes[name] == want, "%s is reported as %q, want %s", name, classes[name], want)
	}
	x.check(!found.OK && found.Core.Status == tasks.PackageDiffers, "a site that was tampered with: %s", inJSON(found.Core))
}

// checkLastChecksums mends what is reported and looks that the report follows.
func checkLastChecksums(x *exam) {
	for _, harmed := range []bool{true, false} {
		if harmed {
			x.undo(func() { x.drop(foreignFile) })
			x.put(foreignFile, "<?php // silence")
		} else {
			x.drop(foreignFile)
		}
		op := x.change("/verify-checksums", nil, nil)
		var last struct {
			OperationID string `json:"operation_id"`
			Result      *tasks.ChecksumsResult
		}
		x.read("/verify-checksums", &last)
		x.check(x.err != nil || last.OperationID == op.OperationID && last.Result != nil && last.Result.OK != harmed && x.has(foreignFile) == harmed,
			"harmed %t: the last result is %.300s", harmed, inJSON(last))
	}
}

func checkReinstall(x *exam) {
	config, theme := x.file("wp-config.php"), ""
	x.ask(&theme, `return get_option( 'stylesheet' );`)
	x.undo(x.mend)
	x.tamper()
	x.change("/reinstall-core", fields{"remove_unexpected": true}, nil)
	for _, name := range []string{changedFile, missingFile} {
		x.check(x.file(name) == x.packaged(name), "%s is not as the package has it", name)
	}
	x.check(!x.has(foreignFile), "%s is still there", foreignFile)
	x.check(x.has(uploadFile) && x.file("wp-config.php") == config, "content or configuration were changed")
	x.wordpress([]any{x.version, theme}, `return array( get_bloginfo( 'version' ), get_option( 'stylesheet' ) );`)
	x.answers(http.StatusOK, "/")
}

// checkCoreUpdate goes to the next version, or from the newest one back and forth.
func checkCoreUpdate(x *exam) {
	const version = `require ABSPATH . WPINC . '/version.php'; return array( $wp_version, (int) get_option( 'db_version' ) >= $wp_db_version );`
	to := "6.5.5"
	if x.version == to {
		to = "latest"
	}
	var dry struct {
		Would struct{ From, To string }
	}
	x.change("/core/update", fields{"version": to, "force": true, "dry_run": true}, &dry)
	x.check(dry.Would.From == x.version && dry.Would.To != "" && dry.Would.To != x.version, "the dry run says %s", inJSON(dry))
	x.wordpress([]any{x.version, true}, version)
	x.undo(func() {
		x.change("/core/update", fields{"version": x.version, "force": true}, nil)
		x.wordpress([]any{x.version, true}, version)
		x.answers(http.StatusOK, "/")
	})
	x.change("/core/update", fields{"version": to, "force": true}, nil)
	x.wordpress([]any{dry.Would.To, true}, version)
	x.answers(http.StatusOK, "/")
	x.answers(http.StatusOK, "/wp-login.php")
}
