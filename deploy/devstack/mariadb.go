package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// MariaDBOptions are the choices of a MariaDB server.
type MariaDBOptions struct {
	Dir   string   // absolute; "" = a temporary folder, removed by Stop
	Port  int      // 0 = a free one
	Extra []string // lines of the [mariadbd] section, read last, so that they override
}

// MariaDB starts a MariaDB server and returns when it accepts connections, on a Unix socket
// and on loopback TCP. Its only account that can log in is root, with Server.Password.
func MariaDB(ctx context.Context, o MariaDBOptions) (*Server, error) {
	path, err := program("mariadbd", "mysqld")
	if err != nil {
		return nil, err
	}
	as, err := serverOwner("mysql")
	if err != nil {
		return nil, err
	}
	b, err := newBase(o.Dir, "mariadb", as)
	if err != nil {
		return nil, err
	}
	s, err := startMariaDB(ctx, b, path, as, o)
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return s, nil
}

// longestSocket is sun_path's size less the closing NUL, see unix(7).
const longestSocket = 107

func startMariaDB(ctx context.Context, b *base, path string, as owner, o MariaDBOptions) (*Server, error) {
	socket := b.path("run", "mysqld.sock")
	if len(socket) > longestSocket {
		return nil, fmt.Errorf("starting mariadb: socket path %s is longer than %d bytes, use a shorter folder", socket, longestSocket)
	}
	if err := populate(ctx, b, path, as); err != nil {
		return nil, err
	}
	secret := password()
	return onFreePort(o.Port, func(port int) (*Server, error) {
		s := &Server{
			Addr: "127.0.0.1:" + strconv.Itoa(port), Port: port, Socket: socket, Password: secret, Dir: b.dir,
			kind: "mariadb", path: path, as: as, base: b,
			args: []string{"--defaults-file=" + b.path("data", "my.cnf")},
		}
		s.ready = func(ctx context.Context) error { return greeted(ctx, socket) }
		if err := b.write("init.sql", initSQL(secret), as); err != nil {
			return nil, err
		}
		if err := b.write("my.cnf", mariadbConf(s, o), as); err != nil {
			return nil, err
		}
		return s, s.Start(ctx)
	})
}

// DSN is the administrator's, over the Unix socket, in go-sql-driver's form.
func (s *Server) DSN() string { return "root:" + s.Password + "@unix(" + s.Socket + ")/" }

// TCPDSN is the same over loopback TCP.
func (s *Server) TCPDSN() string { return "root:" + s.Password + "@tcp(" + s.Addr + ")/" }

// initSQL runs at every start before the first connection is accepted. What the template
// brought along (accounts without a password) is gone before anyone can use it.
func initSQL(secret string) string {
	return strings.Join([]string{
		"DROP USER IF EXISTS ''@'localhost', 'root'@'::1', 'root'@'127.0.0.1', 'mysql'@'localhost', 'PUBLIC'@'localhost';",
		"ALTER USER 'root'@'localhost' IDENTIFIED BY '" + secret + "';",
		"CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';",
		"ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '" + secret + "';",
		"GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;",
	}, "\n") + "\n"
}

// mariadbConf keeps buffers small, so that several servers fit beside each other, and
// durability at its default, so that what is measured here means something.
func mariadbConf(s *Server, o MariaDBOptions) string {
	lines := []string{
		"[mariadbd]",
		"datadir=" + s.base.path("data", "db"),
		"tmpdir=" + s.base.path("data", "tmp"),
		"socket=" + s.Socket,
		"pid-file=" + s.base.path("data", "mariadbd.pid"),
		"bind-address=127.0.0.1",
		"port=" + strconv.Itoa(s.Port),
		"init-file=" + s.base.path("data", "init.sql"),
		"skip-name-resolve=1",
		// A hostile client or dump must not read the server's files, nor write any.
		"local_infile=0",
		"secure_file_priv=" + s.base.path("data", "tmp"),
		"symbolic-links=0",
		"character-set-server=utf8mb4",
		"collation-server=utf8mb4_unicode_ci",
		"max_connections=100",
		"performance_schema=0",
		"innodb_buffer_pool_size=64M",
		"innodb_use_native_aio=0", // needs locked memory, which accounts without rights lack
		"key_buffer_size=1M",
		"aria_pagecache_buffer_size=2M",
		"table_open_cache=400",
		"innodb_log_file_size=" + logFileSize,
	}
	return strings.Join(append(lines, o.Extra...), "\n") + "\n"
}

// greeted connects and reads the server's greeting, which it sends when it is ready for a
// log-in; an error packet (0xff) comes instead while it is not.
func greeted(ctx context.Context, socket string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("connecting to mariadb: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return fmt.Errorf("connecting to mariadb: %w", err)
	}
	head, err := bufio.NewReader(conn).Peek(5) // length 3, sequence 1, protocol version 1
	if err != nil {
		return fmt.Errorf("reading mariadb's greeting: %w", err)
	}
	if head[4] != 10 {
		return fmt.Errorf("reading mariadb's greeting: it starts with %#x", head[4])
	}
	return nil
}
