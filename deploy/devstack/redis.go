package devstack

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// Databases is how many logical databases a standalone server has.
const Databases = 256

// RedisOptions are the choices of a Redis server; the zero value is how the toolkit wants
// its Redis: every write on the disk before it is acknowledged, and nothing evicted.
type RedisOptions struct {
	Dir         string   // absolute; "" = a temporary folder, removed by Stop
	Port        int      // 0 = a free one
	Password    string   // "" = a random one; no spaces or quotes
	AppendFsync string   // always (default), everysec, no; "off" = no append-only file at all
	Extra       []string // lines of redis.conf, read last, so that they override
}

// Redis starts a Redis server and returns when it answers PING.
func Redis(ctx context.Context, o RedisOptions) (*Server, error) {
	return startRedis(ctx, "redis", o, cmp.Or(o.Password, password()))
}

// URL names logical database db of a standalone Redis, password included.
func (s *Server) URL(db int) string {
	u := url.URL{Scheme: "redis", Host: s.Addr, Path: "/" + strconv.Itoa(db)}
	if s.Password != "" {
		u.User = url.UserPassword("", s.Password)
	}
	return u.String()
}

// startRedis starts a server of one of the kinds redis and sentinel.
func startRedis(ctx context.Context, kind string, o RedisOptions, password string) (*Server, error) {
	path, err := program("redis-server")
	if err != nil {
		return nil, err
	}
	as, err := serverOwner("redis")
	if err != nil {
		return nil, err
	}
	b, err := newBase(o.Dir, kind, as)
	if err != nil {
		return nil, err
	}
	s, err := onFreePort(o.Port, func(port int) (*Server, error) {
		s := &Server{
			Addr: "127.0.0.1:" + strconv.Itoa(port), Port: port, Password: password, Dir: b.dir,
			kind: kind, path: path, as: as, base: b,
			// The configuration is a file, so the password is in no process list.
			args: []string{b.path("data", "redis.conf")},
		}
		s.ready = func(ctx context.Context) error {
			_, err := command(ctx, s, "PING")
			return err
		}
		if kind == "sentinel" {
			s.args = append(s.args, "--sentinel")
		}
		if err := b.write("redis.conf", redisConf(kind, s, o), as); err != nil {
			return nil, err
		}
		return s, s.Start(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return s, nil
}

func redisConf(kind string, s *Server, o RedisOptions) string {
	lines := []string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(s.Port),
		"protected-mode no", // bound to loopback and, sentinels aside, behind a password
		"daemonize no",
		`logfile ""`,
		"dir " + strconv.Quote(s.base.path("data")),
	}
	if kind == "redis" {
		lines = append(lines,
			"requirepass "+s.Password,
			"masterauth "+s.Password,
			"databases "+strconv.Itoa(Databases),
			"maxmemory-policy noeviction",
			`save ""`,
		)
		switch o.AppendFsync {
		case "off":
			lines = append(lines, "appendonly no")
		case "":
			lines = append(lines, "appendonly yes", "appendfsync always")
		default:
			lines = append(lines, "appendonly yes", "appendfsync "+o.AppendFsync)
		}
	}
	return strings.Join(append(lines, o.Extra...), "\n") + "\n"
}
