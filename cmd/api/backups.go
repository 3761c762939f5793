package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// backup is one backup as it goes out.
type backup struct {
	ID        string `json:"id" example:"bk_0191f3c2-7a5b-7cc1-9d7e-3f52a10b8c4e"`
	Site      string `json:"site_id" doc:"The install; it may be gone."`
	Domain    string `json:"domain"`
	Path      string `json:"path" doc:"Of the install, relative to the domain's directory."`
	Node      string `json:"node"`
	Account   string `json:"account"`
	Type      string `json:"type" enum:"full,files,database"`
	Reason    string `json:"reason" enum:"manual,final,schedule,checkpoint,clone" doc:"final: taken when the install was deleted; checkpoint: before a restore."`
	Label     string `json:"label"`
	CreatedAt stamp  `json:"created_at"`
	KeepUntil stamp  `json:"keep_until" doc:"null: it is kept by number, or for ever."`
	KeepLast  int    `json:"keep_last" doc:"It stays anyway while it is among so many newest."`

	Version   string           `json:"version" doc:"Of WordPress."`
	URL       string           `json:"site_url"`
	Bytes     int64            `json:"bytes" doc:"As a download."`
	Added     int64            `json:"added_bytes" doc:"What the store grew by."`
	Files     int64            `json:"files"`
	Tables    map[string]int64 `json:"tables" doc:"Rows by table."`
	Known     bool             `json:"complete" doc:"false: the list was lost and written anew from the store, and sizes are not known before the next verification."`
	Verified  string           `json:"verified" enum:",ok,failed" doc:"The last test-restore."`
	Checked   stamp            `json:"verified_at"`
	Operation string           `json:"operation_id"`
}

func viewBackup(b tasks.Backup) backup {
	tables := b.Tables
	if tables == nil {
		tables = map[string]int64{}
	}
	return backup{
		ID: b.ID, Site: b.Site.ID, Domain: b.Site.Domain, Path: b.Site.Path, Node: b.Site.Node, Account: b.Site.Account,
		Type: b.Type, Reason: b.Reason, Label: b.Label, CreatedAt: stamp(b.Created), KeepUntil: stamp(b.KeepUntil), KeepLast: b.KeepLast,
		Version: b.WordPress, URL: b.URL, Bytes: b.Bytes, Added: b.Added, Files: b.Files, Tables: tables, Known: !b.Incomplete,
		Verified: b.Verified, Checked: stamp(b.VerifiedAt), Operation: b.Op,
	}
}

type backupsInput struct {
	ID     string `query:"id" maxLength:"64" doc:"The install; all of the account's when left out." example:"wp_4e8a1b2c3d4e5f60"`
	Type   string `query:"type" enum:"full,files,database"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"64"`
}

type backupsAnswer struct {
	Link string `header:"Link" doc:"rel=next is the next page. A page may be short and still have a next."`
	Body []backup
}

