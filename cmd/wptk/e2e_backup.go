package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// countPosts is how many rows WordPress sees in its table of posts.
const countPosts = `global $wpdb; return (int) $wpdb->get_var( "SELECT COUNT(*) FROM $wpdb->posts" );`

func checkBackup(x *exam) {
	x.put("wp-content/uploads/e2e ä.txt", "kept 🦊\n")
	var made tasks.Backup
	x.change("/backup", fields{"label": "e2e"}, &made)
	x.backup = made.ID
	x.wordpress(made.Tables["wpe_posts"], countPosts)
	x.check(x.err != nil || made.Files > 1000 && made.Bytes > 10<<20 && made.Label == "e2e", "the backup is %s", inJSON(made))
	var again tasks.Backup
	x.change("/backup", nil, &again)
	// WordPress writes into its tables all the time: a chunk or two are new.
	x.check(x.err != nil || again.Added < 4<<20, "the second backup of %d bytes added %d", again.Bytes, again.Added)
	x.check(x.err != nil || !x.has(".wptk-"+again.Op), "a backup has left something in the site")
}

func checkBackups(x *exam) {
	var list []backupView
	x.read("/backups", &list)
	found := 0
	for _, b := range list {
		if b.ID == x.backup && b.Label == "e2e" && b.Site == x.id && b.Tables["wpe_options"] > 100 {
			found++
		}
	}
	x.check(x.err != nil || found == 1, "the list is %s", inJSON(list)) // beside the checkpoints of other rows
}

// checkDownload holds every file of the tar against the site's own.
func checkDownload(x *exam) {
	if x.err != nil {
		return
	}
	var stream bytes.Buffer
	_, err := x.e2e.stack.client.download(x.ctx, x.backup, &stream)
	x.note(err)
	files, dump, err := readDownload(&stream, func(name string, content []byte) error {
		onDisk, err := os.ReadFile(filepath.Join(x.docroot(), name))
		if err == nil && !bytes.Equal(onDisk, content) {
			err = fmt.Errorf("%s is another one in the backup", name)
		}
		return err
	})
	x.note(err)
	onDisk := 0
	err = filepath.WalkDir(x.docroot(), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			onDisk++
		}
		return err
	})
	x.note(err)
	x.check(files == onDisk, "the download has %d files, the site %d", files, onDisk)
	x.check(strings.Contains(dump, "CREATE TABLE `wpe_posts`") && strings.Contains(dump, "-- Dump completed"), "the dump is not one: %.200s", dump)
}

// readDownload reads a backup's tar to its summary.
func readDownload(r io.Reader, file func(name string, content []byte) error) (files int, dump string, err error) {
	var sql strings.Builder
	last := ""
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return files, "", err
		}
		last = h.Name
		content, err := io.ReadAll(in)
		if err != nil {
			return files, "", err
		}
		name, isFile := strings.CutPrefix(h.Name, "files/")
		switch {
		case strings.HasPrefix(h.Name, "database/"):
			sql.Write(content)
		case isFile && h.Typeflag == tar.TypeReg:
			files++
			if err := file(name, content); err != nil {
				return files, "", err
			}
		}
	}
	if last != "summary.json" {
		return files, "", fmt.Errorf("the download ends with %q", last)
	}
	return files, sql.String(), nil
}

// changeBackup asks for something about the site's backup and follows it.
func (x *exam) changeBackup(method, path string, into any) {
	if x.err != nil {
		return
	}
	var took accepted
	_, err := x.e2e.stack.client.do(x.ctx, request{method: method, path: "/wordpress/backups/" + x.backup + path}, &took)
	x.note(err)
	x.succeeded(x.ended(took.OperationID), into)
}

func checkVerify(x *exam) {
	var r tasks.VerifyResult
	x.changeBackup(http.MethodPost, "/verify", &r)
	x.check(x.err != nil || r.Verified == tasks.VerifiedOK && len(r.Checked) == 3 && r.Tables["wpe_posts"] > 0, "the trial says %s", inJSON(r))
	names, err := os.ReadDir(filepath.Dir(x.docroot()))
	x.note(err)
	for _, n := range names {
		x.check(!strings.HasPrefix(n.Name(), ".wptk-"), "the trial has left %s", n.Name())
	}
}

func checkBackupDelete(x *exam) {
	var before, after []backupView
	x.read("/backups", &before)
	x.changeBackup(http.MethodDelete, "", nil)
	x.read("/backups", &after)
	others := slices.DeleteFunc(slices.Clone(before), func(b backupView) bool { return b.ID == x.backup })
	x.check(x.err != nil || len(others) == len(before)-1 && inJSON(after) == inJSON(others), "the list was %s and is %s", inJSON(before), inJSON(after))
	x.drop("wp-content/uploads/e2e ä.txt")
}

// finalBackup wants a deleted site's last state to be there: whole, and in the store.
func (x *exam) finalBackup(done tasks.SiteDeleteResult) {
	x.check(done.SiteDeletion != nil && done.Archive != nil && done.Archive.Backup != "", "the result names no backup: %s", inJSON(done))
	if x.err != nil {
		return
	}
	var stream bytes.Buffer
	_, err := x.e2e.stack.client.download(x.ctx, done.Archive.Backup, &stream)
	x.note(err)
	files, dump, err := readDownload(&stream, func(string, []byte) error { return nil })
	x.note(err)
	x.check(files > 1000 && strings.Contains(dump, "-- Dump completed"), "the final backup has %d files and %d bytes of tables", files, len(dump))
}
