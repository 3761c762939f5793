package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wispanel/wptk/tasks"
)

func TestHandWrittenProgressIsWhatReflectionWrites(t *testing.T) {
	t.Parallel()
	s := &server{nodes: &nodeCache{at: time.Now().Add(time.Hour)}}
	rapid.Check(t, func(r *rapid.T) {
		when := rapid.Custom(func(r *rapid.T) time.Time {
			if ms := rapid.Int64Range(0, 4e12).Draw(r, "ms"); ms > 0 {
				return time.UnixMilli(ms)
			}
			return time.Time{}
		})
		op := tasks.Op{
			ID: rapid.String().Draw(r, "id"), Kind: rapid.String().Draw(r, "kind"),
			State:    rapid.SampledFrom([]tasks.State{tasks.Queued, tasks.Running, tasks.Succeeded, tasks.Failed}).Draw(r, "state"),
			Progress: rapid.IntRange(0, 100).Draw(r, "progress"), Message: rapid.String().Draw(r, "message"),
			Seq: rapid.Int64().Draw(r, "seq"), Attempt: rapid.Int().Draw(r, "attempt"),
			CreatedAt: when.Draw(r, "created"), StartedAt: when.Draw(r, "started"), UpdatedAt: when.Draw(r, "updated"),
			Site: tasks.SiteRef{ID: "wp_1", Node: "n", Domain: rapid.String().Draw(r, "domain"), Path: rapid.String().Draw(r, "path")},
		}
		if rapid.Bool().Draw(r, "has result") {
			op.Result = json.RawMessage(`{"a":"b"}`)
		}
		if rapid.Bool().Draw(r, "has error") {
			op.Error = &tasks.Failure{Code: "c", Message: rapid.String().Draw(r, "error"), Hint: rapid.String().Draw(r, "hint")}
		}
		v := s.view(t.Context(), op, time.UnixMilli(2e12))
		slow, err := json.Marshal(v)
		must(t, err)
		var want, got any
		must(t, json.Unmarshal(slow, &want))
		if err := json.Unmarshal(v.appendJSON(nil), &got); err != nil {
			r.Fatalf("%v in %s", err, v.appendJSON(nil))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatal(diff)
		}
		if !slices.Equal(names(t, string(slow)), names(t, string(v.appendJSON(nil)))) {
			r.Fatal("the fields are in another order")
		}
	})
}

func TestResultTakesOneMoreField(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "{}", `{"a":1}`} {
		var got map[string]any
		must(t, json.Unmarshal(object(in).with("p", `q"`), &got))
		if got["p"] != `q"` {
			t.Errorf("%q became %v", in, got)
		}
	}
}

func TestStalledIsARunningOpWithoutNews(t *testing.T) {
	t.Parallel()
	s := &server{nodes: &nodeCache{at: time.Now().Add(time.Hour)}}
	now := time.Now()
	for _, c := range []struct {
		state  tasks.State
		silent time.Duration
		want   bool
	}{
		{tasks.Running, 29 * time.Second, false}, {tasks.Running, 31 * time.Second, true},
		{tasks.Queued, time.Hour, false}, {tasks.Succeeded, time.Hour, false},
	} {
		if got := s.stalled(t.Context(), tasks.Op{State: c.state, UpdatedAt: now.Add(-c.silent)}, now); got != c.want {
			t.Errorf("%s silent for %v: %v", c.state, c.silent, got)
		}
	}
}

func TestEtaTakesTheRestToBeAsFastAsTheStart(t *testing.T) {
	t.Parallel()
	now := time.Now()
	op := tasks.Op{State: tasks.Running, Progress: 25, StartedAt: now.Add(-10 * time.Second)}
	if got := eta(op, now); got == nil || *got != 30 {
		t.Errorf("eta = %v, want 30", got)
	}
	op.Progress = 0
	if got := eta(op, now); got != nil {
		t.Errorf("eta from nothing = %d", *got)
	}
}

func TestForwardedAddressIsBelievedFromOurProxiesOnly(t *testing.T) {
	t.Parallel()
	s := &server{deps: deps{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:1", "", "192.0.2.1"},
		{"192.0.2.1:1", "198.51.100.7", "192.0.2.1"},
		{"10.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:1", "203.0.113.9, 198.51.100.7, 10.1.1.1", "198.51.100.7"},
		{"10.0.0.1:1", "forged, 198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:1", "198.51.100.7, nonsense", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", "2001:db8::1", "2001:db8::1"},
		{"[fd00::1]:1", "", "fd00::1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := s.clientAddr(r).String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestRequestIDIsKeptWhenHarmless(t *testing.T) {
	t.Parallel()
	for id, keep := range map[string]bool{"abc-1.2_Z": true, "": false, "a b": false, "a\"b": false, strings.Repeat("x", 65): false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Request-Id", id)
		if got := requestID(r); (got == id) != keep || got == "" {
			t.Errorf("%q became %q", id, got)
		}
	}
}

func TestVersionsSortByNumber(t *testing.T) {
	t.Parallel()
	got := newestFirst(map[string]bool{"6.9": true, "6.10": true, "6.9.4": true, "6.10-beta1": true})
	if want := []string{"6.10", "6.9.4", "6.9", "6.10-beta1"}; !slices.Equal(got, want) && got[0] != "6.10" {
		t.Errorf("got %v", got)
	}
}

func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"a":2}`, `[[[[]]]]`, "\xff", `{"domain":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var loose any
		if err := unmarshalStrict(data, &loose); err != nil {
			return
		}
		// What the strict reader takes, every other reader takes, and means the same.
		var other any
		if err := json.Unmarshal(data, &other); err != nil {
			t.Fatalf("only the strict reader takes %q: %v", data, err)
		}
		if diff := cmp.Diff(other, loose); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzBadPath(f *testing.F) {
	for _, seed := range []string{"public_html", "../x", "a/./b", "/etc", "a//b", ".", "a/..", ".ssh"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if badPath(p) == "" && (strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..")) {
			t.Errorf("%q is let through", p)
		}
	})
}
