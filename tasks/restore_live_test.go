package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wispanel/wptk/wp"
)

// shelf keeps backups in memory, as store and as catalog.
type shelf struct {
	mu      sync.Mutex
	streams map[string][]byte
	records map[string]Backup
	opened  func() // called with every Load
}

func newShelf() *shelf { return &shelf{streams: map[string][]byte{}, records: map[string]Backup{}} }

func (s *shelf) Save(_ context.Context, key wp.BackupKey, write func(io.Writer) error) (wp.StoredBackup, error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return wp.StoredBackup{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[key.ID] = b.Bytes()
	return wp.StoredBackup{Snapshot: key.ID, Bytes: int64(b.Len()), Added: int64(b.Len())}, nil
}

func (s *shelf) Load(_ context.Context, _, id string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream, ok := s.streams[id]
	if !ok {
		return nil, wp.ErrNoBackup
	}
	if s.opened != nil {
		s.opened()
	}
	return io.NopCloser(bytes.NewReader(stream)), nil
}

func (s *shelf) List(context.Context, string) ([]wp.BackupKey, error) { return nil, nil }

func (s *shelf) Forget(_ context.Context, _ string, ids ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.streams, id)
	}
	return nil
}

func (s *shelf) PutBackup(_ context.Context, b Backup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[b.ID] = b
	return nil
}

func (s *shelf) Backup(_ context.Context, id string) (Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.records[id]
	if !ok {
		return Backup{}, wp.ErrNoBackup
	}
	return b, nil
}

func (s *shelf) SiteBackups(_ context.Context, site string) ([]Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Backup
	for _, b := range s.records {
		if b.Site.ID == site {
			all = append(all, b)
		}
	}
	return all, nil
}

func (s *shelf) RemoveBackup(_ context.Context, b Backup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, b.ID)
	return nil
}

// kept is an install with a shelf, whose state can be told from outside.
type kept struct {
	*order
	shelf *shelf
	site  wp.Site
}

// stateFile answers, quickly, which files and which tables a visitor gets.
const stateFile = `<?php
define( 'SHORTINIT', true );
$files = '%s';
require __DIR__ . '/wp-load.php';
global $wpdb;
echo $files, ' ', $wpdb->get_var( "SELECT option_value FROM {$wpdb->options} WHERE option_name = 'state'" ), ' end';
`

func newKept(t *testing.T, account, path string, task Install) kept {
	t.Helper()
	n := newNode(t)
	s := newShelf()
	n.host.Backups, n.catalog = s, s
	o := n.order(t, account, account+".test", path, task)
	o.mustEnd(Succeeded)
	site, err := n.host.Find(account, account+".test", path)
	must(t, err)
	return kept{o, s, site}
}

// become writes a state into files and tables.
func (k kept) become(state string) {
	k.t.Helper()
	k.put("state.php", fmt.Sprintf(stateFile, state))
	k.put("wp-content/uploads/"+state+".txt", state)
	k.put(".user.ini", "; "+state)
	k.query("REPLACE INTO %s.wp_options (option_name, option_value, autoload) VALUES ('state', '" + state + "', 'no')")
	k.query("CREATE TABLE IF NOT EXISTS %s.wp_extra_" + state + " (id INT PRIMARY KEY, v TEXT)")
	k.query("REPLACE INTO %s.wp_extra_" + state + " VALUES (1, '☕ " + state + "')")
}

// database is the one that wp-config.php names.
func (k kept) database() string {
	k.t.Helper()
	login, err := k.node.host.Login(k.t.Context(), k.site)
	must(k.t, err)
	return login.Name
}

func (k kept) query(q string) {
	k.t.Helper()
	_, err := k.node.sql.ExecContext(k.t.Context(), strings.ReplaceAll(q, "%s", k.database()))
	must(k.t, err)
}

