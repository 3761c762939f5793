package queue_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/queue/queuetest"
	"github.com/wispanel/wptk/tasks"
)

func backupOf(account, domain string) tasks.Backup {
	op := queuetest.Op("n1", "backup", domain)
	op.Site.Account = account
	op.Site.ID = tasks.SiteID("n1", account, domain, "public_html")
	return tasks.Backup{ID: tasks.BackupID(op.ID), Op: op.ID, Site: op.Site, Type: tasks.BackupFull, Created: time.Now().UTC().Truncate(time.Second),
		Tables: map[string]int64{"wp_posts": 3}}
}

func TestBackupsAreListedNewestFirstByWhomTheyBelongTo(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), queue.NewClient(queuetest.Open(t))
	var alice []tasks.Backup
	for i := range 25 {
		b := backupOf("alice", fmt.Sprintf("site%d.com", i%2))
		mustDo(t, c.PutBackup(ctx, b))
		mustDo(t, c.PutBackup(ctx, b)) // a crash between and again
		alice = append([]tasks.Backup{b}, alice...)
		mustDo(t, c.PutBackup(ctx, backupOf("bob", "bob.com")))
	}
	var got []string
	for f := (queue.BackupFilter{Account: "alice", Limit: 10}); ; {
		page, err := c.Backups(ctx, f)
		mustDo(t, err)
		for _, b := range page.Items {
			got = append(got, b.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if len(got) != len(alice) {
		t.Fatalf("%d backups, want %d", len(got), len(alice))
	}
	for i := range got {
		if got[i] != alice[i].ID {
			t.Errorf("%d: %s, want %s", i, got[i], alice[i].ID)
		}
	}
	if all, err := c.SiteBackups(ctx, alice[0].Site.ID); err != nil || len(all) != 13 {
		t.Errorf("%d of the site, %v", len(all), err)
	}
	mustDo(t, c.RemoveBackup(ctx, alice[0]))
	mustDo(t, c.RemoveBackup(ctx, alice[0]))
	if _, err := c.Backup(ctx, alice[0].ID); !errors.Is(err, queue.ErrNotFound) || !errors.Is(err, tasks.ErrNoBackup) {
		t.Errorf("a removed one: %v", err)
	}
	if b, err := c.Backup(ctx, alice[1].ID); err != nil || b.Tables["wp_posts"] != 3 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := c.Backups(ctx, queue.BackupFilter{Cursor: "x"}); !errors.Is(err, queue.ErrBadCursor) {
		t.Errorf("%v", err)
	}
}

func TestTicketIsGoodOnce(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), queue.NewClient(queuetest.Open(t))
	want := queue.Ticket{Backup: "bk_1", Account: "alice", Recipient: "age1"}
	token, err := c.NewTicket(ctx, "n1", want)
	mustDo(t, err)
	if _, err := c.TakeTicket(ctx, "n2", token); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("on another node: %v", err)
	}
	if got, err := c.TakeTicket(ctx, "n1", token); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.TakeTicket(ctx, "n1", token); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the second time: %v", err)
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
