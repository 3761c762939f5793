package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/wispanel/wptk/tasks"
)

// burden is something hostile in a site of which a backup is made, which is brought back and
// cloned.
type burden struct {
	name   string
	script string // as the attacker, in the docroot; see (*attack).script
	root   string // as root, for what the attacker would have brought along
	sql    string // with the site's own login; wp_ is the site's prefix, OTHER the victim's database
	kept   string // as the attacker, in the docroot of the copy: what has to be so there
	vain   bool   // the node says that it can make neither a backup nor a clone of it
}

var burdens = []burden{
	{name: "pipes and sockets", script: `mkfifo pipe wp-content/uploads/pipe; php -r 'stream_socket_server("unix://sock");' || true`,
		kept: `[ ! -e pipe ] && [ ! -e wp-content/uploads/pipe ] && [ ! -e sock ]`},
	{name: "hard links of own files", script: `ln index.php twin.php; echo own > ../outside; ln ../outside inside`, kept: `cmp index.php twin.php && [ "$(cat inside)" = own ]`},
	{name: "a hard link of root's file", vain: true, root: `echo "` + closedText + `" > "$M/../linked"; chmod 600 "$M/../linked"; ln "$M/../linked" "$D/wp-content/closed"`},
	{name: "links to what is not the site's", script: `ln -s /etc/shadow shadow; ln -s "$R/closed" closed; ln -s "$R/dir" dir; ln -s "$V" victim; ln -s "$V/wp-config.php" wp-content/config.php; ln -s ../../../../../../../../etc/shadow up; ln -s / wp-content/uploads/slash`,
		kept: `for f in shadow closed wp-content/config.php up; do [ -L $f ] || [ ! -e $f ]; done`},
	{name: "links in the place of directories", script: `mv wp-content/uploads ../uploads 2>/dev/null || true; ln -s "$V/wp-content/uploads" wp-content/uploads; rm -rf wp-content/plugins; ln -s "$R/dir" wp-content/plugins`},
	{name: "setuid, setgid and sticky files", script: `cp /bin/true suid; chmod 6755 suid; mkdir wp-content/sgid; chmod 7777 wp-content/sgid; echo '<?php' > wp-content/world.php; chmod 666 wp-content/world.php`},
	{name: "a device and a setuid file of root's", root: `mknod "$D/disk" c 1 5; chmod 666 "$D/disk"; cp /bin/true "$D/rootsuid"; chmod 4755 "$D/rootsuid"`, kept: `[ ! -e disk ]`},
	{name: "a file of 8 TB without a byte", vain: true, root: `truncate -s 8T "$D/wp-content/huge"; chown --reference="$D" "$D/wp-content/huge"`},
	{name: "names that are flags, lines, escapes and no text", script: `touch -- -rf --exclude=x -T,etc "$(printf 'a\nb')" "$(printf 'a\033[31mb')" "$(printf '\377\376')" '*' ' ' '@file' 'a\b'; mkdir -- --checkpoint-action=exec=id; touch -- "--checkpoint-action=exec=id/$(printf '\n/etc/passwd' | tr / _)"`,
		kept: `[ -e ./-rf ] && [ -e "$(printf 'a\nb')" ] && [ -d ./--checkpoint-action=exec=id ]`},
	{name: "names of the node's own", script: `mkdir .wptk-evil; echo x > .wptk-evil/x; ln -s "$R/dir" ../.wptk-link; echo '{}' > manifest.json; echo 'DROP DATABASE precious;' > database.sql; mkdir -p files database; ln -s /etc/passwd files/x`},
	{name: "a directory that nobody enters", vain: true, script: `mkdir wp-content/shut; echo x > wp-content/shut/x; chmod 0 wp-content/shut`},
	{name: "200 directories below each other", script: `cd wp-content; p=$(printf 'd/%.0s' $(seq 200)); mkdir -p "$p"; echo own > "${p}last"`,
		kept: `[ "$(cat wp-content/$(printf 'd/%.0s' $(seq 200))last)" = own ]`},
	{name: "600 directories below each other", vain: true, script: `cd wp-content; mkdir -p "$(printf 'd/%.0s' $(seq 600))"`},
	{name: "options for the clients of the database", script: `printf '[client]\nlocal-infile=1\nhost=127.0.0.1\nport=1\ninit-command="SELECT 1 INTO OUTFILE \\"%s/option\\""\n[mariadb-dump]\nall-databases\nresult-file=%s/dumped\n[mysqldump]\nall-databases\n' "$M" "$M" > "$H/.my.cnf"; cp "$H/.my.cnf" .my.cnf; cp "$H/.my.cnf" ../.my.cnf`},
	{name: "a view with another definer", sql: "CREATE DEFINER = root@localhost SQL SECURITY DEFINER VIEW wp_root AS SELECT * FROM precious.things; CREATE SQL SECURITY DEFINER VIEW wp_own AS SELECT * FROM wp_users"},
	{name: "a view of another database", sql: "CREATE VIEW wp_other AS SELECT * FROM OTHER.wp_users; CREATE VIEW wp_schema AS SELECT * FROM information_schema.user_privileges"},
	{name: "triggers, routines and events", sql: "CREATE TRIGGER wp_t BEFORE INSERT ON wp_options FOR EACH ROW SET NEW.option_value = LOAD_FILE('/etc/passwd'); CREATE PROCEDURE wp_p() SELECT * FROM precious.things INTO OUTFILE 'x'; CREATE EVENT wp_e ON SCHEDULE EVERY 1 SECOND DO DROP DATABASE precious"},
	{name: "rows that are statements and a client's orders", sql: `CREATE TABLE wp_rows (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT); INSERT INTO wp_rows (v) VALUES ('x\n\\! touch MARKS/row\nsystem touch MARKS/row\n\\. /etc/passwd\nsource /etc/passwd\n'), ('\n;\nLOAD DATA LOCAL INFILE ''/etc/passwd'' INTO TABLE wp_rows (v);\n'), (''');\nDROP DATABASE precious;\n-- '), ('*/;\nUSE OTHER;\nDELETE FROM precious.things;\n/*'), ('\ndelimiter //\n\\u precious\nDROP DATABASE precious//\n')`},
	{name: "names and comments that are statements", sql: "CREATE TABLE `wp_a``; DROP DATABASE precious; --` (`c``\n\\! touch MARKS/column\n` INT COMMENT '\n\\\\! touch MARKS/comment\n') COMMENT '*/; DROP DATABASE precious; /*'"},
	{name: "tables of other engines and places", sql: "CREATE TABLE wp_far (a INT) ENGINE = FEDERATED CONNECTION = 'mysql://root@127.0.0.1/precious/things'; CREATE TABLE wp_csv (a INT NOT NULL) ENGINE = CSV DATA DIRECTORY = 'MARKS'; CREATE TABLE wp_m (id BIGINT, value TEXT) ENGINE = MERGE UNION = (precious.things)"},
}