// save makes a backup by the real writer.
func (k kept) save(kind string) string {
	k.t.Helper()
	op := NewOpID(k.node.host.Node)
	id := BackupID(op)
	var sum wp.BackupSummary
	stored, err := k.shelf.Save(k.t.Context(), wp.BackupKey{ID: id}, func(w io.Writer) (err error) {
		m := wp.BackupManifest{ID: id, Op: op, Site: k.op.Site.ID, Node: k.node.host.Node, URL: "http://" + k.site.Domain, Type: kind, Created: time.Now()}
		sum, err = k.node.host.WriteBackup(k.t.Context(), k.site, wp.BackupSelection{Files: kind != BackupDatabase, Database: kind != BackupFiles}, m, w, nil)
		return err
	})
	must(k.t, err)
	must(k.t, k.shelf.PutBackup(k.t.Context(), Backup{
		ID: id, Site: k.op.Site, Op: op, Type: kind, Created: time.Now(), Bytes: stored.Bytes, Files: sum.Files, Tables: sum.Tables, TablePrefix: "wp_",
	}))
	return id
}

// fingerprint is all that a site has: files with modes and contents, tables with checksums.
// wp-config.php is the same but for the database's name.
func (k kept) fingerprint() map[string]string {
	k.t.Helper()
	db := k.database()
	got := map[string]string{}
	must(k.t, filepath.WalkDir(k.home(), func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		must(k.t, err)
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			must(k.t, err)
			text += " " + strings.Replace(string(data), "'"+db+"'", "'DATABASE'", 1)
		}
		got[strings.TrimPrefix(p, k.home())] = text
		return nil
	}))
	tables, err := k.node.host.DB.Tables(k.t.Context(), db)
	must(k.t, err)
	for _, table := range tables {
		var name, sum string
		must(k.t, k.node.sql.QueryRowContext(k.t.Context(), "CHECKSUM TABLE "+db+"."+table).Scan(&name, &sum))
		got["table "+table] = sum
	}
	return got
}

// mustEqual compares fingerprints; what WordPress does by itself (cron, transients) is no
// difference.
func (k kept) mustEqual(want map[string]string) {
	k.t.Helper()
	got := k.fingerprint()
	for name := range got {
		if _, ok := want[name]; !ok && name != "table wp_options" {
			k.t.Errorf("%s is new", name)
		}
	}
	for name, text := range want {
		if got[name] != text && name != "table wp_options" {
			k.t.Errorf("%s has changed: %.200s, was %.200s", name, got[name], text)
		}
	}
}

// mustBeIn checks the state that a visitor gets, and that nothing is left over.
func (k kept) mustBeIn(addr, files, tables string) {
	k.t.Helper()
	if got := ask(addr); got != files+" "+tables+" end" {
		k.t.Errorf("the site is %q, want %s %s", got, files, tables)
	}
	k.mustBeTidy()
	if got := k.node.databases(k.t, k.op.Site.Account); len(got) != 2 || got[0] != k.database() && got[1] != k.database() {
		k.t.Errorf("databases and users %q, the site uses %s", got, k.database())
	}
}

func ask(addr string) string {
	res, err := http.Get("http://" + addr + "/state.php")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode, " ", string(body[:min(len(body), 200)]))
	}
	return string(body)
}

// poller asks for the state 20 times a second until it is stopped.
type poller struct {
	t      *testing.T
	addr   string
	stop   chan struct{}
	done   chan struct{}
	mu     sync.Mutex
	open   time.Time // of a switch that is going on
	spans  [][2]time.Time
	Closed bool // the maintenance page is allowed inside of a span
	seen   []visit
}

type visit struct {
	from, to time.Time
	got      string
}

func newPoller(t *testing.T, addr string) *poller {
	p := &poller{t: t, addr: addr, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			v := visit{from: time.Now()}
			v.got = ask(addr)
			v.to = time.Now()
			p.seen = append(p.seen, v)
		}
	}()
	return p
}

