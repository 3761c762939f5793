package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/wispanel/wptk/client"
)

// panel stands in for a real API, of which cmd/api tries the same calls.
func panel() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/install"):
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"success":true,"id":"wp_1","operation_id":"op_1","type":"install","status":"queued"}`)
		case strings.HasSuffix(r.URL.Path, "/wordpress/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "id: 5-00-1\nevent: snapshot\ndata: {\"operations\":[{\"operation_id\":\"op_1\",\"type\":\"install\"}]}\n\n",
				"id: 6-00-1\nevent: done\ndata: {\"operation_id\":\"op_1\",\"type\":\"install\",\"domain\":\"blog.com\",\"status\":\"succeeded\",\"done\":true}\n\n")
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "id: 1\nevent: snapshot\ndata: {\"operation_id\":\"op_1\",\"status\":\"running\",\"progress\":40,\"step\":\"core_files\"}\n\n",
				"id: 2\nevent: done\ndata: {\"operation_id\":\"op_1\",\"status\":\"succeeded\",\"done\":true,\"progress\":100,\"step\":\"finish\",",
				"\"result\":{\"site_url\":\"https://blog.com\",\"admin_password\":\"s3cret\"}}\n\n")
		default:
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, `{"success":false,"code":"CONFLICT","error":"Another operation is running on this install","status":409,"operation_id":"op_1"}`)
		}
	}))
}

func Example() {
	api := panel()
	defer api.Close()
	c, err := client.New(api.URL, "wsp_…", client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	// With the order's number the install is made once, however often this runs.
	ctx := client.WithIdempotencyKey(context.Background(), "order-17")
	accepted, err := c.Install(ctx, client.InstallRequest{
		Domain: "blog.com", Path: "public_html", Title: "Blog",
		AdminUser: "jane", AdminEmail: "jane@blog.com",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	op, err := c.Wait(ctx, accepted.OperationID, func(o client.Operation) {
		fmt.Printf("%d %% %s\n", o.Progress, o.Step)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var site struct {
		URL      string `json:"site_url"`
		Password string `json:"admin_password"`
	}
	if err := op.Into(&site); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(site.URL, site.Password)
	// Output:
	// 40 % core_files
	// 100 % finish
	// https://blog.com s3cret
}

func ExampleError() {
	api := panel()
	defer api.Close()
	c, err := client.New(api.URL, "wsp_…", client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.UpdateCore(context.Background(), client.UpdateCoreRequest{ID: "wp_1", OnBusy: "fail"})
	var refused *client.Error
	if errors.Is(err, client.ErrConflict) && errors.As(err, &refused) {
		fmt.Println("busy with", refused.OperationID)
	}
	// Output: busy with op_1
}

// One stream tells of every operation of the account. What it was told last is kept, so
// that nothing is missed when this is started anew.
func ExampleClient_Events() {
	api := panel()
	defer api.Close()
	c, err := client.New(api.URL, "wsp_…", client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	last := ""
	for e, err := range c.Events(context.Background(), client.EventsQuery{After: last}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		last = e.ID
		if e.Snapshot != nil {
			fmt.Println(len(e.Snapshot.Operations), "open")
			continue
		}
		fmt.Println(e.Change.Type, "of", e.Change.Domain, e.Change.Status)
		if e.Change.Done {
			break
		}
	}
	fmt.Println("to be resumed behind", last)
	// Output:
	// 1 open
	// install of blog.com succeeded
	// to be resumed behind 6-00-1
}
