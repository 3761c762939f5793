package rewrite

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func filtered(t testing.TB, f Filter, in string) (string, Stats) {
	t.Helper()
	var out bytes.Buffer
	stats, err := f.Copy(&out, strings.NewReader(in))
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	// However the bytes come in, the outcome is the same.
	var slow bytes.Buffer
	if again, err := f.Copy(&slow, iotest.OneByteReader(strings.NewReader(in))); err != nil || slow.String() != out.String() || !cmp.Equal(again, stats) {
		t.Fatalf("byte by byte it becomes %q, %v", slow.String(), err)
	}
	return out.String(), stats
}

func TestRealDumpPassesUnchangedButForItsDefiners(t *testing.T) {
	t.Parallel()
	dump, err := os.ReadFile("testdata/mariadb-10.11.sql")
	if err != nil {
		t.Fatal(err)
	}
	got, stats := filtered(t, Filter{}, string(dump))
	want := strings.NewReplacer("DEFINER=`tenant`@`127.0.0.1`", "", "DEFINER=`dump_other`@`localhost`", "").Replace(string(dump))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	rows := map[string]int64{}
	for _, table := range stats.Tables {
		rows[table.Name] = table.Rows
	}
	if diff := cmp.Diff(map[string]int64{"wp_options": 5, "wp_odd": 2, "wp_old3": 1, "wp_parent": 2, "wp_child": 2, "wp_log": 0}, rows); diff != "" || !stats.Complete {
		t.Errorf("rows (-want +got)\n%s%+v", diff, stats)
	}
}

