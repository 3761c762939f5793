package main

import (
	"bufio"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/cmd/internal/verdict"
	"github.com/wispanel/wptk/wp"
)

// tables are those of WordPress, but for the one that holds anything here.
var tables = []string{"commentmeta", "comments", "links", "postmeta", "posts", "term_relationships",
	"term_taxonomy", "termmeta", "terms", "usermeta", "users"}

// connect uses the site's own configuration, as WordPress would.
func (s *shim) connect() (*sql.DB, wp.Config, error) {
	raw, err := os.ReadFile(filepath.Join(s.path, "wp-config.php"))
	if err != nil {
		return nil, wp.Config{}, fmt.Errorf("reading wp-config.php: %w", err)
	}
	config, err := wp.ParseConfig(raw)
	if err != nil {
		return nil, config, err
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName, c.Net, c.Addr = config.DBUser, config.DBPassword, config.DBName, "tcp", config.DBHost
	if _, socket, ok := strings.Cut(config.DBHost, ":/"); ok {
		c.Net, c.Addr = "unix", "/"+socket
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, config, fmt.Errorf("connecting to the database: %w", err)
	}
	return sql.OpenDB(connector), config, nil
}

// install makes the tables. Those without rows are kept in memory, as making them costs
// the disk nothing; what they are survives the server all the same.
func (s *shim) install() (string, error) {
	password, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("reading password: %w", err)
	}
	db, config, err := s.connect()
	if err != nil {
		return "", err
	}
	defer db.Close()
	var statements []string
	for _, t := range tables {
		statements = append(statements, "CREATE TABLE `"+config.TablePrefix+t+"` (id INT PRIMARY KEY) ENGINE=MEMORY")
	}
	options := "`" + config.TablePrefix + "options`"
	statements = append(statements, "CREATE TABLE "+options+" (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT) ENGINE=InnoDB")
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			return "", fmt.Errorf("making tables: Error establishing a database connection: %w", err)
		}
	}
	user := s.flags["--admin_user"]
	_, err = db.Exec("INSERT INTO "+options+" VALUES ('siteurl', ?), ('home', ?), ('blogname', ?), ('admin', ?)",
		s.url, s.url, s.flags["--title"], user+" "+hash(strings.TrimSuffix(password, "\n")))
	if err != nil {
		return "", fmt.Errorf("writing options: %w", err)
	}
	out, err := json.Marshal(wp.Installed{Version: "9.9", SiteURL: s.url, Home: s.url, Title: s.flags["--title"],
		Permalinks: wp.PrettyPermalinks, Admins: []string{user}, Tables: len(tables) + 1})
	return string(out), err
}

func (s *shim) option(name string) (string, error) {
	db, config, err := s.connect()
	if err != nil {
		return "", err
	}
	defer db.Close()
	var value string
	err = db.QueryRow("SELECT option_value FROM `"+config.TablePrefix+"options` WHERE option_name = ?", name).Scan(&value)
	var refused *mysql.MySQLError
	switch {
	case err == nil:
		return value, nil
	case errors.As(err, &refused), errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("reading option %s: %w", name, err)
	}
	// WordPress's own words, which the worker knows.
	return "", fmt.Errorf("Error establishing a database connection: %w", err)
}

func (s *shim) checkPassword() (string, error) {
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", fmt.Errorf("reading input: %w", err)
	}
	var in struct{ Login, Password string }
	if err := json.Unmarshal(raw, &in); err != nil {
		return "", fmt.Errorf("reading input: %w", err)
	}
	admin, err := s.option("admin")
	if err != nil {
		return "", err
	}
	login, sum, _ := strings.Cut(admin, " ")
	address, err := s.option("siteurl")
	if err != nil {
		return "", err
	}
	matches := sum == hash(in.Password) && s.config.Faults[s.domain] != verdict.BadCheck
	return fmt.Sprintf(`{"found":%t,"matches":%t,"siteurl":%q}`, login == in.Login, matches, address), nil
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
