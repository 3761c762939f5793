package main

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/wispanel/wptk/wp/proc"
)

// sqlCases use the login that the attacker's own wp-config.php holds, then names that would
// be SQL, and then a wp-config.php and tables that are not what they were.
func sqlCases(h *hostile) (all []hostileCase) {
	victim, own := h.victim.result.DBName, h.mallory.result.DBName
	out := h.state.dir("marks", "outfile")
	for i, statement := range []string{
		"SELECT * FROM `" + victim + "`.`" + h.victim.prefix() + "users`", "USE mysql; SELECT * FROM user", "SELECT * FROM mysql.global_priv", "SELECT value FROM precious.things",
		"SELECT 1 INTO OUTFILE '" + out + "'", "SELECT 1 INTO DUMPFILE '" + out + "'", "CREATE TABLE f (t TEXT); LOAD DATA INFILE '/etc/passwd' INTO TABLE f",
		"CREATE USER eve IDENTIFIED BY 'x'", "GRANT ALL ON *.* TO CURRENT_USER()", "GRANT ALL ON `" + own + "`.* TO PUBLIC", "SET GLOBAL general_log = 1", "SET GLOBAL local_infile = 1", "SHUTDOWN", "FLUSH TABLES WITH READ LOCK",
		"CREATE DATABASE eve", "CREATE DATABASE `" + strings.ReplaceAll(own, "_", "x") + "`", "CREATE DATABASE `" + own + "2`", "DROP DATABASE `" + victim + "`", "DROP TABLE `" + victim + "`.`" + h.victim.prefix() + "users`",
		"INSTALL SONAME 'ha_spider'", "CREATE FUNCTION sys_exec RETURNS INT SONAME 'udf.so'", "CHANGE MASTER TO MASTER_HOST = '127.0.0.1'", "SET PASSWORD FOR root@localhost = ''",
		"CREATE DEFINER = root@localhost VIEW v AS SELECT * FROM precious.things", "CREATE DEFINER = root@localhost PROCEDURE p() SELECT 1", "CREATE DEFINER = root@localhost EVENT e ON SCHEDULE EVERY 1 SECOND DO DROP DATABASE precious",
		"SET ROLE root", "KILL 1", "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')",
	} {
		all = append(all, hostileCase{name: fmt.Sprintf("%.60s", strings.NewReplacer(victim, "VICTIM", own, "OWN", h.state.dir(), "").Replace(statement)), short: i < 8, attack: func(x *attack) {
			if got, code := x.sql(h, statement); code == 0 {
				x.fail("the server does it: %.200s", got)
			}
		}})
	}
	all = append(all,
		hostileCase{name: "a file of the server", attack: func(x *attack) {
			got, _ := x.sql(h, "SELECT COALESCE(LOAD_FILE('/etc/passwd'), 'nothing')")
			x.check(strings.Contains(got, "nothing") || strings.Contains(got, "denied"), "the server reads it: %.100s", got)
		}},
		hostileCase{name: "what others are doing", attack: func(x *attack) {
			got, code := x.sql(h, "SELECT DISTINCT user FROM information_schema.processlist")
			x.check(code == 0 && !strings.Contains(got, "root") && !strings.Contains(got, h.victim.result.DBUser), "the server tells: %.200s", got)
		}},
		hostileCase{name: "which databases there are", attack: func(x *attack) {
			got, code := x.sql(h, "SHOW DATABASES")
			x.check(code == 0 && !strings.Contains(got, victim) && !strings.Contains(got, "precious"), "the server tells: %.200s", got)
		}},
	)
	for i, name := range []string{"%", "mysql", "wp_%", "a`b", "a'b", "x; DROP DATABASE precious", "../mysql", strings.Repeat("a", 65), "a\nb", "--host=x", "d\u00e4"} {
		all = append(all,
			hostileCase{name: fmt.Sprintf("the prefix %.30q", name), short: i < 3, attack: func(x *attack) { x.install("table_prefix", name) }},
			hostileCase{name: fmt.Sprintf("the database %.30q", name), short: i < 3, attack: func(x *attack) { x.install("db_name", name) }})
	}
	return append(all, configCases(h)...)
}

// install asks what an install with such a name would do: to be refused, or to be a wish that
// no other account's database can answer to. A dry run makes nothing.
func (x *attack) install(field, value string) {
	status, answer, _ := x.raw(x.hostile.keys["mallory"], http.MethodPost, apiRoot+"/wordpress/install",
		`{"domain":`+text(x.domain)+`,"path":"x","title":"x","admin_user":"eve","admin_email":"eve@example.com","dry_run":true,`+text(field)+`:`+text(value)+`}`)
	if field == "db_name" && status == http.StatusOK {
		return
	}
	x.mustRefuse(status, answer, http.StatusBadRequest)
}

