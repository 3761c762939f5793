package wp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Errors of the database server, for errors.Is.
var (
	// ErrExists: a database or user of that name is there already.
	ErrExists = errors.New("exists already")
	// ErrUnavailable: the server cannot work just now (connection lost, too many
	// connections, shutting down, lock wait). Trying again later makes sense.
	ErrUnavailable = errors.New("database server unavailable")
	// ErrDatabaseFull: the server's disk is full.
	ErrDatabaseFull = errors.New("database server has no space left")
)

// Admin creates and removes tenants' databases and users. It works on MariaDB
// 10.5+ and MySQL 8+, over a small pool of its own: tenants' credentials never
// meet this connection, and its credentials never reach a tenant's process.
type Admin struct {
	db   *sql.DB
	addr string // host:port or socket path, as in the DSN
	net  string // "tcp" or "unix"
}

// NewAdmin opens the pool; it connects at first use. The DSN is of go-sql-driver
// form. Options that let a server or a tenant's value do more than one statement
// are refused.
func NewAdmin(dsn string) (*Admin, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		// The driver's error may quote the DSN, which holds the password.
		return nil, errors.New("reading database DSN: not of the form user:password@tcp(host:port)/ or user:password@unix(socket)/")
	}
	if cfg.MultiStatements || cfg.AllowAllFiles {
		return nil, errors.New("reading database DSN: multiStatements and allowAllFiles are not allowed")
	}
	cfg.DBName = ""
	// CREATE USER takes no prepared parameters, so the driver quotes them, by the
	// rules of the session's SQL mode.
	cfg.InterpolateParams = true
	setTimeouts(cfg, 5*time.Second, 30*time.Second)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, errors.New("reading database DSN: options do not fit together")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(time.Minute)
	db.SetConnMaxLifetime(10 * time.Minute)
	return &Admin{db: db, addr: cfg.Addr, net: cfg.Net}, nil
}

// setTimeouts only fills in what the DSN leaves open.
func setTimeouts(cfg *mysql.Config, dial, io time.Duration) {
	if cfg.Timeout == 0 {
		cfg.Timeout = dial
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = io
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = io
	}
	cfg.Logger = &mysql.NopLogger{} // its errors reach us as errors
}

// Close ends the pool.
func (a *Admin) Close() error { return a.db.Close() }

// Ping says whether the server answers.
func (a *Admin) Ping(ctx context.Context) error {
	return classify("pinging database server", a.db.PingContext(ctx))
}

// CreateDatabase makes an empty utf8mb4 database, ErrExists when there is one:
// whose that is, only the caller's journal knows.
func (a *Admin) CreateDatabase(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return a.exec(ctx, "creating database "+name, "CREATE DATABASE "+quoteIdent(name)+" CHARACTER SET utf8mb4")
}

// DropDatabase removes a database; none is no error.
func (a *Admin) DropDatabase(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return a.exec(ctx, "dropping database "+name, "DROP DATABASE IF EXISTS "+quoteIdent(name))
}

// DatabaseExists looks a database up.
func (a *Admin) DatabaseExists(ctx context.Context, name string) (bool, error) {
	return a.exists(ctx, "looking up database", "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", name)
}

// UserExists looks up user@host.
func (a *Admin) UserExists(ctx context.Context, user, host string) (bool, error) {
	return a.exists(ctx, "looking up database user", "SELECT COUNT(*) FROM mysql.user WHERE User = ? AND Host = ?", user, host)
}

// CreateUser makes user@host with a password and no privileges, ErrExists when
// there is one.
func (a *Admin) CreateUser(ctx context.Context, user, host, password string) error {
	err := a.account(ctx, "creating database user", "CREATE USER %s IDENTIFIED BY ?", user, host, password)
	var server *mysql.MySQLError
	if errors.As(err, &server) && server.Number == cannotUser {
		return fmt.Errorf("creating database user %s: %w: %w", user, ErrExists, server)
	}
	return err
}

// EnsureUser is CreateUser, or SetPassword where the user exists. For users of
// whom the caller knows that they are its own.
func (a *Admin) EnsureUser(ctx context.Context, user, host, password string) error {
	err := a.CreateUser(ctx, user, host, password)
	if errors.Is(err, ErrExists) {
		return a.SetPassword(ctx, user, host, password)
	}
	return err
}

// SetPassword changes the password of user@host.
func (a *Admin) SetPassword(ctx context.Context, user, host, password string) error {
	return a.account(ctx, "setting database password", "ALTER USER %s IDENTIFIED BY ?", user, host, password)
}

// DropUser removes user@host; none is no error.
func (a *Admin) DropUser(ctx context.Context, user, host string) error {
	at, err := quoteAccount(user, host)
	if err != nil {
		return err
	}
	return a.exec(ctx, "dropping database user "+user, "DROP USER IF EXISTS "+at)
}

// Grant gives user@host everything on the one database that stays inside it.
// FILE, PROCESS and SUPER are global and so never part of it, nor is GRANT
// OPTION. In a GRANT _ and % are wildcards even inside backticks: unescaped,
// a_wp would open axwp too.
func (a *Admin) Grant(ctx context.Context, db, user, host string) error {
	if err := checkName(db); err != nil {
		return err
	}
	at, err := quoteAccount(user, host)
	if err != nil {
		return err
	}
	return a.exec(ctx, "granting database "+db, "GRANT ALL PRIVILEGES ON "+quoteGrant(db)+".* TO "+at)
}

// Tables lists the tables of a database by name.
func (a *Admin) Tables(ctx context.Context, db string) ([]string, error) {
	rows, err := a.db.QueryContext(ctx, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME", db)
	if err != nil {
		return nil, classify("listing tables of "+db, err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, classify("listing tables of "+db, err)
		}
		names = append(names, name)
	}
	return names, classify("listing tables of "+db, rows.Err())
}

func (a *Admin) account(ctx context.Context, doing, statement, user, host, password string) error {
	at, err := quoteAccount(user, host)
	if err != nil {
		return err
	}
	if password == "" {
		return fmt.Errorf("%s %s: empty password", doing, user)
	}
	return a.exec(ctx, doing+" "+user, fmt.Sprintf(statement, at), password)
}

func (a *Admin) exec(ctx context.Context, doing, statement string, args ...any) error {
	_, err := a.db.ExecContext(ctx, statement, args...)
	return classify(doing, err)
}

func (a *Admin) exists(ctx context.Context, doing, query string, args ...any) (bool, error) {
	var n int
	if err := a.db.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return false, classify(doing, err)
	}
	return n > 0, nil
}

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:-]{0,59}$`)
)

// checkName is the second wall: the quoting below would be enough.
func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("database name %q: only a-z, 0-9 and _ are used", name)
	}
	return nil
}

func quoteAccount(user, host string) (string, error) {
	if err := checkName(user); err != nil {
		return "", err
	}
	if len(user) > 32 {
		return "", fmt.Errorf("database user %q: longer than 32 characters", user)
	}
	if !hostPattern.MatchString(host) {
		return "", fmt.Errorf("database host %q: an exact host is needed, no wildcard", host)
	}
	return quoteIdent(user) + "@" + quoteIdent(host), nil
}

func quoteIdent(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// quoteGrant quotes the database part of a GRANT, wildcards escaped.
func quoteGrant(name string) string {
	return quoteIdent(strings.NewReplacer(`\`, `\\`, `_`, `\_`, `%`, `\%`).Replace(name))
}
