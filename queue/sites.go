package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

var (
	sitePutScript  = lua("site_put")
	siteDropScript = lua("site_drop")
)

// SiteStatus is how an install looked when it was last read.
type SiteStatus string

// The states of an install.
const (
	SiteOK         SiteStatus = "ok"
	SiteBroken     SiteStatus = "broken"     // WordPress is there and does not work
	SiteSuspended  SiteStatus = "suspended"  // closed on purpose
	SiteUnreadable SiteStatus = "unreadable" // its configuration could not be read
)

// Where a record comes from.
const (
	SourceInstall = "install" // an op wrote it
	SourceScan    = "scan"    // found on disk
)

// Site is the inventory record of one install.
type Site struct {
	tasks.SiteRef
	Status      SiteStatus `json:"status"`
	Reason      string     `json:"reason,omitempty"` // why it is not ok
	Docroot     string     `json:"docroot"`          // absolute, on the node
	Version     string     `json:"version"`
	Title       string     `json:"title"`
	URL         string     `json:"url"`
	AdminURL    string     `json:"admin_url"`
	DBName      string     `json:"db_name"`
	DBUser      string     `json:"db_user"`
	DBHost      string     `json:"db_host"`
	TablePrefix string     `json:"table_prefix"`
	Debug       bool       `json:"debug"`
	Multisite   bool       `json:"multisite"`
	PHPVersion  string     `json:"php_version"`
	Source      string     `json:"source"`
	// UpdatedAt is when the facts above last changed. That they still hold was
	// seen at the node's last scan, NodeInfo.Scanned.
	UpdatedAt time.Time `json:"updated_at"`
}

// member is the site's entry in the indexes, which sort by domain and path.
func (s Site) member() string { return s.Domain + "\x00" + s.Path + "\x00" + s.ID }

// memberID is the id at the end of an entry.
func memberID(member string) string { return member[strings.LastIndexByte(member, 0)+1:] }

// mark changes when the facts do, not with every look at them.
func (s Site) mark() (string, error) {
	place := s.Account + "\n" + s.member()
	s.UpdatedAt, s.Source = time.Time{}, ""
	facts, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding site: %w", err)
	}
	return mark(facts, place), nil
}

// PublishSites makes the inventory say what a whole scan of the node found.
// Only differences are written. What an op wrote after the scan began stays as
// the op wrote it, and an install with a waiting or running op is not removed;
// the next scan settles both.
func (n *Node) PublishSites(ctx context.Context, began time.Time, sites []Site) error {
	shelf := siteShelf{Node: n, who: "scan", at: began.UnixMilli(), sites: make(map[string]Site, len(sites))}
	found := make(map[string]string, len(sites))
	for _, site := range sites {
		m, err := site.mark()
		if err != nil {
			return err
		}
		shelf.sites[site.ID], found[site.ID] = site, m
	}
	if err := n.sites.publish(ctx, n.rdb, found, shelf); err != nil {
		return fmt.Errorf("publishing sites of node: %w", err)
	}
	n.counts.replace(sites)
	if err := n.publishCounts(ctx); err != nil {
		return err
	}
	n.scanned.Store(&began)
	return nil
}

// PutSite writes the record of one install, as an op does when it has made or
// changed it.
func (n *Node) PutSite(ctx context.Context, site Site) error {
	m, err := site.mark()
	if err != nil {
		return err
	}
	shelf := siteShelf{Node: n, who: "op", at: time.Now().UnixMilli(), sites: map[string]Site{site.ID: site}}
	if err := n.sites.putOne(ctx, n.rdb, site.ID, m, shelf); err != nil {
		return fmt.Errorf("writing site: %w", err)
	}
	n.counts.put(site.ID, site.Status)
	return n.publishCounts(ctx)
}

// RemoveSite takes an install out of the inventory, as the op that deleted it
// does. Its ops stay readable.
func (n *Node) RemoveSite(ctx context.Context, id string) error {
	shelf := siteShelf{Node: n, who: "op", at: time.Now().UnixMilli()}
	if err := n.sites.dropOne(ctx, n.rdb, id, shelf); err != nil {
		return fmt.Errorf("removing site: %w", err)
	}
	n.counts.put(id, "")
	return n.publishCounts(ctx)
}