// restoreCases back up, restore and clone sites that hold something hostile. What comes of it
// must be the attacker's own, and hold nothing that the attacker could not read.
func restoreCases(*hostile) []hostileCase {
	files := slices.DeleteFunc(slices.Clone(burdens), func(b burden) bool { return b.sql != "" })
	tables := slices.DeleteFunc(slices.Clone(burdens), func(b burden) bool { return b.sql == "" })
	return []hostileCase{
		{name: "a backup, a restore and a clone with " + files[0].name, short: true, attack: func(x *attack) { x.burdened(files[:1]) }},
		{name: "the same in many sites at once, with hostile files", attack: func(x *attack) { x.burdened(files[1:]) }},
		{name: "the same in sites with hostile tables", attack: func(x *attack) { x.burdened(tables) }},
	}
}

// burdened has a site for each burden.
func (x *attack) burdened(all []burden) {
	x.atOnce(len(all), func(i int) string { return "with " + all[i].name }, func(y *attack, i int) {
		b := all[i]
		y.load(b)
		saved := y.asksFor(want{"/backup", nil}, "")
		y.check((saved != "") != b.vain, "the backup is %q", saved)
		if !b.vain {
			op := y.attempt("/restore", fields{"backup_id": saved, "checkpoint": false})
			y.check(op.Status == tasks.Succeeded, "the restore is %q: %s", op.Status, op.failure())
			y.holds(b)
		}
		copied := *y.demoSite
		copied.domain = y.hostile.spareDomain()
		z := &attack{exam: &exam{e2eSite: &e2eSite{demoSite: &copied, e2e: y.e2e}, ctx: y.ctx}, hostile: y.hostile}
		op := y.attempt("/clone", fields{"source_id": y.id, "target_domain": copied.domain})
		y.check((op.Status == tasks.Succeeded) != b.vain, "the clone is %q: %s", op.Status, op.failure())
		if y.exam.err == nil && !b.vain {
			z.holds(b)
		}
		z.clear()
		y.asRoot(`rm -f "$H/.my.cnf" "$D/wp-content/huge" "$D/wp-content/closed"`)
		y.attemptOn(y.id, http.MethodDelete, "/delete", fields{"keep_backup": false})
		y.clear()
		y.note(z.exam.err)
	})
}

// load puts the burden into the site. What the server refuses to the site's own login is no
// attack any more.
func (x *attack) load(b burden) {
	if b.script != "" {
		x.as(`cd "$D"; mkdir -p wp-content/uploads; ` + b.script)
	}
	if b.root != "" {
		x.asRoot(b.root)
	}
	words := strings.NewReplacer("wp_", x.result.TablePrefix, "OTHER", "`"+x.hostile.victim.result.DBName+"`", "MARKS", x.hostile.state.dir("marks"))
	for statement := range strings.SplitSeq(b.sql, "; CREATE ") {
		if b.sql != "" {
			x.sql(x.hostile, words.Replace("CREATE "+strings.TrimPrefix(statement, "CREATE ")))
		}
	}
}

// holds looks at a tree that the node has written: all of it is the attacker's, nothing is
// more than a file, a directory or a link, none has a mode that gives rights away, and no
// secret of others has got in.
func (x *attack) holds(b burden) {
	password := passwordLine.FindStringSubmatch((&exam{e2eSite: x.hostile.victim}).file(e2eConfig))
	if password == nil {
		x.fail("the victim's wp-config.php has no password")
		return
	}
	odd := fmt.Sprintf(`\( -not -uid %d -o -perm /6000 -o -not -type f -not -type d -not -type l \)`, x.user.UID)
	x.asRoot(`odd="$(find "$D" ` + odd + ` -print)"; [ -z "$odd" ] || { echo "there is $odd"; exit 1; }`)
	for _, secret := range []string{password[1], closedText} {
		x.asRoot(`if grep -rlF -e '` + secret + `' "$D"; then echo "has what is not the attacker's to read"; exit 1; fi`)
	}
	if b.kept != "" {
		x.as(`cd "$D"; ` + b.kept)
	}
}