// Whoever restores one table has to find it in the list, though nothing may be in it.
func TestTablesWithoutRowsAreListed(t *testing.T) {
	t.Parallel()
	_, stats := filtered(t, Filter{Prefix: [2]string{"wp_", "new_"}, Skip: func(table string) bool { return table == "wp_skipped" }},
		"CREATE TABLE `wp_empty` (`a` int) ENGINE=InnoDB;\n"+
			"CREATE TABLE `wp_skipped` (`a` int);\n"+
			"CREATE SEQUENCE `wp_seq` start with 1;\n"+
			"/*!50001 CREATE VIEW `wp_v` AS SELECT 1 AS `a`*/;\n"+
			"/*!50001 CREATE TABLE `wp_old_view` (`a` tinyint NOT NULL) ENGINE=MyISAM */;\n"+ // how older servers hold a view's place
			"CREATE TABLE IF NOT EXISTS `wp_full` (`a` int);\nINSERT INTO `wp_full` VALUES (1),(2);\nINSERT INTO `wp_full` VALUES (3);\n"+
			"CREATE TABLE `wp_both` (`a` int COMMENT 'ENGINE=FEDERATED') ENGINE=MRG_MyISAM UNION=(`wp_full`);\n"+
			"/*!50001 DROP TABLE IF EXISTS `wp_old_view`*/;\n"+
			"/*!50001 CREATE ALGORITHM=UNDEFINED VIEW `wp_old_view` AS select 1 AS `a` */;\n"+
			"INSERT INTO `wp_undefined` VALUES (1);\n")
	want := []TableStats{{Name: "new_empty"}, {Name: "new_full", Rows: 3}, {Name: "new_undefined", Rows: 1}}
	if diff := cmp.Diff(want, stats.Tables); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPrefixIsRenamedWhereTablesAreNamed(t *testing.T) {
	t.Parallel()
	f := Filter{Prefix: [2]string{"wp_", "new_"}, Schema: [2]string{"blog", "blog_r1"}}
	for _, tc := range []struct{ in, want string }{
		{"DROP TABLE IF EXISTS `wp_a`;", "DROP TABLE IF EXISTS `new_a`;"},
		{"/*!50001 DROP VIEW IF EXISTS `wp_v`*/;", "/*!50001 DROP VIEW IF EXISTS `new_v`*/;"},
		{"CREATE TABLE `wp_a` (\n `wp_col` int DEFAULT 'wp_a',\n KEY `wp_k` (`wp_col`),\n CONSTRAINT `wp_fk` FOREIGN KEY (`wp_col`) REFERENCES `wp_b` (`wp_id`)\n) COMMENT='wp_a';",
			"CREATE TABLE `new_a` (\n `wp_col` int DEFAULT 'wp_a',\n KEY `wp_k` (`wp_col`),\n CONSTRAINT `wp_fk` FOREIGN KEY (`wp_col`) REFERENCES `new_b` (`wp_id`)\n) COMMENT='wp_a';"},
		{"LOCK TABLES `wp_a` WRITE;", "LOCK TABLES `new_a` WRITE;"},
		{"INSERT INTO `wp_a` VALUES ('wp_a');", "INSERT INTO `new_a` VALUES ('wp_a');"},
		{"INSERT INTO `other` VALUES ('wp_a');", "INSERT INTO `other` VALUES ('wp_a');"},
		{"/*!40000 ALTER TABLE `wp_a` DISABLE KEYS */;", "/*!40000 ALTER TABLE `new_a` DISABLE KEYS */;"},
		{"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`x`@`%` SQL SECURITY DEFINER */\n/*!50001 VIEW `wp_v` AS select `wp_a`.`wp_col` AS `wp_a`,`p`.`wp_x` AS `x` from ((`wp_a` join `wp_b` `p` on(`p`.`id` = `wp_a`.`id`)) left join `blog`.`wp_c` on(1)) where `wp_a`.`wp_col` = 'wp_a' */;",
			"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013  SQL SECURITY DEFINER */\n/*!50001 VIEW `new_v` AS select `new_a`.`wp_col` AS `wp_a`,`p`.`wp_x` AS `x` from ((`new_a` join `new_b` `p` on(`p`.`id` = `new_a`.`id`)) left join `blog_r1`.`new_c` on(1)) where `new_a`.`wp_col` = 'wp_a' */;"},
		{"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=root@localhost*/ /*!50003 TRIGGER wp_t AFTER INSERT ON wp_a FOR EACH ROW BEGIN -- don't; ;\n DECLARE wp_n INT; SELECT COUNT(*) INTO wp_n FROM wp_b, wp_c b WHERE wp_b.wp_id = b.id; INSERT INTO wp_log (wp_what) VALUES ('wp_a'); UPDATE wp_b SET wp_x = 1; END */;;\nDELIMITER ;\n",
			"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER wp_t AFTER INSERT ON `new_a` FOR EACH ROW BEGIN -- don't; ;\n DECLARE wp_n INT; SELECT COUNT(*) INTO wp_n FROM `new_b`, `new_c` b WHERE `new_b`.wp_id = b.id; INSERT INTO `new_log` (wp_what) VALUES ('wp_a'); UPDATE `new_b` SET wp_x = 1; END */;;\nDELIMITER ;\n"},
		{"ALTER DATABASE `blog` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;", "ALTER DATABASE  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;"},
		{"CREATE TABLE `wp_options` (`option_id` int,`option_name` text,`option_value` text);INSERT INTO `wp_options` VALUES (1,'wp_user_roles','wp_user_roles'),(2,'wp_other','');",
			"CREATE TABLE `new_options` (`option_id` int,`option_name` text,`option_value` text);INSERT INTO `new_options` VALUES (1,'new_user_roles','wp_user_roles'),(2,'wp_other','');"},
		{"INSERT INTO `wp_2_options` (`option_name`,`option_value`) VALUES ('wp_2_user_roles',''),('wp_user_roles','');",
			"INSERT INTO `new_2_options` (`option_name`,`option_value`) VALUES ('new_2_user_roles',''),('wp_user_roles','');"},
		{"INSERT INTO `wp_usermeta` (`umeta_id`,`meta_key`) VALUES (1,'wp_capabilities'),(2,'wp_2_user_level'),(3,'nickname'),(4,'wp_user-settings');",
			"INSERT INTO `new_usermeta` (`umeta_id`,`meta_key`) VALUES (1,'new_capabilities'),(2,'new_2_user_level'),(3,'nickname'),(4,'new_user-settings');"},
	} {
		if got, _ := filtered(t, f, tc.in); got != tc.want {
			t.Errorf("%s\n  became %s\n  want   %s", tc.in, got, tc.want)
		}
	}
}

func TestRowsAreRewrittenAndCounted(t *testing.T) {
	t.Parallel()
	f := Filter{Rewriter: New(SiteRules(oldSite, newSite)), Skip: func(table string) bool { return table == "wp_skip" }}
	in := "CREATE TABLE `wp_posts` (`ID` int, `guid` text, `c` text);\nLOCK TABLES `wp_skip` WRITE;\nINSERT INTO `wp_skip` VALUES ('x');\n" +
		`INSERT INTO ` + "`wp_posts`" + ` VALUES (1,'https://old.test/?p=1','it\'s "https://old.test"\n;('),(-2,NULL,0x6f6c642e74657374),` + "\n" +
		`(3,'','a:1:{i:0;s:16:\"https://old.test\";}'),(4,'',_binary 'old.test'),(5,'','s:3:\"old.test\";');` + "\n-- Dump completed\n"
	got, stats := filtered(t, f, in)
	want := "CREATE TABLE `wp_posts` (`ID` int, `guid` text, `c` text);\n\n\n" +
		`INSERT INTO ` + "`wp_posts`" + ` VALUES (1,'https://old.test/?p=1','it\'s \"https://clone.example.org\"\n;('),(-2,NULL,0x6f6c642e74657374),` + "\n" +
		`(3,'','a:1:{i:0;s:25:\"https://clone.example.org\";}'),(4,'',_binary 'old.test'),(5,'','s:3:\"old.test\";');` + "\n-- Dump completed\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff(Stats{Tables: []TableStats{{"wp_posts", 5, 2}}, Statements: 4, BrokenLeft: 1, Complete: true}, stats); diff != "" {
		t.Error(diff)
	}
	f.GUID = true
	if got, _ := filtered(t, f, in); !strings.Contains(got, `(1,'https://clone.example.org/?p=1'`) {
		t.Errorf("guid is not rewritten: %s", got)
	}
}

