package wp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/wp/proc"
	"github.com/wispanel/wptk/wp/rewrite"
)

// What is in this file runs as the tenant; inspect_child.go says why.

func init() {
	proc.Register("wp.count", func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var request countRequest
		if err := json.Unmarshal(in, &request); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		answer, err := childCount(ctx, request)
		var server *mysql.MySQLError
		switch {
		case errors.As(err, &server) && classOf(err) == nil:
			return countAnswer{Refused: reasonOf(err)}, nil
		case err != nil && ctx.Err() == nil:
			return countAnswer{Away: true}, nil
		}
		return answer, err
	})
}

// countTime is for the largest shops: every text of the database is read.
const countTime = 30 * time.Minute

type countRequest struct {
	Net      string `json:"net"`
	Addr     string `json:"addr"`
	Name     string `json:"name"`
	User     string `json:"user"`
	Password string `json:"password"`

	Texts      []string `json:"texts,omitempty"` // none: rows are counted
	Unreadable bool     `json:"unreadable,omitempty"`
}

type countAnswer struct {
	Rows     map[string]int64 `json:"rows,omitempty"`
	Columns  []columnCount    `json:"columns,omitempty"`
	Views    []string         `json:"views,omitempty"`    // that do not work
	Routines []string         `json:"routines,omitempty"` // whose text is not shown
	Refused  string           `json:"refused,omitempty"`  // for people
	Away     bool             `json:"away,omitempty"`
}

type columnCount struct {
	Text   int    `json:"text"` // which of the texts
	Table  string `json:"table"`
	Column string `json:"column"`
	Cells  int64  `json:"cells"`
}

func childCount(ctx context.Context, q countRequest) (countAnswer, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName, cfg.User, cfg.Passwd = q.Net, q.Addr, q.Name, q.User, q.Password
	cfg.InterpolateParams = true
	cfg.Collation = "utf8mb4_bin"
	setTimeouts(cfg, optionsTime, countTime)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return countAnswer{}, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}) // one moment for all tables
	if err != nil {
		return countAnswer{}, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	switch {
	case q.Unreadable:
		return findUnreadable(ctx, tx, q.Name)
	case len(q.Texts) > 0:
		return countText(ctx, tx, q)
	}
	tables, err := pairs(ctx, tx, `SELECT TABLE_NAME, '' FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = ? AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_NAME <> ?`, q.Name, claimTable)
	if err != nil {
		return countAnswer{}, err
	}
	answer := countAnswer{Rows: map[string]int64{}}
	for _, t := range tables {
		var n int64
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+quoteIdent(t[0])).Scan(&n); err != nil {
			return countAnswer{}, err
		}
		answer.Rows[t[0]] = n
	}
	return answer, nil
}

// findUnreadable finds what is there and cannot be dumped.
func findUnreadable(ctx context.Context, tx *sql.Tx, db string) (answer countAnswer, err error) {
	views, err := pairs(ctx, tx, "SELECT TABLE_NAME, '' FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'VIEW' ORDER BY 1", db)
	if err != nil {
		return answer, err
	}
	for _, v := range views { // nothing but asking each as mariadb-dump does tells
		err := showFields(ctx, tx, v[0])
		var server *mysql.MySQLError
		switch {
		case errors.As(err, &server) && classOf(err) == nil:
			answer.Views = append(answer.Views, v[0])
		case err != nil:
			return answer, err
		}
	}
	routines, err := pairs(ctx, tx, "SELECT ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? AND ROUTINE_DEFINITION IS NULL ORDER BY 1", db)
	for _, r := range routines {
		answer.Routines = append(answer.Routines, r[0])
	}
	return answer, err
}

func showFields(ctx context.Context, tx *sql.Tx, view string) error {
	rows, err := tx.QueryContext(ctx, "SHOW FIELDS FROM "+quoteIdent(view))
	if err != nil {
		return err
	}
	defer rows.Close()
	return rows.Err()
}

func countText(ctx context.Context, tx *sql.Tx, q countRequest) (countAnswer, error) {
	columns, err := pairs(ctx, tx, `SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c
		JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
		WHERE c.TABLE_SCHEMA = ? AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
		AND c.DATA_TYPE IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext') ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION`, q.Name)
	if err != nil {
		return countAnswer{}, err
	}
	looks := make([]textLook, len(q.Texts))
	for i, text := range q.Texts {
		looks[i] = newTextLook(text)
	}
	var answer countAnswer
	for len(columns) > 0 {
		n := 1
		for n < len(columns) && columns[n][0] == columns[0][0] {
			n++
		}
		counts, err := countTable(ctx, tx, columns[:n], looks)
		if err != nil {
			return countAnswer{}, err
		}
		answer.Columns = append(answer.Columns, counts...)
		columns = columns[n:]
	}
	return answer, nil
}

// textLook looks for one text.
type textLook struct {
	like string // what the server looks for: every cell with the text has it
	all  *rewrite.Rewriter
}

func newTextLook(text string) textLook {
	part := "" // the longest of it that no form writes in another way
	for _, p := range strings.FieldsFunc(text, func(r rune) bool { return r == '/' || r == ':' || r == '-' }) {
		if len(p) > len(part) {
			part = p
		}
	}
	return textLook{"%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(part) + "%", rewrite.New(rewrite.Traces(text))}
}

// countTable reads a table once, for all of its text columns and all texts.
func countTable(ctx context.Context, tx *sql.Tx, columns [][2]string, looks []textLook) ([]columnCount, error) {
	var selects, wheres []string
	var args []any
	for _, c := range columns {
		selects = append(selects, quoteIdent(c[1]))
		for _, look := range looks {
			wheres = append(wheres, quoteIdent(c[1])+" LIKE BINARY ?")
			args = append(args, look.like)
		}
	}
	rows, err := tx.QueryContext(ctx, "SELECT "+strings.Join(selects, ", ")+" FROM "+quoteIdent(columns[0][0])+" WHERE "+strings.Join(wheres, " OR "), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cells, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	counts := make([]int64, len(columns)*len(looks))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, cell := range cells {
			for j, look := range looks {
				if look.all.Count(cell) > 0 {
					counts[i*len(looks)+j]++
				}
			}
		}
	}
	var out []columnCount
	for i, n := range counts {
		if column := columns[i/len(looks)]; n > 0 {
			out = append(out, columnCount{i % len(looks), column[0], column[1], n})
		}
	}
	return out, rows.Err()
}

// pairs reads two columns of text.
func pairs(ctx context.Context, tx *sql.Tx, query string, args ...any) ([][2]string, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][2]string
	for rows.Next() {
		var p [2]string
		if err := rows.Scan(&p[0], &p[1]); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}
