package wp

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/wp/golden"
)

// enter opens a database with the login of its own user, who may do nothing elsewhere.
func (e *Engine) enter(c ConfigOptions) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = doorOf(c.DBHost, e.db)
	cfg.User, cfg.Passwd, cfg.DBName = c.DBUser, c.DBPassword, c.DBName
	cfg.Collation = "utf8mb4_general_ci"
	cfg.InterpolateParams = true
	// Strict, but without the modes that refuse the zero dates of WordPress (wpdb::set_sql_mode).
	cfg.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES'"}
	setTimeouts(cfg, 5*time.Second, time.Minute)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("entering database %s: its options do not fit together", c.DBName)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1) // one after the other: the server makes tables no faster side by side
	return db, nil
}

// readDump reads all tables of a database, rows in the order of their keys.
func (e *Engine) readDump(ctx context.Context, c ConfigOptions) (golden.Dump, error) {
	names, err := e.db.Tables(ctx, c.DBName)
	if err != nil {
		return nil, err
	}
	db, err := e.enter(c)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var all golden.Dump
	for _, name := range names {
		table := golden.Table{Name: name}
		if err := db.QueryRowContext(ctx, "SHOW CREATE TABLE "+quoteIdent(name)).Scan(&name, &table.Create); err != nil {
			return nil, classify("reading table "+name, err)
		}
		if err := readRows(ctx, db, &table); err != nil {
			return nil, classify("reading table "+name, err)
		}
		all = append(all, table)
	}
	return all, nil
}

func readRows(ctx context.Context, db *sql.DB, table *golden.Table) error {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+quoteIdent(table.Name))
	if err != nil {
		return err
	}
	defer rows.Close()
	if table.Columns, err = rows.Columns(); err != nil {
		return err
	}
	for rows.Next() {
		cells, into := make([]sql.NullString, len(table.Columns)), make([]any, len(table.Columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row := make([]golden.Cell, len(cells))
		for i, c := range cells {
			row[i] = golden.Cell{Text: c.String, Null: !c.Valid}
		}
		table.Rows = append(table.Rows, row)
	}
	slices.SortFunc(table.Rows, func(a, b []golden.Cell) int {
		return cmp.Or(cmp.Compare(len(a[0].Text), len(b[0].Text)), cmp.Compare(a[0].Text, b[0].Text))
	})
	return rows.Err()
}

// makeTables creates the tables, while the password is still being hashed.
func (e *Engine) makeTables(ctx context.Context, db *sql.DB, t *golden.Template, prefix string) error {
	for _, create := range t.Creates(prefix) {
		if _, err := db.ExecContext(ctx, create); err != nil {
			return classify("making tables", err)
		}
	}
	return nil
}

// fillTables writes all rows in one transaction.
func fillTables(ctx context.Context, db *sql.DB, tables golden.Dump) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return classify("filling tables", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing to take back
	for _, table := range tables {
		if len(table.Rows) == 0 {
			continue
		}
		var values []any
		for _, row := range table.Rows {
			for _, c := range row {
				if c.Null {
					values = append(values, nil)
				} else {
					values = append(values, c.Text)
				}
			}
		}
		columns := make([]string, len(table.Columns))
		for i, c := range table.Columns {
			columns[i] = quoteIdent(c)
		}
		marks := "(" + strings.Repeat("?,", len(columns)-1) + "?)"
		statement := "INSERT INTO " + quoteIdent(table.Name) + " (" + strings.Join(columns, ",") + ") VALUES " +
			strings.Repeat(marks+",", len(table.Rows)-1) + marks
		if _, err := tx.ExecContext(ctx, statement, values...); err != nil {
			return classify("filling table "+table.Name, err)
		}
	}
	return classify("filling tables", tx.Commit())
}

// readBack asks the database what came out, as install does for WP-CLI.
func readBack(ctx context.Context, db *sql.DB, v golden.Values, got *Installed) error {
	err := db.QueryRowContext(ctx, "SELECT (SELECT option_value FROM "+quoteIdent(v.Prefix+"options")+" WHERE option_name = 'siteurl'),"+
		" (SELECT option_value FROM "+quoteIdent(v.Prefix+"options")+" WHERE option_name = 'home'),"+
		" (SELECT COUNT(*) FROM "+quoteIdent(v.Prefix+"users")+" WHERE user_login = ? AND user_pass = ?)", v.Login, v.Hash).
		Scan(&got.SiteURL, &got.Home, &got.Tables)
	if err != nil {
		return classify("reading back what was filled in", err)
	}
	if got.SiteURL != v.URL || got.Home != v.URL || got.Tables != 1 {
		return fmt.Errorf("reading back what was filled in: %w: address %q and %q, %d administrators", ErrNotApplied, got.SiteURL, got.Home, got.Tables)
	}
	return nil
}

// FilledDoor is SiteDoor of a site that Fill has filled and whose code has not run yet: asked
// of its database alone, by the site's own login. hash is what Fill has written, where that is
// still known; without it the one that is there is tried, which takes as long as making it.
func (e *Engine) FilledDoor(ctx context.Context, login Login, prefix, admin, password, hash string) (Door, error) {
	if !prefixPattern.MatchString(prefix) {
		return Door{}, fmt.Errorf("entering a new database: table prefix %q may have letters, digits and _ only", prefix)
	}
	db, err := e.enter(ConfigOptions{DBName: login.Name, DBUser: login.User, DBPassword: login.Password, DBHost: login.Host})
	if err != nil {
		return Door{}, err
	}
	defer db.Close()
	var stored sql.NullString
	var door Door
	err = db.QueryRowContext(ctx, "SELECT LEFT(option_value, 2000), (SELECT user_pass FROM "+quoteIdent(prefix+"users")+" WHERE user_login = ?) FROM "+
		quoteIdent(prefix+"options")+" WHERE option_name = 'siteurl'", admin).Scan(&door.SiteURL, &stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Door{}, fmt.Errorf("reading a new database: %w", ErrNotInstalled)
	case err != nil:
		return Door{}, classify("reading a new database", err)
	case !stored.Valid:
		return door, fmt.Errorf("reading a new database: %w", ErrNoUser)
	}
	door.Opens = stored.String != "" && stored.String == hash || golden.Matches(stored.String, slashed(password))
	return door, nil
}