func TestValuesKeepWhatTheirColumnsHold(t *testing.T) {
	t.Parallel()
	in := "CREATE TABLE `t` (`e` enum('old.test'), `v` varchar(10) NOT NULL, `w` varchar(17), `y` tinytext, `n` int, KEY (`v`));\n" +
		"INSERT INTO `t` VALUES ('old.test','old.test','old.test','old.test " + strings.Repeat("é", 120) + "',1);\n" +
		"INSERT INTO `t` (`w`, `e`) VALUES ('old.test','old.test');\n"
	want := strings.NewReplacer("'old.test','old.test','old.test','old.test é", "'old.test','old.test','clone.example.org','old.test é", "('old.test','old.test');", "('clone.example.org','old.test');").Replace(in)
	got, stats := filtered(t, Filter{Rewriter: New(SiteRules(oldSite, newSite))}, in)
	if got != want || stats.BrokenLeft != 2 || stats.Tables[0].Changed != 2 {
		t.Errorf("%+v\n%s\nwant\n%s", stats, got, want)
	}
}

func TestWhatDoesNotBelongInADumpIsRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"USE mysql;", "CREATE DATABASE x;", "DROP DATABASE x;", "GRANT ALL ON *.* TO x;", "SET GLOBAL x = 1;", "SET @@global.x = 1;", "SET PASSWORD = 'x';",
		"DROP TABLE other.t;", "DROP TABLE a, other.b;", "CREATE TABLE `other`.`t` (a int);", "INSERT INTO other.t VALUES (1);", "ALTER TABLE other.t ADD a int;",
		"/*!50001 DROP DATABASE x */;", "/*M!100000 DROP DATABASE x */;", "\\! id\n;", "system id\n;", "source /etc/passwd\n;",
		"INSERT INTO t SELECT * FROM other.t;", "INSERT INTO t VALUES (SLEEP(9));", "INSERT INTO t VALUES ((SELECT 1));", "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=1;",
		"INSERT INTO t VALUES (1) /*!; DROP DATABASE x */;", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES ('x", "LOAD DATA INFILE 'x' INTO TABLE t;", "SELECT 1;", "CALL x();",
		"DELETE FROM t;", "CREATE USER x;", "ALTER USER x;", "DO SLEEP(1);", "DELIMITER\n", "DELIMITER a\n", "LOCK TABLES mysql.user WRITE;", "HANDLER x OPEN;", "PREPARE x FROM 'y';", "/*", "/*!", "'", "`",
		"SET STATEMENT max_statement_time=1 FOR DROP DATABASE x;", "CREATE TEMPORARY TABLE x (a int);", "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x');", "INSTALL PLUGIN x SONAME 'y';",
	} {
		_, err := Filter{}.Copy(io.Discard, strings.NewReader(in))
		if !errors.Is(err, ErrStatement) {
			t.Errorf("%q: %v", in, err)
		}
	}
	_, err := Filter{}.Copy(io.Discard, strings.NewReader("SET NAMES utf8;\n\nSELECT 'secret';"))
	if err == nil || !strings.Contains(err.Error(), "line 3") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
}

func TestBrokenStreamsAreErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := (Filter{}).Copy(io.Discard, io.MultiReader(strings.NewReader("INSERT INTO t VALUES (1"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("source: %v", err)
	}
	r, w := io.Pipe()
	r.CloseWithError(broken)
	if _, err := (Filter{}).Copy(w, strings.NewReader("SET NAMES utf8;")); !errors.Is(err, broken) {
		t.Errorf("destination: %v", err)
	}
	long := io.MultiReader(strings.NewReader("INSERT INTO t VALUES ('"), io.LimitReader(endless{}, maxValue+1<<20))
	if _, err := (Filter{}).Copy(io.Discard, long); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("endless value: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// What is written into a dump comes out of it as Text makes it, whatever bytes it has.
func TestValuesGoThroughADumpAsTextRewritesThem(t *testing.T) {
	t.Parallel()
	w := New(SiteRules(oldSite, newSite))
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{"old.test", "https://old.test", `s:8:"old.test";`, "'", `"`, `\`, "\n", "\x00", "\x1a", ";", "),(", "`"}), rapid.String()), 0, 8)
		values := rapid.SliceOfN(parts, 1, 4).Draw(t, "values")
		in, want := "INSERT INTO `t` VALUES ", "INSERT INTO `t` VALUES "
		for i, value := range values {
			text := []byte(strings.Join(value, ""))
			out, _ := w.Text(text)
			if i > 0 {
				in, want = in+",\n", want+",\n"
			}
			in += "(1,'" + string(escape(nil, text)) + "',NULL)"
			want += "(1,'" + string(escape(nil, out)) + "',NULL)"
		}
		var got bytes.Buffer
		if _, err := (Filter{Rewriter: w}).Copy(&got, strings.NewReader(in+";\n")); err != nil || got.String() != want+";\n" {
			t.Fatalf("%s\nbecame %s\nwant   %s\n%v", in, got.String(), want, err)
		}
	})
}

func FuzzFilter(f *testing.F) {
	dump, err := os.ReadFile("testdata/mariadb-10.11.sql")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(dump)
	for _, s := range []string{"INSERT INTO `wp_a` VALUES (1,'https://old.test','a\\'b''c'),(NULL);", "DELIMITER ;;\nCREATE TRIGGER t AFTER INSERT ON wp_a FOR EACH ROW BEGIN END ;;\nDELIMITER ;\n",
		"/*!50001 CREATE VIEW `wp_v` AS select 1 AS `a` */;", "SET sql_mode='NO_BACKSLASH_ESCAPES';", "ALTER DATABASE `x` COLLATE y;", "CREATE TABLE `wp_a` (`a` int, KEY (`a`)) UNION=(`wp_b`);"} {
		f.Add([]byte(s))
	}
	all := Filter{Rewriter: New(SiteRules(oldSite, newSite)), Prefix: [2]string{"wp_", "new_"}, Schema: [2]string{"blog", "blog_r1"}}
	f.Fuzz(func(t *testing.T, s []byte) {
		var out, again bytes.Buffer
		stats, err := all.Copy(&out, bytes.NewReader(s))
		slow, err2 := all.Copy(&again, iotest.OneByteReader(bytes.NewReader(s)))
		if (err == nil) != (err2 == nil) || err == nil && (!bytes.Equal(out.Bytes(), again.Bytes()) || !cmp.Equal(stats, slow)) {
			t.Fatalf("%q: %v or %v, %q or %q", s, err, err2, out.Bytes(), again.Bytes())
		}
		if err != nil {
			return
		}
		// What has passed passes again: nothing that is made here would be refused.
		var third bytes.Buffer
		if _, err := (Filter{}).Copy(&third, bytes.NewReader(out.Bytes())); err != nil || !bytes.Equal(third.Bytes(), out.Bytes()) {
			t.Fatalf("%q became %q, which becomes %q, %v", s, out.Bytes(), third.Bytes(), err)
		}
	})
}
