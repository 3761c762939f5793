package wp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/wispanel/wptk/wp/proc"
)

// The tables of a site are read as the tenant. From the worker's own process it
// would not do: MariaDB knows root@localhost by the user id at the other end of
// the socket, so a tenant that writes DB_USER root would be let in by our id.

func init() {
	proc.Register("wp.options", func(ctx context.Context, in json.RawMessage, _ io.Writer) (any, error) {
		var request optionsRequest
		if err := json.Unmarshal(in, &request); err != nil {
			return nil, fmt.Errorf("reading request: %w", err)
		}
		return childOptions(ctx, request), nil
	})
}

const (
	optionsTime     = 2 * time.Second // for one site, all together
	optionsParallel = 4
)

type optionsRequest struct {
	Sites []optionsQuery `json:"sites"`
}

type optionsQuery struct {
	Net      string `json:"net"`
	Addr     string `json:"addr"`
	Name     string `json:"name"`
	User     string `json:"user"`
	Password string `json:"password"`
	Prefix   string `json:"prefix"`
}

type siteOptions struct {
	Title   string `json:"title"`
	Home    string `json:"home"`
	SiteURL string `json:"siteurl"`
	Err     string `json:"err,omitempty"` // for people
}

func childOptions(ctx context.Context, request optionsRequest) []siteOptions {
	answers := make([]siteOptions, len(request.Sites))
	work := make(chan int)
	var wg sync.WaitGroup
	for range optionsParallel {
		wg.Go(func() {
			for i := range work {
				answers[i] = askOptions(ctx, request.Sites[i])
			}
		})
	}
	for i := range request.Sites {
		work <- i
	}
	close(work)
	wg.Wait()
	return answers
}

func askOptions(ctx context.Context, q optionsQuery) siteOptions {
	ctx, cancel := context.WithTimeout(ctx, optionsTime)
	defer cancel()
	o, err := selectOptions(ctx, q)
	if err != nil {
		return siteOptions{Err: reasonOf(err)}
	}
	return o
}

var tablePattern = regexp.MustCompile(`^[A-Za-z0-9_]{0,64}$`)

func selectOptions(ctx context.Context, q optionsQuery) (siteOptions, error) {
	if !tablePattern.MatchString(q.Prefix) {
		return siteOptions{}, errors.New("table prefix has characters that WordPress refuses")
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName, cfg.User, cfg.Passwd = q.Net, q.Addr, q.Name, q.User, q.Password
	setTimeouts(cfg, optionsTime, optionsTime)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return siteOptions{}, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	// What stands behind the table's name may be a view of any cost, so the server is
	// told the limit as well; each of the two servers understands one of the hints.
	rows, err := db.QueryContext(ctx, "/*M!100101 SET STATEMENT max_statement_time=2 FOR */ SELECT /*+ MAX_EXECUTION_TIME(2000) */ "+
		"option_name, LEFT(option_value, 2048) FROM "+quoteIdent(q.Prefix+"options")+
		" WHERE option_name IN ('blogname', 'home', 'siteurl') LIMIT 3")
	if err != nil {
		return siteOptions{}, err
	}
	defer rows.Close()
	var o siteOptions
	fields := map[string]*string{"blogname": &o.Title, "home": &o.Home, "siteurl": &o.SiteURL}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return siteOptions{}, err
		}
		if field := fields[name]; field != nil {
			*field = value
		}
	}
	if err := rows.Err(); err != nil {
		return siteOptions{}, err
	}
	if o.Home == "" && o.SiteURL == "" {
		return siteOptions{}, errNoOptions
	}
	return o, nil
}

var errNoOptions = errors.New("no options")

// reasonOf says what is wrong without the server's words, which quote user names
// and addresses.
func reasonOf(err error) string {
	var server *mysql.MySQLError
	switch {
	case errors.Is(err, errNoOptions):
		return "its options table has no address: the installation was not finished"
	case errors.Is(err, context.DeadlineExceeded):
		return "its database does not answer in time"
	case !errors.As(err, &server):
		return "its database server cannot be reached"
	}
	switch server.Number {
	case 1044, 1045, 1698, 1130: // access denied, to the database or at all
		return "its database refuses the user or password of wp-config.php"
	case 1049: // unknown database
		return "its database does not exist"
	case 1146: // no such table
		return "its tables do not exist: wrong table prefix, or the installation was not finished"
	case 1969, 3024: // statement timeout of MariaDB, of MySQL
		return "its database does not answer in time"
	}
	return fmt.Sprintf("its database answers with error %d", server.Number)
}