// configCases lie to the toolkit about which database is the site's.
func configCases(h *hostile) (all []hostileCase) {
	victim := h.victim.result.DBName
	const sql = "x`; DROP DATABASE precious; -- "
	for name, lies := range map[string][]string{ // names and values, in pairs
		"the victim's database":          {"DB_NAME", victim},
		"the victim's database and user": {"DB_NAME", victim, "DB_USER", h.victim.result.DBUser},
		"the database of the server":     {"DB_NAME", "mysql", "DB_USER", "root", "DB_PASSWORD", ""},
		"a database that is a flag":      {"DB_NAME", "--all-databases"},
		"a database that is SQL":         {"DB_NAME", sql},
		"a prefix that is SQL":           {"table_prefix", sql},
	} {
		all = append(all, hostileCase{name: "wp-config.php with " + name, attack: func(x *attack) {
			x.keep()
			x.lies(lies)
			x.attempt("/inspect", nil)
			x.attempt("/search-replace", fields{"search": "as it was", "replace": "as it is not"})
			x.attempt("/password/reset", fields{"user": demoAdmin, "password": x.password})
		}}, hostileCase{name: "a site deleted with " + name, attack: func(x *attack) {
			y := x.second(nil)
			y.lies(lies)
			y.attemptOn(y.id, http.MethodDelete, "/delete", fields{"keep_backup": false})
			x.note(y.exam.err)
		}})
	}
	for name, statement := range map[string]string{
		"a trigger":                       "CREATE TRIGGER t AFTER INSERT ON wp_posts FOR EACH ROW SET @a = 1",
		"a table whose name is SQL":       "CREATE TABLE `wp_x``; DROP DATABASE precious; --` (a INT)",
		"a row that is a client's escape": "CREATE TABLE wp_esc AS SELECT '\\n\\\\! touch " + h.state.dir("marks", "escape") + "\\nsystem touch x\\n\\\\. /etc/passwd' AS a",
		"a comment with a new line":       "CREATE TABLE wp_note (a INT COMMENT '\\n\\\\! touch " + h.state.dir("marks", "comment") + "\\n') COMMENT '*/; DROP DATABASE precious; /*'",
		"a view of everything":            "CREATE VIEW wp_view AS SELECT * FROM information_schema.tables",
	} {
		all = append(all, hostileCase{name: "a clone of " + name, attack: func(x *attack) {
			y := x.second(nil)
			statement := strings.ReplaceAll(statement, "wp_", y.result.TablePrefix)
			if got, code := y.sql(h, statement); code != 0 && !strings.Contains(got, "denied") {
				x.fail("it cannot be planted: %s", got)
			}
			op := y.attemptOn(y.id, http.MethodPost, "/clone", fields{"source_id": y.id, "target_domain": x.hostile.spareDomain()})
			y.check(op.OperationID != "", "the clone was refused")
			x.note(y.exam.err)
		}})
	}
	return byName(all)
}

// lies changes what wp-config.php says.
func (x *attack) lies(pairs []string) {
	config := x.file(e2eConfig)
	for i := 0; i+1 < len(pairs); i += 2 {
		line := regexp.MustCompile(`(?m)^(define\( *'` + pairs[i] + `', *|\$` + pairs[i] + ` *= *)'[^']*'`)
		x.check(line.MatchString(config), "wp-config.php has no %s", pairs[i])
		config = line.ReplaceAllString(config, "${1}'"+pairs[i+1]+"'")
	}
	x.put(e2eConfig, config)
}

var passwordLine = regexp.MustCompile(`(?m)^define\( *'DB_PASSWORD', *'([^']*)'`)

// sql runs a statement with the site's own login, as the attacker would by hand.
func (x *attack) sql(h *hostile, statement string) (answer string, code int) {
	if x.exam.err != nil {
		return "", 0
	}
	password := passwordLine.FindStringSubmatch(x.file(e2eConfig))
	if password == nil {
		x.fail("wp-config.php has no password")
		return "", 0
	}
	var out bytes.Buffer
	exit, err := proc.Run(x.ctx, proc.Spec{Path: h.maria, As: x.user, Dir: filepath.Dir(x.docroot()),
		Args: []string{"--no-defaults", "--socket=" + h.stack.mariadb.Socket, "--user=" + x.result.DBUser, "--batch", "--skip-column-names", x.result.DBName},
		Env:  append([]string{"MYSQL_PWD=" + password[1]}, toolEnv...), Stdin: strings.NewReader(statement + ";\n"), Stdout: &out, Stderr: &out})
	x.note(err)
	return out.String(), exit.Code
}