// entry notes when a switch begins and ends, by the journal.
func (p *poller) entry(e Entry, from ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	begins := (e.Mark == MarkBegin || e.Mark == MarkUndo) && slices.Contains(from, e.Step)
	if begins && p.open.IsZero() {
		p.open = time.Now()
	}
	if (e.Mark == MarkDone || e.Mark == MarkUndone) && e.Step == "switch" && !p.open.IsZero() {
		p.spans = append(p.spans, [2]time.Time{p.open, time.Now()})
		p.open = time.Time{}
	}
}

// judge ends the polling. Whoever came in the moment of a switch may have read one file
// before it and one after; everybody else has seen one whole state.
func (p *poller) judge(states ...string) {
	p.t.Helper()
	for _, v := range p.visits() {
		during := slices.ContainsFunc(p.spans, func(s [2]time.Time) bool { return v.from.Before(s[1]) && v.to.After(s[0]) })
		whole := slices.ContainsFunc(states, func(s string) bool { return v.got == s+" end" })
		mixed := strings.HasSuffix(v.got, " end") || p.Closed && strings.HasPrefix(v.got, "503 ")
		if !whole && !(during && mixed) {
			p.t.Errorf("a visitor has seen %q (during a switch: %t)", v.got, during)
		}
	}
}

// visits ends the polling.
func (p *poller) visits() []visit {
	p.t.Helper()
	close(p.stop)
	<-p.done
	if len(p.seen) < 20 {
		p.t.Errorf("only %d visits", len(p.seen))
	}
	return p.seen
}

// mustHaveSeen ends the polling: every visitor has got one whole state, or was turned away. It
// answers how many have got a state.
func (p *poller) mustHaveSeen(away *regexp.Regexp, states ...string) (whole int) {
	p.t.Helper()
	for _, v := range p.visits() {
		switch {
		case slices.ContainsFunc(states, func(s string) bool { return v.got == s+" end" }):
			whole++
		case !away.MatchString(v.got):
			p.t.Errorf("a visitor has seen %q", v.got)
		}
	}
	return whole
}

func (k kept) restoreResult(out Outcome) RestoreResult {
	k.t.Helper()
	var r RestoreResult
	must(k.t, json.Unmarshal(out.Result, &r))
	return r
}

var noCheckpoint = new(bool)

// One site goes through all of it, since making one takes longer than restoring it.
func TestRestoreIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	k := newKept(t, "rosa", "public_html", Install{Version: "6.5.5", TablePrefix: "wp_"})
	for _, heavy := range []string{"twentytwentytwo", "twentytwentythree"} { // what makes it slow and no different
		must(t, os.RemoveAll(filepath.Join(k.docroot(), "wp-content/themes", heavy)))
	}
	addr := k.serve()
	k.become("one")
	_, err := k.node.host.See(t.Context(), k.site, nil, "") // WordPress makes posts of its own at the first visit
	must(t, err)
	full := k.save(BackupFull)
	saved := k.fingerprint()
	k.become("two")
	for _, part := range []struct {
		name string
		run  func(kept, string, string, map[string]string)
	}{
		{"a dry run changes nothing", kept.dryRestore},
		{"a full restore survives deaths at every boundary, and visitors see one state or the other", kept.dyingRestores},
		{"single paths and tables come back alone", kept.partialRestores},
		{"a configuration above the docroot stays there, and the present is kept", kept.restoreAbove},
		{"a lost configuration comes back", kept.restoreLost},
		{"a damaged backup leaves the site alone", kept.damagedRestore},
		{"a backup of a broken site is switched back", kept.brokenRestore},
	} {
		if !t.Run(part.name, func(t *testing.T) { k.t = t; part.run(k, addr, full, saved) }) {
			return
		}
	}
}

func (k kept) dryRestore(addr, id string, _ map[string]string) {
	before := k.fingerprint()
	r := k.restoreResult(k.change(&Restore{BackupID: id, DryRun: true}).mustEnd(Succeeded))
	if r.Would == nil || !r.Would.Files || !r.Would.Database || !r.Would.OneStep || !r.UpBefore || r.Would.Rows["wp_users"] != 1 || r.Type != BackupFull {
		k.t.Errorf("%+v %+v", r, r.Would)
	}
	k.mustEqual(before)
	k.mustBeIn(addr, "two", "two")
}

