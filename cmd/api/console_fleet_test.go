//go:build browser

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// fleet is a kit whose nodes do what a test says: there is no WordPress, and all that the
// console sees is real.
type fleet struct {
	*kit
	prefix   string
	advance  chan tasks.Event // for the install of blog.example; closed, it succeeds
	attempts atomic.Int64     // of shop.example
	hold     chan struct{}    // closed at the end: what runs for the picture ends
}

const hostileTitle = `<img src=x onerror="document.title='owned'"><b>Title</b>`

func newFleet(t *testing.T) *fleet {
	f := &fleet{kit: newKit(t), advance: make(chan tasks.Event), hold: make(chan struct{})}
	f.prefix = t.Name() + ":"
	must(t, f.store.Client().Del(t.Context(), f.prefix+"nodes").Err()) // the kit's own would only be in the picture
	for i, name := range []string{"fra-web-01", "fra-web-02", "ams-web-01", "ams-web-02", "waw-web-01", "waw-web-02"} {
		n := f.register(name)
		for j := range 3 + 7*i {
			f.publish(n, name, fmt.Sprintf("customer-%d-%d.example", i, j), "Customer's blog")
		}
		if name != "waw-web-01" { // that is lost
			background(t, n.Run)
		}
		if i < 2 {
			background(t, func(ctx context.Context) error { return n.Serve(ctx, queue.Handler{Run: f.run}) })
		}
	}
	t.Cleanup(func() { close(f.hold) }) // before the nodes are asked to drain
	for node, waiting := range map[string]int{"ams-web-01": 2, "ams-web-02": 5, "waw-web-01": 9} {
		for i := range waiting {
			f.submit(node, "backup", fmt.Sprintf("customer-%d-%d.example", 3, i))
		}
	}
	must(t, f.client.SetDrain(t.Context(), "ams-web-02", true))
	silent := time.Now().Add(-4 * time.Minute).UnixMilli()
	must(t, f.store.Client().HSet(t.Context(), f.prefix+"node:waw-web-01", "beat", silent).Err())
	return f
}

func (f *fleet) register(name string) *queue.Node {
	n := queue.NewNode(f.store, queue.NodeConfig{ID: name, Version: "1.0.0", Recipient: f.nodeKey.Recipient(), PHP: "8.3", WPCLI: "2.12.0",
		WordPress: []string{"6.9"}, FastSlots: 6, BulkSlots: 1})
	must(f.t, n.Register(f.t.Context()))
	return n
}

func (f *fleet) publish(n *queue.Node, node, domain, title string) {
	must(f.t, n.PutSite(f.t.Context(), queue.Site{SiteRef: ref(node, domain), Status: queue.SiteOK, Docroot: "/home/alice/domains/" + domain + "/public_html",
		Version: "6.9.4", PHPVersion: "8.3", Title: title, Source: queue.SourceScan, UpdatedAt: time.Now()}))
}

func ref(node, domain string) tasks.SiteRef {
	return tasks.SiteRef{ID: tasks.SiteID(node, "alice", domain, "public_html"), Node: node, Account: "alice", Domain: domain, Path: "public_html"}
}

// submit has the ledger accept an op, as the API does.
func (f *fleet) submit(node, kind, domain string) string {
	f.t.Helper()
	receipt, err := f.client.Submit(f.t.Context(), queue.Submission{Retention: time.Hour, Op: tasks.Op{
		ID: tasks.NewOpID(node), Kind: kind, Class: tasks.Interactive, Site: ref(node, domain), Payload: []byte(`{}`), KeyID: "k"}})
	must(f.t, err)
	return receipt.Op.ID
}

// run is what the nodes do.
func (f *fleet) run(ctx context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
	switch op.Site.Domain {
	case "blog.example":
		rec.Log("Downloading WordPress 6.9.4 …")
		for e := range f.advance {
			rec.Log("$ wp " + e.Step + " --path=/home/alice/domains/blog.example/public_html")
			if err := rec.Progress(ctx, e); err != nil {
				return tasks.Outcome{}, err
			}
		}
		rec.Log("Success: WordPress installed successfully.")
	case "shop.example":
		if f.attempts.Add(1) == 1 {
			return tasks.Outcome{State: tasks.Failed, Error: &tasks.Failure{Code: tasks.CodeDatabaseError, Message: "The database server refused the connection.", Hint: "Look at MariaDB on the node, then try again."}}, nil
		}
	default:
		return f.untilCancelled(ctx, op, rec)
	}
	return tasks.Outcome{State: tasks.Succeeded}, nil
}

// untilCancelled has something stand still half way.
func (f *fleet) untilCancelled(ctx context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
	part := 20 + len(op.Site.Domain)*37%70
	step := tasks.Event{State: tasks.Running, Progress: part, Step: "upload", StepIndex: 2, StepsTotal: 4, Message: "1,204 of 3,310 files"}
	if op.Kind == "core.update" {
		step.Step, step.Message = "copy_tables", "wp_posts, 14 of 31 tables"
	}
	if err := rec.Progress(ctx, step); err != nil {
		return tasks.Outcome{}, err
	}
	select {
	case <-rec.Cancelled():
		return tasks.Outcome{State: tasks.Cancelled}, nil
	case <-f.hold:
	}
	return tasks.Outcome{State: tasks.Succeeded}, nil
}
