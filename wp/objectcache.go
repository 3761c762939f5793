package wp

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// ObjectCache is a Redis that the node offers to its installs. It is shared by all of them,
// hostile ones too: each gets a user of its own, which can reach nothing but the keys of its
// install, and of the commands only those that the drop-in needs. None of them lists keys.
// It should not be the toolkit's own Redis: a cache throws away what it has no room for.
type ObjectCache struct {
	network, addr  string
	user, password string // the administrator's
	database       int
}

// NewObjectCache takes redis://[user@]host:port[/database] or unix:///path[?db=database], and
// the password of a user that may administrate users. It does not connect.
func NewObjectCache(address, password string) (*ObjectCache, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("object cache: not an address")
	}
	if _, has := u.User.Password(); has {
		return nil, errors.New("object cache: the password belongs into its file, not into the address")
	}
	o := &ObjectCache{user: u.User.Username(), password: password}
	if o.user == "" {
		o.user = "default"
	}
	db := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis":
		o.network, o.addr = "tcp", u.Host
		if u.Port() == "" {
			o.addr = net.JoinHostPort(u.Hostname(), "6379")
		}
	case "unix":
		o.network, o.addr, db = "unix", u.Path, u.Query().Get("db")
	}
	if db != "" {
		o.database, err = strconv.Atoi(db)
	}
	switch {
	case o.addr == "" || err != nil || o.database < 0 || o.network == "unix" && !path.IsAbs(o.addr):
		return nil, errors.New("object cache: must be redis://host:port/database or unix:///path?db=database")
	case password == "":
		return nil, errors.New("object cache: it has no password, so that the installs could not be kept apart")
	}
	return o, nil
}

// ObjectCacheUser is what one install needs to reach the cache.
type ObjectCacheUser struct {
	Prefix string // of all its keys
	user   string
	secret string
	o      *ObjectCache
}

//go:embed php/dropin/object-cache.php
var objectCacheDropIn string

// ObjectCacheName is how the drop-in is listed, and how it is known for ours.
const ObjectCacheName = "WisPanel Object Cache"

// settingsMark is where the settings go.
const settingsMark = "array( /* settings */ )"

// DropIn is the drop-in with the settings of one install.
func (u ObjectCacheUser) DropIn() ([]byte, error) {
	address := "tcp://" + u.o.addr
	if u.o.network == "unix" {
		address = "unix://" + u.o.addr
	}
	var b strings.Builder
	b.WriteString("array(\n")
	for _, s := range []struct{ name, value string }{
		{"address", address}, {"user", u.user}, {"password", u.secret},
		{"database", strconv.Itoa(u.o.database)}, {"prefix", u.Prefix},
	} {
		value, err := PHPText(s.value)
		if err != nil {
			return nil, fmt.Errorf("writing drop-in: %s: %w", s.name, err)
		}
		fmt.Fprintf(&b, "\t\t\t'%s' => %s,\n", s.name, value)
	}
	b.WriteString("\t\t)")
	return []byte(strings.Replace(objectCacheDropIn, settingsMark, b.String(), 1)), nil
}

// userOf derives the user of an install. The password follows from the administrator's, so
// that it need not be kept, and a user that Redis has forgotten can be made again.
func (o *ObjectCache) userOf(siteID string) (ObjectCacheUser, error) {
	if !strings.HasPrefix(siteID, "wp_") || strings.Trim(siteID[3:], "0123456789abcdef") != "" || len(siteID) < 8 {
		return ObjectCacheUser{}, fmt.Errorf("object cache: %q is no id of an install", siteID)
	}
	h := hmac.New(sha256.New, []byte(o.password))
	h.Write([]byte("wptk object cache\x00" + siteID))
	return ObjectCacheUser{Prefix: siteID, user: "wptk-" + siteID, secret: hex.EncodeToString(h.Sum(nil)), o: o}, nil
}

// allowed are the commands of the drop-in.
var allowed = []string{"-@all", "+auth", "+select", "+get", "+mget", "+set", "+del"}