// removalKept is how long the removal of an install by an op holds off scans.
// None takes nearly as long.
const removalKept = time.Hour

// siteShelf keeps the records of installs and their entries in the indexes.
type siteShelf struct {
	*Node
	who   string // "op" or "scan"
	at    int64  // see site_put.lua
	sites map[string]Site
}

func (s siteShelf) put(ctx context.Context, ids []string) ([]string, error) {
	// An index entry without a record is skipped by readers, a record without
	// an entry would be invisible: so the entries come first.
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, id := range ids {
			site := s.sites[id]
			entry := redis.Z{Member: site.member()}
			pipe.ZAdd(ctx, s.names.allSites(), entry)
			pipe.ZAdd(ctx, s.names.accountSites(site.Account), entry)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.each(ctx, ids, func(pipe redis.Pipeliner, id string) (*redis.Cmd, error) {
		record, err := json.Marshal(s.sites[id])
		if err != nil {
			return nil, err
		}
		return sitePutScript.EvalSha(ctx, pipe, []string{s.names.site(id)}, record, s.who, s.at), nil
	})
}

func (s siteShelf) drop(ctx context.Context, removals map[string]string) ([]string, error) {
	ids := make([]string, 0, len(removals))
	for id := range removals {
		ids = append(ids, id)
	}
	left, err := s.each(ctx, ids, func(pipe redis.Pipeliner, id string) (*redis.Cmd, error) {
		keys := []string{s.names.site(id), s.names.fifo(id)}
		return siteDropScript.EvalSha(ctx, pipe, keys, s.who, s.at, removalKept.Milliseconds()), nil
	})
	if err != nil {
		return nil, err
	}
	gone := without(ids, left)
	if len(gone) == 0 {
		return left, nil
	}
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, id := range gone {
			pipe.Del(ctx, s.names.details(id))
			account, member, ok := strings.Cut(removals[id], "\n")
			if !ok {
				continue // never was in the indexes
			}
			pipe.ZRem(ctx, s.names.allSites(), member)
			pipe.ZRem(ctx, s.names.accountSites(account), member)
		}
		return nil
	})
	return left, err
}

// each runs a script for every id in one pipeline, and answers the ids for which
// it answered 0. A Redis that restarted has lost the scripts: then they are
// loaded and the pipeline is run once more, which changes nothing done before.
func (s siteShelf) each(ctx context.Context, ids []string, queue func(redis.Pipeliner, string) (*redis.Cmd, error)) ([]string, error) {
	answers, err := s.runEach(ctx, ids, queue)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = loadScripts(ctx, s.rdb); err == nil {
			answers, err = s.runEach(ctx, ids, queue)
		}
	}
	if err != nil {
		return nil, err
	}
	var left []string
	for i, answer := range answers {
		done, err := answer.Int()
		if err != nil {
			return nil, err
		}
		if done == 0 {
			left = append(left, ids[i])
		}
	}
	return left, nil
}

func (s siteShelf) runEach(ctx context.Context, ids []string, queue func(redis.Pipeliner, string) (*redis.Cmd, error)) ([]*redis.Cmd, error) {
	answers := make([]*redis.Cmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) (err error) {
		for i, id := range ids {
			if answers[i], err = queue(pipe, id); err != nil {
				return err
			}
		}
		return nil
	})
	return answers, err
}

// Site reads the inventory record of an install, or ErrNotFound.
func (c *Client) Site(ctx context.Context, id string) (Site, error) {
	record, err := c.rdb.HGet(ctx, c.names.site(id), "rec").Result()
	if errors.Is(err, redis.Nil) {
		return Site{}, ErrNotFound
	}
	if err != nil {
		return Site{}, fmt.Errorf("reading site: %w", err)
	}
	return decodeSite(record)
}

func decodeSite(record string) (Site, error) {
	var s Site
	if err := json.Unmarshal([]byte(record), &s); err != nil {
		return Site{}, fmt.Errorf("decoding site: %w", err)
	}
	return s, nil
}
