package wp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/wp/proc"
)

// What is in this file runs as the tenant; inspect_child.go says why.

func init() {
	proc.Register("wp.tables", func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var request tablesRequest
		if err := json.Unmarshal(in, &request); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		return answerTables(childTables(ctx, request)), nil
	})
}

// answerTables tells a server that says no from one that does not answer.
func answerTables(answer tablesAnswer, err error) tablesAnswer {
	var server *mysql.MySQLError
	switch {
	case errors.As(err, &server) && classOf(err) == nil:
		return tablesAnswer{Refused: reasonOf(err)}
	case err != nil:
		return tablesAnswer{Away: true}
	}
	return answer
}

type tablesRequest struct {
	Net      string `json:"net"`
	Addr     string `json:"addr"`
	Name     string `json:"name"`
	User     string `json:"user"`
	Password string `json:"password"`

	Drop   bool     `json:"drop,omitempty"`
	Whole  bool     `json:"whole,omitempty"`
	Tables []string `json:"tables,omitempty"`
}

type tableInfo struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

type tablesAnswer struct {
	Tables  []tableInfo `json:"tables,omitempty"`
	Refused string      `json:"refused,omitempty"` // for people
	Away    bool        `json:"away,omitempty"`
}

func childTables(ctx context.Context, q tablesRequest) (tablesAnswer, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = q.Net, q.Addr, q.User, q.Password
	cfg.InterpolateParams = true
	setTimeouts(cfg, optionsTime, databaseTime)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return tablesAnswer{}, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1) // the session's settings below are for one connection
	if q.Drop {
		return tablesAnswer{}, childDrop(ctx, db, q)
	}
	// Not only from information_schema, which hides what is not ours to see as if it were not there.
	if _, err := db.ExecContext(ctx, "USE "+quoteIdent(q.Name)); err != nil {
		return tablesAnswer{}, err
	}
	rows, err := db.QueryContext(ctx,
		"SELECT TABLE_NAME, CAST(COALESCE(DATA_LENGTH + INDEX_LENGTH, 0) AS SIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?", q.Name)
	if err != nil {
		return tablesAnswer{}, err
	}
	defer rows.Close()
	var answer tablesAnswer
	for rows.Next() {
		var t tableInfo
		if err := rows.Scan(&t.Name, &t.Bytes); err != nil {
			return tablesAnswer{}, err
		}
		answer.Tables = append(answer.Tables, t)
	}
	return answer, rows.Err()
}

func childDrop(ctx context.Context, db *sql.DB, q tablesRequest) error {
	if q.Whole {
		_, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+quoteIdent(q.Name))
		return err
	}
	if _, err := db.ExecContext(ctx, "SET FOREIGN_KEY_CHECKS = 0"); err != nil {
		return err
	}
	for _, table := range q.Tables {
		var kind string
		err := db.QueryRowContext(ctx,
			"SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", q.Name, table).Scan(&kind)
		if errors.Is(err, sql.ErrNoRows) {
			continue // by an earlier run
		}
		verb := "DROP TABLE IF EXISTS "
		if kind == "VIEW" {
			verb = "DROP VIEW IF EXISTS "
		}
		if err == nil {
			_, err = db.ExecContext(ctx, verb+quoteIdent(q.Name)+"."+quoteIdent(table))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
