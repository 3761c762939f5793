package queue

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

type topology string

const (
	standalone topology = ""
	sentinel   topology = "sentinel"
	cluster    topology = "cluster"
)

// target is a parsed Redis URL.
type target struct {
	topology topology
	addrs    []string // host:port; several for Sentinel and Cluster
	master   string   // Sentinel only
	db       int
	username string
	password string
	tls      *tls.Config // nil = plain
	poolSize int
	maxIdle  int
}

// parseURL reads a Redis address:
//
//	redis://[user:password@]host[:6379][/db]
//	redis+sentinel://[user:password@]host[:26379][,host…]/master[?db=0]
//	redis+cluster://[user:password@]host[:6379][,host…]
//
// rediss://, rediss+sentinel:// and rediss+cluster:// are the same over TLS.
// The password is meant for the Redis servers, not for the Sentinels.
// Errors never repeat the URL, it may hold a password.
func parseURL(raw string) (target, error) {
	var t target
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return t, errors.New(`parsing redis url: no scheme, write "redis://host:6379"`)
	}
	base, topo, _ := strings.Cut(scheme, "+")
	t.topology = topology(topo)
	if base != "redis" && base != "rediss" || topo != "" && topo != "sentinel" && topo != "cluster" {
		return t, errors.New("parsing redis url: scheme is none of redis, rediss, redis+sentinel, redis+cluster, rediss+sentinel, rediss+cluster")
	}
	// net/url refuses several hosts, so they are cut out before it looks.
	authority, tail := cutBefore(rest, "/?#")
	userinfo, hosts := "", authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		userinfo, hosts = authority[:at+1], authority[at+1:]
	}
	u, err := url.Parse(base + "://" + userinfo + "host" + tail)
	if err != nil || u.Fragment != "" {
		return t, errors.New("parsing redis url: malformed user, password, path or query (percent-encode special characters)")
	}
	t.username = u.User.Username()
	t.password, _ = u.User.Password()
	if t.addrs, err = parseHosts(hosts, t.topology); err != nil {
		return t, err
	}
	if err := t.parsePath(u); err != nil {
		return t, err
	}
	if base == "rediss" {
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if t.topology == standalone {
			t.tls.ServerName, _, _ = net.SplitHostPort(t.addrs[0])
		}
	}
	return t, nil
}

func parseHosts(hosts string, topo topology) ([]string, error) {
	port := "6379"
	if topo == sentinel {
		port = "26379"
	}
	list := strings.Split(hosts, ",")
	if topo == standalone && len(list) > 1 {
		return nil, errors.New("parsing redis url: several hosts need redis+sentinel:// or redis+cluster://")
	}
	addrs := make([]string, len(list))
	for i, h := range list {
		host, p, err := net.SplitHostPort(h)
		if err != nil { // no port, or no host at all
			host, p = strings.Trim(h, "[]"), port
		}
		n, err := strconv.Atoi(p)
		if host == "" || strings.ContainsAny(host, "[] ") || err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("parsing redis url: host %d is not host:port", i+1)
		}
		addrs[i] = net.JoinHostPort(host, p)
	}
	return addrs, nil
}

func (t *target) parsePath(u *url.URL) error {
	name, db := strings.Trim(u.Path, "/"), u.Query().Get("db")
	for k := range u.Query() {
		if k != "db" {
			return fmt.Errorf("parsing redis url: unknown option %q", k)
		}
	}
	switch t.topology {
	case sentinel:
		if name == "" {
			return errors.New("parsing redis url: the Sentinel master's name is missing, write redis+sentinel://host/mymaster")
		}
		t.master = name
	case cluster:
		if name != "" || db != "" {
			return errors.New("parsing redis url: a Cluster has neither databases nor a master name")
		}
	default:
		if name != "" {
			db = name
		}
	}
	if db == "" {
		return nil
	}
	n, err := strconv.Atoi(db)
	if err != nil || n < 0 {
		return errors.New("parsing redis url: the database is not a number")
	}
	t.db = n
	return nil
}

func (t *target) override(o Options) {
	if o.Username != "" {
		t.username = o.Username
	}
	if o.Password != "" {
		t.password = o.Password
	}
	if o.TLS != nil {
		t.tls = o.TLS
	}
	t.poolSize, t.maxIdle = o.PoolSize, o.MaxIdle
}

// connect makes a client; no connection is opened yet.
func (t target) connect() redis.UniversalClient {
	o := &redis.UniversalOptions{
		Addrs: t.addrs, DB: t.db, MasterName: t.master,
		Username: t.username, Password: t.password,
		TLSConfig: t.tls, PoolSize: t.poolSize, MaxIdleConns: t.maxIdle,
		ContextTimeoutEnabled: true,
		// RESP2: with 3 the client looks for push messages before each reply, of which there
		// are none here; that was one part in thirty of a poll.
		Protocol:        2,
		DisableIdentity: true, // saves two commands on each new connection
	}
	switch t.topology {
	case sentinel:
		return redis.NewFailoverClient(o.Failover())
	case cluster:
		return redis.NewClusterClient(o.Cluster())
	}
	return redis.NewClient(o.Simple())
}

// cutBefore splits s in front of the first of chars.
func cutBefore(s, chars string) (before, from string) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}