// Admit makes the user of an install, or makes it what it should be. lasting is false when
// Redis keeps its users in memory only: then its restart ends the caching until Admit is
// called again.
func (o *ObjectCache) Admit(ctx context.Context, siteID string) (u ObjectCacheUser, lasting bool, err error) {
	if u, err = o.userOf(siteID); err != nil {
		return ObjectCacheUser{}, false, err
	}
	c, err := o.dial(ctx)
	if err != nil {
		return ObjectCacheUser{}, false, err
	}
	defer c.Close()
	make := append([]string{"ACL", "SETUSER", u.user, "reset", "on", ">" + u.secret, "~" + u.Prefix + ":*"}, allowed...)
	if _, err := c.do(make...); err != nil {
		return ObjectCacheUser{}, false, fmt.Errorf("making user in the object cache: %w", err)
	}
	_, err = c.do("ACL", "SAVE")
	return u, err == nil, nil
}

// Dismiss removes the user of an install, and its keys.
func (o *ObjectCache) Dismiss(ctx context.Context, siteID string) error {
	u, err := o.userOf(siteID)
	if err != nil {
		return err
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.do("ACL", "DELUSER", u.user); err != nil {
		return fmt.Errorf("removing user from the object cache: %w", err)
	}
	_, _ = c.do("ACL", "SAVE") // refused where users are in memory only, as in Admit
	return c.remove(u.Prefix)
}

// Flush removes the keys of an install, with no need of PHP. Its user stays.
func (o *ObjectCache) Flush(ctx context.Context, siteID string) error {
	u, err := o.userOf(siteID)
	if err != nil {
		return err
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.remove(u.Prefix)
}

// remove deletes the keys below a prefix, without blocking the server for the others.
func (c *redisConn) remove(prefix string) error {
	for cursor := "0"; ; {
		answer, err := c.do("SCAN", cursor, "MATCH", prefix+":*", "COUNT", "1000")
		page, ok := answer.([]any)
		if err != nil || !ok || len(page) != 2 {
			return fmt.Errorf("listing keys of the object cache: %w", errors.Join(err, errRedisAnswer))
		}
		keys, _ := page[1].([]any)
		if len(keys) > 0 {
			unlink := []string{"UNLINK"}
			for _, key := range keys {
				unlink = append(unlink, fmt.Sprint(key))
			}
			if _, err := c.do(unlink...); err != nil {
				return fmt.Errorf("removing keys from the object cache: %w", err)
			}
		}
		if cursor = fmt.Sprint(page[0]); cursor == "0" {
			return nil
		}
	}
}

// ErrObjectCacheAway is the class of errors of a cache that cannot be reached or entered.
var ErrObjectCacheAway = errors.New("object cache does not answer")

var errRedisAnswer = errors.New("answer not understood")

// redisConn speaks RESP2. Package queue has a whole client, which this package must not know.
type redisConn struct {
	net.Conn
	in *bufio.Reader
}

const objectCacheTime = 5 * time.Second

func (o *ObjectCache) dial(ctx context.Context) (*redisConn, error) {
	dialer := net.Dialer{Timeout: objectCacheTime}
	conn, err := dialer.DialContext(ctx, o.network, o.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObjectCacheAway, err)
	}
	c := &redisConn{conn, bufio.NewReader(conn)}
	if _, err = c.do("AUTH", o.user, o.password); err == nil {
		_, err = c.do("SELECT", strconv.Itoa(o.database))
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%w: %w", ErrObjectCacheAway, err)
	}
	return c, nil
}

// do sends a command and reads its answer: a string, an int64, a []any, or nil.
func (c *redisConn) do(args ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	err := c.SetDeadline(time.Now().Add(objectCacheTime))
	if err == nil {
		_, err = io.WriteString(c, b.String())
	}
	if err != nil {
		return nil, err
	}
	return c.read(0)
}

func (c *redisConn) read(depth int) (any, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" || depth > 4 {
		return nil, errRedisAnswer
	}
	kind, rest := line[0], line[1:]
	if kind == '+' {
		return rest, nil
	}
	if kind == '-' {
		return nil, fmt.Errorf("redis: %s", cleanLine(rest, 200))
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil || n > 64<<20:
		return nil, errRedisAnswer
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		data := make([]byte, n+2)
		_, err := io.ReadFull(c.in, data)
		return string(data[:n]), err
	case kind != '*':
		return nil, errRedisAnswer
	}
	var list []any
	for range n {
		item, err := c.read(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}
