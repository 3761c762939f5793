package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

func (k *kit) putBackup(site queue.Site, size int64) tasks.Backup {
	k.t.Helper()
	op := tasks.NewOpID("n1")
	b := tasks.Backup{ID: tasks.BackupID(op), Op: op, Site: site.SiteRef, Type: tasks.BackupFull, Reason: tasks.BackupManual,
		Created: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Bytes: size, Tables: map[string]int64{"wp_posts": 7}}
	must(k.t, k.client.PutBackup(k.t.Context(), b))
	return b
}

func TestBackupsAreListedForWhoeverHasTheInstall(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	site, bobs := k.putSite("alice", "blog.com", "public_html"), k.putSite("bob", "bob.com", "public_html")
	gone := site
	gone.ID = tasks.SiteID("n1", "alice", "blog.com", "gone")
	var ids []string
	for range 3 {
		ids = append(ids, k.putBackup(site, 1).ID)
	}
	k.putBackup(gone, 1)
	k.putBackup(bobs, 1)
	list := apiBase + "/wordpress/backups"
	first := k.call(k.alice, "GET", list+"?limit=2&id="+site.ID, "")
	if first.status != 200 || strings.Count(first.raw, `"id"`) != 2 || !strings.Contains(first.raw, ids[2]) || !strings.Contains(first.raw, `"wp_posts":7`) {
		t.Errorf("%d %s", first.status, first.raw)
	}
	next := strings.TrimSuffix(strings.TrimPrefix(first.header.Get("Link"), "<"), `>; rel="next"`)
	if second := k.call(k.alice, "GET", next, ""); strings.Count(second.raw, `"id"`) != 1 || !strings.Contains(second.raw, ids[0]) || second.header.Get("Link") != "" {
		t.Errorf("%s: %s", next, second.raw)
	}
	for path, want := range map[string]int{list: 4, list + "?id=" + gone.ID: 1, list + "?type=files": 0} {
		if got := k.call(k.alice, "GET", path, ""); got.status != 200 || strings.Count(got.raw, `"id"`) != want {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	for _, id := range []string{bobs.ID, "wp_1", tasks.SiteID("n1", "alice", "blog.com", "nowhere")} {
		k.call(k.alice, "GET", list+"?id="+id, "").mustBeRefused(t, id, 404, "NOT_FOUND")
	}
	if got := k.call(k.admin, "GET", list, ""); strings.Count(got.raw, `"id"`) != 5 {
		t.Errorf("an admin sees %s", got.raw)
	}
}

// gives is a node that gives out one backup, or the beginning of it.
func (k *kit) gives(data []byte, whole bool) (addr string) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ticket, err := k.client.TakeTicket(r.Context(), "n1", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil || ticket.Account != "alice" {
			http.Error(w, fmt.Sprint(err, ticket), http.StatusUnauthorized)
			return
		}
		out, err := seal.Writer(ticket.Recipient, w)
		if err == nil {
			_, err = out.Write(data)
		}
		if err != nil || !whole {
			panic(http.ErrAbortHandler)
		}
		_ = out.Close()
	}))
	k.t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestDownloadIsTheBackupOrCutShort(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("backup "), 1<<18)
	for name, whole := range map[string]bool{"whole": true, "broken off": false} {
		for _, size := range []int64{int64(len(data)), 0} { // 0: after the list was lost
			k := newKit(t)
			k.addNodeThatGives(k.gives(data, whole))
			b := k.putBackup(k.putSite("alice", "blog.com", "public_html"), size)
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, k.api.URL+apiBase+"/wordpress/backups/"+b.ID+"/download", nil)
			req.Header.Set("Authorization", "Bearer "+k.alice)
			res, err := http.DefaultClient.Do(req)
			must(t, err)
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			switch {
			case whole && (err != nil || !bytes.Equal(got, data) || res.StatusCode != http.StatusOK):
				t.Errorf("%s: %d, %d bytes, %v", name, res.StatusCode, len(got), err)
			case !whole && !errors.Is(err, io.ErrUnexpectedEOF):
				t.Errorf("%s: %d bytes and %v", name, len(got), err)
			}
			if d := res.Header.Get("Content-Disposition"); d != `attachment; filename="blog.com-20261124-120000-full.tar"` || res.Header.Get("Content-Type") != "application/x-tar" {
				t.Errorf("%v", res.Header)
			}
			if got := k.call(k.bob, "GET", apiBase+"/wordpress/backups/"+b.ID+"/download", ""); got.status != 404 {
				t.Errorf("bob gets %d", got.status)
			}
		}
	}
}

func TestDownloadFromANodeThatGivesNoneIsRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	b := k.putBackup(k.putSite("alice", "blog.com", "public_html"), 1)
	path := apiBase + "/wordpress/backups/" + b.ID + "/download"
	k.call(k.alice, "GET", path, "").mustBeRefused(t, "no address", 503, "NODE_UNAVAILABLE")
	k.addNodeThatGives("127.0.0.1:1")
	k.call(k.alice, "GET", path, "").mustBeRefused(t, "nobody there", 503, "NODE_UNAVAILABLE")
}

// addNodeThatGives registers the node anew, with an address.
func (k *kit) addNodeThatGives(addr string) {
	k.t.Helper()
	must(k.t, queue.NewNode(k.store, queue.NodeConfig{ID: "n1", Recipient: k.nodeKey.Recipient(), Exports: addr}).Register(k.t.Context()))
}