// listBackups answers GET /wordpress/backups. The backups of an install that was deleted are
// found by its id as well, by whoever has some.
func (s *server) listBackups(ctx context.Context, in *backupsInput) (*backupsAnswer, error) {
	page, err := s.Ledger.Backups(ctx, queue.BackupFilter{Account: scopeOf(ctx), Site: in.ID, Type: in.Type, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	if in.ID != "" && len(page.Items) == 0 {
		site, err := s.Ledger.Site(ctx, in.ID)
		if err == nil && !sees(ctx, site.Account) {
			err = queue.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
	}
	out := &backupsAnswer{Body: make([]backup, len(page.Items))}
	for i, b := range page.Items {
		out.Body[i] = viewBackup(b)
	}
	if page.Next != "" {
		out.Link = nextLink(apiBase+"/wordpress/backups", page.Next, url.Values{"id": {in.ID}, "type": {in.Type}, "limit": {fmt.Sprint(in.Limit)}})
	}
	return out, nil
}

// backupInput names a backup to change.
type backupInput struct {
	ID     string `path:"id" maxLength:"64" doc:"The backup."`
	OnBusy string `query:"on_busy" enum:"queue,fail" doc:"When another operation has the install; queue by default."`
}

func (s *server) deleteBackup(ctx context.Context, in *backupInput) (*mutation, error) {
	return s.changeBackup(ctx, in, &tasks.BackupDelete{BackupID: in.ID})
}

func (s *server) verifyBackup(ctx context.Context, in *backupInput) (*mutation, error) {
	return s.changeBackup(ctx, in, &tasks.BackupVerify{BackupID: in.ID})
}

// ownBackup is a backup that the caller may see.
func (s *server) ownBackup(ctx context.Context, id string) (tasks.Backup, error) {
	exchangeOf(ctx).target = id
	b, err := s.Ledger.Backup(ctx, id)
	if err == nil && !sees(ctx, b.Site.Account) {
		err = queue.ErrNotFound
	}
	return b, err
}

// changeBackup records an op on a backup. Its install need not be there any more.
func (s *server) changeBackup(ctx context.Context, in *backupInput, task tasks.Task) (*mutation, error) {
	b, err := s.ownBackup(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	node, err := s.servingNode(ctx, b.Site.Node)
	if err != nil {
		return nil, err
	}
	op, err := s.opOf(task, b.Site, node.Recipient)
	if err != nil {
		return nil, err
	}
	return s.submit(ctx, queue.Submission{Op: op, FailIfBusy: in.OnBusy == "fail"})
}

type downloadInput struct {
	ID string `path:"id" maxLength:"64" doc:"The backup."`
}

type downloadAnswer struct {
	Disposition string `header:"Content-Disposition"`
	Body        []byte `contentType:"application/x-tar"`
}

func describeDownload(context.Context, *downloadInput) (*downloadAnswer, error) {
	return nil, errDescribed
}

const (
	exportWait = 30 * time.Second // until the node has found the beginning
	// downloadPatience is how long a client may take for what fits into the buffers between.
	downloadPatience = 2 * time.Minute
)

// download answers with the stream of a backup, as the node gives it out. It is passed on as
// it comes; a stream that breaks off cuts the connection, so that no client takes what it has
// for the whole.
func (s *server) download(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if len(r.URL.RawQuery) > 0 {
		writeProblem(w, r, invalid(tasks.Problem{Field: "query", Reason: "this endpoint takes none"}))
		return
	}
	b, err := s.ownBackup(ctx, mux.Vars(r)["id"])
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	body, err := s.fetchBackup(ctx, b)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	defer body.Close()
	plain, err := s.Secrets.Reader(body)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	x := exchangeOf(ctx)
	x.secret, x.target = true, b.ID
	h := w.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", `attachment; filename="`+downloadName(b)+`"`)
	if b.Bytes > 0 { // a client that counts sees for itself
		h.Set("Content-Length", fmt.Sprint(b.Bytes))
	}
	if _, err := io.Copy(patientWriter{w, http.NewResponseController(w)}, plain); err != nil {
		exchangeOf(ctx).log.Warn("passing on a backup", "request", exchangeOf(ctx).id, "backup", b.ID, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// downloadName has only letters that need no quoting: domains are checked when they are found.
func downloadName(b tasks.Backup) string {
	return b.Site.Domain + "-" + b.Created.UTC().Format("20060102-150405") + "-" + b.Type + ".tar"
}

// fetchBackup has the node give out a backup, encrypted to this API.
func (s *server) fetchBackup(ctx context.Context, b tasks.Backup) (io.ReadCloser, error) {
	node, err := s.servingNode(ctx, b.Site.Node)
	if err != nil {
		return nil, err
	}
	if node.Exports == "" {
		return nil, newProblem("NODE_UNAVAILABLE", "The node of this backup gives none out").hint("the operator has to configure --backups and --backup-listen for it").after(time.Hour)
	}
	token, err := s.Ledger.NewTicket(ctx, b.Site.Node, queue.Ticket{Backup: b.ID, Account: b.Site.Account, Recipient: s.Secrets.Recipient()})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node.Exports+"/backup", nil)
	if err != nil {
		return nil, fmt.Errorf("asking node for backup: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := exportClient.Do(req)
	if err != nil {
		exchangeOf(ctx).log.Warn("asking node for backup", "node", node.ID, "err", err)
		return nil, newProblem("NODE_UNAVAILABLE", "The node of this backup is not reachable").hint("try again").after(30 * time.Second)
	}
	switch res.StatusCode {
	case http.StatusOK:
		return res.Body, nil
	case http.StatusNotFound:
		err = queue.ErrNotFound
	case http.StatusServiceUnavailable:
		err = newProblem("NODE_UNAVAILABLE", "The node gives out as many backups as it can just now").hint("try again").after(time.Minute)
	default:
		err = newProblem("NODE_UNAVAILABLE", "The node could not read the backup").hint("try again; the operator finds the reason in the worker's log").after(time.Minute)
	}
	return nil, errors.Join(err, res.Body.Close())
}

// exportClient follows nothing and keeps nothing open: each answer is long.
var exportClient = &http.Client{
	Transport:     &http.Transport{ResponseHeaderTimeout: exportWait, DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// patientWriter gives every piece its own time, in place of the server's for the whole.
type patientWriter struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p patientWriter) Write(data []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(downloadPatience)); err != nil {
		return 0, err
	}
	return p.w.Write(data)
}