func (k kept) dyingRestores(addr, id string, saved map[string]string) {
	for i := range 2 {
		k.become("two")
		p := newPoller(k.t, addr)
		op := k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint})
		r := &reaper{order: op, share: i, shares: 2, after: i == 1, seen: map[string]bool{}}
		op.fail = func(e Entry) error { p.entry(e, "switch"); return r.entry(e) }
		out, err := r.live()
		must(k.t, err)
		op.mustBe(out, Succeeded)
		p.judge("one one", "two two")
		got := k.restoreResult(out)
		if r.deaths < 5 || !got.SiteUp || !got.UpBefore || got.Exchanged == nil || !got.Exchanged.Whole || got.Rows == 0 || got.Files < 500 || got.OldTables != "" || got.Leftover != "" {
			k.t.Errorf("%d deaths, %+v %+v", r.deaths, got, got.Exchanged)
		}
		k.mustBeIn(addr, "one", "one")
		k.mustEqual(saved)
	}
	k.mustLogIn()
}

func (k kept) partialRestores(addr, id string, _ map[string]string) {
	k.become("two")
	r := k.restoreResult(k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint, Paths: []string{"state.php", "wp-content/uploads/one.txt"}}).mustEnd(Succeeded))
	if r.Files != 2 || r.Type != BackupFiles || r.Tables != 0 {
		k.t.Errorf("%+v", r)
	}
	k.mustBeIn(addr, "one", "two")
	if !k.has("wp-content/uploads/two.txt") {
		k.t.Error("a file beside the restored one is gone")
	}
	k.query("INSERT INTO %s.wp_links (link_notes) VALUES ('two')") // empty in the backup
	p := newPoller(k.t, addr)
	p.Closed = true
	op := k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint, Tables: []string{"wp_options", "wp_links"}})
	op.fail = func(e Entry) error { p.entry(e, "close"); return nil }
	r = k.restoreResult(op.mustEnd(Succeeded))
	p.judge("one one", "one two")
	if r.Tables != 2 || r.Type != BackupDatabase || r.Files != 0 {
		k.t.Errorf("%+v", r)
	}
	k.mustBeIn(addr, "one", "one")
	var links int
	must(k.t, k.node.sql.QueryRowContext(k.t.Context(), "SELECT COUNT(*) FROM "+k.database()+".wp_links").Scan(&links))
	if links != 0 {
		k.t.Errorf("a table that was empty has %d rows", links)
	}
	var v string
	must(k.t, k.node.sql.QueryRowContext(k.t.Context(), "SELECT v FROM "+k.database()+".wp_extra_two").Scan(&v))
	if v != "☕ two" {
		k.t.Errorf("a table that was to stay has %q", v)
	}
	k.become("two")
	out := k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint, Paths: []string{"wp-content/none"}}).mustEnd(Failed)
	if out.Error.Code != CodeNotInBackup {
		k.t.Errorf("%+v", out.Error)
	}
	k.mustBeIn(addr, "two", "two")
	listed := k.shelf.records[id] // as one that was written anew from the store
	listed.Incomplete, listed.Bytes, listed.Files, listed.Tables, listed.TablePrefix = true, 0, 0, nil, ""
	must(k.t, k.shelf.PutBackup(k.t.Context(), listed))
	k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint, Type: BackupDatabase}).mustEnd(Succeeded)
	k.mustBeIn(addr, "two", "one")
}

