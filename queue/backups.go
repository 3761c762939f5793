package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/wispanel/wptk/tasks"
)

// The list of backups is an index of what the stores hold: should Redis lose it, the nodes
// write it anew. Ids are UUIDv7, so they sort by time.

// BackupFilter says which backups to list. Zero fields do not filter.
type BackupFilter struct {
	Account string
	Site    string // install id
	Type    string
	Node    string // that keeps them
	Limit   int    // 1-1000, 100 when 0
	Cursor  string // Page.Next of the page before
}

func (f BackupFilter) matches(b tasks.Backup) bool {
	return (f.Account == "" || f.Account == b.Site.Account) &&
		(f.Site == "" || f.Site == b.Site.ID) && (f.Type == "" || f.Type == b.Type) &&
		(f.Node == "" || f.Node == b.Site.Node)
}

func (n names) backup(id string) string {
	return n.shardPrefix("bk:", shardOf(tasks.BackupOp(id))) + id
}
func (n names) allBackups() string { return n.prefix + "ix:bk:{all}" }
func (n names) accountBackups(account string) string {
	return n.prefix + "ix:bk:{a:" + account + "}"
}
func (n names) nodeBackups(node string) string { return n.prefix + "ix:bk:{n:" + node + "}" }
func (n names) siteBackups(site string) string { return n.prefix + "ix:bk:{s:" + site + "}" }

func (n names) backupIndexes(b tasks.Backup) []string {
	return []string{n.allBackups(), n.accountBackups(b.Site.Account), n.siteBackups(b.Site.ID), n.nodeBackups(b.Site.Node)}
}

// PutBackup writes a backup's record and lists it.
func (c *Client) PutBackup(ctx context.Context, b tasks.Backup) error {
	if !tasks.IsBackupID(b.ID) {
		return fmt.Errorf("listing backup: %q is no id of one", b.ID)
	}
	record, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encoding backup: %w", err)
	}
	// The record first: what is listed can be read.
	if err := c.rdb.Set(ctx, c.names.backup(b.ID), record, 0).Err(); err != nil {
		return fmt.Errorf("writing backup: %w", err)
	}
	pipe := c.rdb.Pipeline()
	for _, index := range c.names.backupIndexes(b) {
		pipe.ZAdd(ctx, index, redis.Z{Member: b.ID})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("listing backup: %w", err)
	}
	return nil
}

// RemoveBackup takes a backup off the list. Done again it does nothing.
func (c *Client) RemoveBackup(ctx context.Context, b tasks.Backup) error {
	pipe := c.rdb.Pipeline()
	for _, index := range c.names.backupIndexes(b) {
		pipe.ZRem(ctx, index, b.ID)
	}
	pipe.Del(ctx, c.names.backup(b.ID))
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("taking backup off the list: %w", err)
	}
	return nil
}

// Backup reads one record. errors.Is ErrNotFound and tasks.ErrNoBackup.
func (c *Client) Backup(ctx context.Context, id string) (tasks.Backup, error) {
	if !tasks.IsBackupID(id) {
		return tasks.Backup{}, errNoBackup
	}
	text, err := c.rdb.Get(ctx, c.names.backup(id)).Result()
	if errors.Is(err, redis.Nil) {
		return tasks.Backup{}, errNoBackup
	}
	if err != nil {
		return tasks.Backup{}, fmt.Errorf("reading backup: %w", err)
	}
	return decodeBackup(text)
}

var errNoBackup = fmt.Errorf("%w: %w", ErrNotFound, tasks.ErrNoBackup)

func decodeBackup(text string) (b tasks.Backup, err error) {
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return b, fmt.Errorf("decoding backup: %w", err)
	}
	return b, nil
}

// SiteBackups lists all backups of an install, newest first.
func (c *Client) SiteBackups(ctx context.Context, site string) (all []tasks.Backup, err error) {
	f := BackupFilter{Site: site, Limit: listMax}
	for {
		page, err := c.Backups(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		f.Cursor = page.Next
	}
}

// Backups lists backups, newest first. A page may be short, even empty, and still have a
// Next. Error: ErrBadCursor.
func (c *Client) Backups(ctx context.Context, f BackupFilter) (Page[tasks.Backup], error) {
	if f.Limit <= 0 {
		f.Limit = listDefault
	}
	f.Limit = min(f.Limit, listMax)
	index := c.names.allBackups()
	switch {
	case f.Site != "":
		index = c.names.siteBackups(f.Site)
	case f.Node != "":
		index = c.names.nodeBackups(f.Node)
	case f.Account != "":
		index = c.names.accountBackups(f.Account)
	}
	if f.Cursor != "" && !tasks.IsBackupID(f.Cursor) {
		return Page[tasks.Backup]{}, ErrBadCursor
	}
	page := Page[tasks.Backup]{Items: []tasks.Backup{}, Next: f.Cursor}
	for looked := 0; looked < listScan && len(page.Items) < f.Limit; looked += listBatch {
		more, err := c.backupBatch(ctx, index, f, &page)
		if err != nil || !more {
			return page, err
		}
	}
	return page, nil
}

// backupBatch adds what matches of one stretch of the index. It is false at the index's end,
// where Next becomes "".
func (c *Client) backupBatch(ctx context.Context, index string, f BackupFilter, page *Page[tasks.Backup]) (bool, error) {
	from := "+"
	if page.Next != "" {
		from = "(" + page.Next
	}
	ids, err := c.rdb.ZRevRangeByLex(ctx, index, &redis.ZRangeBy{Max: from, Min: "-", Count: listBatch + 1}).Result()
	if err != nil {
		return false, fmt.Errorf("reading index of backups: %w", err)
	}
	pipe, records := c.rdb.Pipeline(), make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		records[i] = pipe.Get(ctx, c.names.backup(id))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return false, fmt.Errorf("reading backups: %w", err)
	}
	for i, record := range records {
		if i == listBatch || len(page.Items) == f.Limit {
			return true, nil
		}
		page.Next = ids[i]
		text, err := record.Result()
		if err != nil { // being removed
			continue
		}
		b, err := decodeBackup(text)
		if err != nil { // one damaged record must not hide all the others
			c.survived("backups", "skipping backup", err, "backup", ids[i])
			continue
		}
		if f.matches(b) {
			page.Items = append(page.Items, b)
		}
	}
	page.Next = ""
	return false, nil
}

func (n names) backupsListed(node string) string { return n.prefix + "bknode:" + node }

// BackupsListed reports whether a node has listed what is in its store since Redis is there.
func (c *Client) BackupsListed(ctx context.Context, node string) (bool, error) {
	n, err := c.rdb.Exists(ctx, c.names.backupsListed(node)).Result()
	if err != nil {
		return false, fmt.Errorf("asking for the list of backups: %w", err)
	}
	return n == 1, nil
}

// SetBackupsListed notes that it has.
func (c *Client) SetBackupsListed(ctx context.Context, node string) error {
	if err := c.rdb.Set(ctx, c.names.backupsListed(node), "1", 0).Err(); err != nil {
		return fmt.Errorf("noting the list of backups: %w", err)
	}
	return nil
}
