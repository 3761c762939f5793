package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

type backupsCmd struct {
	List     backupsListCmd     `cmd:"" help:"Backups that the key may see, newest first."`
	Create   backupsCreateCmd   `cmd:"" help:"Take a backup of an install."`
	Verify   backupsVerifyCmd   `cmd:"" help:"Restore a backup where nobody sees it, and compare."`
	Delete   backupsDeleteCmd   `cmd:"" help:"Delete a backup."`
	Download backupsDownloadCmd `cmd:"" help:"Fetch a backup as one tar."`
}

// backupView is what the API says about a backup.
type backupView struct {
	ID        string           `json:"id"`
	Site      string           `json:"site_id"`
	Domain    string           `json:"domain"`
	Path      string           `json:"path"`
	Type      string           `json:"type"`
	Reason    string           `json:"reason"`
	Label     string           `json:"label"`
	CreatedAt time.Time        `json:"created_at"`
	Bytes     int64            `json:"bytes"`
	Added     int64            `json:"added_bytes"`
	Files     int64            `json:"files"`
	Tables    map[string]int64 `json:"tables"`
	Verified  string           `json:"verified"`
}

type backupsListCmd struct {
	Site string `help:"Only of this install." env:"-"`
	Type string `help:"Only of this type: full, files, database." env:"-"`
	paging
}

// Run prints the list.
func (cmd *backupsListCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var rows [][]string
	err = cmd.each(filter("id", cmd.Site, "type", cmd.Type), func(q url.Values) (int, string, error) {
		var page []backupView
		got, err := c.get(ctx, "/wordpress/backups", q, &page)
		if err != nil {
			return 0, "", err
		}
		if a.json {
			return len(page), nextCursor(got.header), a.line(got.raw)
		}
		for _, b := range page {
			rows = append(rows, []string{clean(b.ID), orDash(b.Domain), orDash(b.Type), orDash(b.Reason), ago(a.now(), b.CreatedAt),
				inMegabytes(b.Bytes), inMegabytes(b.Added), orDash(b.Verified), orDash(b.Label)})
		}
		return len(page), nextCursor(got.header), nil
	})
	if err != nil || a.json {
		return err
	}
	return a.table("BACKUP DOMAIN TYPE REASON TAKEN SIZE ADDED VERIFIED LABEL", rows)
}

func inMegabytes(n int64) string { return fmt.Sprintf("%.1fMB", float64(n)/(1<<20)) }

type backupsCreateCmd struct {
	Site  string `arg:"" help:"The install's id."`
	Type  string `help:"full, files or database." enum:"full,files,database" default:"full" env:"-"`
	Label string `help:"For people." env:"-"`
	Days  int    `name:"keep-days" help:"How long it stays." env:"-"`
	Last  int    `name:"keep-last" help:"It stays anyway while it is among so many newest." env:"-"`
}

// Run takes the backup and follows it.
func (cmd *backupsCreateCmd) Run(ctx context.Context, a *app) error {
	body := map[string]any{"id": cmd.Site, "type": cmd.Type}
	if cmd.Label != "" {
		body["label"] = cmd.Label
	}
	if cmd.Days != 0 {
		body["keep_days"] = cmd.Days
	}
	if cmd.Last != 0 {
		body["keep_last"] = cmd.Last
	}
	return a.changeBackup(ctx, request{method: http.MethodPost, path: "/wordpress/backup", body: body})
}

type backupsVerifyCmd struct {
	ID string `arg:"" help:"The backup's id."`
}

// Run tries the backup.
func (cmd *backupsVerifyCmd) Run(ctx context.Context, a *app) error {
	return a.changeBackup(ctx, request{method: http.MethodPost, path: "/wordpress/backups/" + url.PathEscape(cmd.ID) + "/verify"})
}

type backupsDeleteCmd struct {
	ID string `arg:"" help:"The backup's id."`
}

// Run deletes the backup.
func (cmd *backupsDeleteCmd) Run(ctx context.Context, a *app) error {
	return a.changeBackup(ctx, request{method: http.MethodDelete, path: "/wordpress/backups/" + url.PathEscape(cmd.ID)})
}

// changeBackup asks for something and follows it to its end.
func (a *app) changeBackup(ctx context.Context, r request) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var op accepted
	got, err := c.do(ctx, r, &op)
	if err != nil {
		return err
	}
	return a.accepted(ctx, c, op, got.raw, true)
}

type backupsDownloadCmd struct {
	ID     string `arg:"" help:"The backup's id."`
	Output string `short:"o" help:"File to write; - is standard output." default:"-" placeholder:"FILE" env:"-"`
}

// Run fetches the backup. A file has its name only when it is whole.
func (cmd *backupsDownloadCmd) Run(ctx context.Context, a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if cmd.Output == "-" {
		_, err := c.download(ctx, cmd.ID, a.out)
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(cmd.Output), ".wptk-download-*") // 0600: it has passwords in it
	if err != nil {
		return fmt.Errorf("making file: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has got its name, or is of no use
	n, err := c.download(ctx, cmd.ID, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), cmd.Output)
	}
	if err != nil {
		return fmt.Errorf("downloading: %w", err)
	}
	say(a.err, "%s: %d bytes", cmd.Output, n)
	return nil
}
