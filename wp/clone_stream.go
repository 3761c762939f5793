package wp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/wp/proc"
)

// StreamBackup is a backup of an install that is read while it is written: nothing is stored
// in between. Close must be called, and ends the writing.
func (h *Host) StreamBackup(ctx context.Context, site Site, what BackupSelection, m BackupManifest) (*BackupReader, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := h.WriteBackup(ctx, site, what, m, w, nil)
		w.CloseWithError(err)
	}()
	stop := closerFunc(func() error {
		cancel()
		err := r.Close()
		<-ended
		return err
	})
	b, err := NewBackupReader(r)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	b.closer = stop
	return b, nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// KeepOptions gives the options table of one database those options that another database of
// the same user has: what the other lacks goes. Login links go in any case. It answers the
// number of rows that the table has then.
func (h *Host) KeepOptions(ctx context.Context, site Site, from, to Login, prefix string, names []string) (int64, error) {
	if err := site.check(); err != nil {
		return 0, err
	}
	if !prefixPattern.MatchString(prefix) {
		return 0, fmt.Errorf("keeping options: %q is no table prefix", prefix)
	}
	q := keepOptionsRequest{Name: to.Name, From: from.Name, User: to.User, Password: to.Password, Prefix: prefix, Options: names}
	q.Net, q.Addr = doorOf(to.Host, h.DB)
	hooks, _ := ctx.Value(hooksKey{}).(RunHooks)
	var rows int64
	err := proc.Call(ctx, site.User, proc.CallOptions{Timeout: databaseTime, Keep: hooks.Keep, Started: hooks.Started}, "wp.keepoptions", q, &rows)
	if err != nil {
		return 0, fmt.Errorf("keeping options: %w", err)
	}
	return rows, nil
}

type keepOptionsRequest struct {
	Net      string   `json:"net"`
	Addr     string   `json:"addr"`
	Name     string   `json:"name"`
	From     string   `json:"from"`
	User     string   `json:"user"`
	Password string   `json:"password"`
	Prefix   string   `json:"prefix"`
	Options  []string `json:"options"`
}

func init() {
	proc.Register("wp.keepoptions", func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var q keepOptionsRequest
		if err := json.Unmarshal(in, &q); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		return childKeepOptions(ctx, q)
	})
}

// childKeepOptions runs as the tenant, with the tenant's own login.
func childKeepOptions(ctx context.Context, q keepOptionsRequest) (rows int64, err error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd = q.Net, q.Addr, q.User, q.Password
	cfg.InterpolateParams = true
	setTimeouts(cfg, optionsTime, databaseTime)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return 0, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	from, to := quoteIdent(q.From)+"."+quoteIdent(q.Prefix+"options"), quoteIdent(q.Name)+"."+quoteIdent(q.Prefix+"options")
	names, marks := make([]any, len(q.Options)), make([]string, len(q.Options))
	for i, name := range q.Options {
		names[i], marks[i] = name, "?"
	}
	list := " (" + strings.Join(marks, ", ") + ")"
	_, err = db.ExecContext(ctx, "DELETE FROM "+to+" WHERE option_name LIKE 'wptk\\_login\\_%' OR option_name IN"+list, names...)
	if err == nil {
		_, err = db.ExecContext(ctx, "INSERT INTO "+to+" (option_name, option_value, autoload) SELECT option_name, option_value, autoload FROM "+from+" WHERE option_name IN"+list, names...)
	}
	if err == nil {
		err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+to).Scan(&rows)
	}
	return rows, classify("keeping options", err)
}