func (k kept) restoreAbove(addr, id string, _ map[string]string) {
	k.become("two")
	inside, above := filepath.Join(k.docroot(), configFile), filepath.Join(k.home(), configFile)
	must(k.t, os.Rename(inside, above))
	r := k.restoreResult(k.change(&Restore{BackupID: id}).mustEnd(Succeeded))
	k.mustBeIn(addr, "one", "one")
	if _, err := os.Stat(above); err != nil || k.has(configFile) {
		k.t.Errorf("wp-config.php is not where it was: %v", err)
	}
	checkpoint, err := k.shelf.Backup(k.t.Context(), r.Checkpoint)
	must(k.t, err)
	if checkpoint.Reason != BackupCheckpoint || checkpoint.KeepUntil.IsZero() || checkpoint.Tables["wp_extra_two"] != 1 {
		k.t.Errorf("%+v", checkpoint)
	}
	k.change(&Restore{BackupID: r.Checkpoint, Checkpoint: noCheckpoint}).mustEnd(Succeeded)
	k.mustBeIn(addr, "two", "two")
	must(k.t, os.Rename(above, inside))
}

func (k kept) restoreLost(addr, id string, _ map[string]string) {
	k.become("two")
	must(k.t, os.WriteFile(filepath.Join(k.docroot(), configFile), []byte("<?php die( 'owned' );"), 0o600))
	if out := k.change(&Restore{BackupID: id}).mustEnd(Failed); out.Error.Code != CodeBackupFailed || !strings.Contains(out.Error.Hint, "checkpoint=false") {
		k.t.Errorf("%+v", out.Error)
	}
	before := k.node.databases(k.t, k.op.Site.Account)
	k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint}).mustEnd(Succeeded)
	// Nothing tells any more which database was the site's: it stays.
	if after := k.node.databases(k.t, k.op.Site.Account); len(after) != len(before)+1 {
		k.t.Errorf("databases and users %q, before %q", after, before)
	}
	for _, name := range before {
		if name != k.database() && !strings.Contains(name, "@") {
			must(k.t, k.node.host.DB.DropDatabase(k.t.Context(), name))
		}
	}
	k.mustBeIn(addr, "one", "one")
}

func (k kept) damagedRestore(addr, id string, _ map[string]string) {
	k.become("two")
	before := k.fingerprint()
	whole := k.shelf.streams[id]
	defer func() { k.shelf.streams[id] = whole }()
	flipped := bytes.Clone(whole)
	at := bytes.Index(flipped, []byte("☕ one"))
	flipped[at] ^= 1
	for name, stream := range map[string][]byte{"cut": whole[:len(whole)/2], "changed": flipped} {
		k.shelf.streams[id] = stream
		out := k.change(&Restore{BackupID: id, Checkpoint: noCheckpoint}).mustEnd(Failed)
		if out.Error.Code != CodeBackupDamaged || out.Error.Hint == "" {
			k.t.Errorf("%s: %+v", name, out.Error)
		}
		k.mustBeIn(addr, "two", "two")
		k.mustEqual(before)
	}
}

func (k kept) brokenRestore(addr, _ string, _ map[string]string) {
	const plugin = "wp-content/mu-plugins/broken.php"
	for _, c := range []struct {
		code, where string
		state       State
		fatal       bool
	}{
		{"wptk_function_that_is_gone();", "seen before the switch", Failed, true},
		{"if ( ! strpos( __DIR__, '.wptk-' ) ) { wptk_function_that_is_gone(); }", "seen in its place only", RolledBack, false},
	} {
		k.put(plugin, "<?php "+c.code)
		broken := k.save(BackupFull)
		must(k.t, os.RemoveAll(filepath.Join(k.docroot(), filepath.Dir(plugin))))
		k.become("two")
		before := k.fingerprint()
		out := k.change(&Restore{BackupID: broken, Checkpoint: noCheckpoint}).mustEnd(c.state)
		if want := map[bool]string{true: CodeVerifyFailed, false: CodeSiteBroken}[c.fatal]; out.Error.Code != want || !strings.Contains(out.Error.Message, "must-use broken") {
			k.t.Errorf("%s: %+v", c.where, out.Error)
		}
		k.mustBeIn(addr, "two", "two")
		k.mustEqual(before)
	}
}
