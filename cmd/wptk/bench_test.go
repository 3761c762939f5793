package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// lastLine decodes the line that a measurement or a proof ends with.
func lastLine(t *testing.T, out *bytes.Buffer, into any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), into); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, out)
	}
}

// call runs the program as the shell would.
func call(t *testing.T, args ...string) (status int, out, errs *bytes.Buffer) {
	t.Helper()
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	con := &console{out: out, err: errs, getenv: func(string) string { return "" }, now: time.Now}
	return run(t.Context(), args, con), out, errs
}

// How fast it is depends on what else the machine does; that both ways were measured does not.
func TestBenchLatencyEndsInFiguresOfBothWays(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Redis; make test does it")
	}
	t.Parallel()
	status, out, errs := call(t, "bench", "latency", "--json", "--n", "5", "--idle", "2s")
	var f latencyFigures
	lastLine(t, out, &f)
	if f.Name != "bench.latency" || f.N != 5 || f.Value <= 0 || f.Baseline <= 0 || f.Idle.Stock <= 0 { // ours may well be silent that long
		t.Errorf("%s%s", out, errs)
	}
	if (status == exitOK) != f.Met {
		t.Errorf("exit status %d, met %v", status, f.Met)
	}
}

func TestQuantileOfValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{nil, .5, 0},
		{[]float64{3}, 1, 3},
		{[]float64{3, 1, 2}, 0, 1},
		{[]float64{3, 1, 2}, .5, 2},
		{[]float64{4, 3, 1, 2}, .99, 4},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, not %v", c.values, c.q, got, c.want)
		}
	}
}

func TestLoadCountsAnswersAndStopsAtWrongOnes(t *testing.T) {
	t.Parallel()
	var refuse = make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-refuse:
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			if r.Header.Get("Authorization") != "Bearer k" || r.URL.Path != "/p" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			io.WriteString(w, "hello")
		}
	}))
	t.Cleanup(srv.Close)
	target, err := newTarget(t.Context(), srv.Listener.Addr().String(), "/p", "k", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.close)
	n, err := target.load(t.Context(), 50*time.Millisecond, true)
	if err != nil || n < 2 || target.quantile(1) <= 0 {
		t.Fatalf("%d answers, %v", n, err)
	}
	close(refuse)
	if _, err := target.load(t.Context(), time.Minute, true); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("a refusal counts as an answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := target.load(ctx, time.Minute, true); err == nil {
		t.Error("a measurement that was broken off counts")
	}
}

func TestBareHandlerWritesEveryField(t *testing.T) {
	t.Parallel()
	for packed, want := range map[string]string{
		"1,0,3;axyz": `{"success":true,"fields":["a","","xyz"]}` + "\n",
		"5;x":        "",
		"x;x":        "",
	} {
		var b bytes.Buffer
		writeFields(&b, packed)
		if b.String() != want {
			t.Errorf("%q became %q", packed, &b)
		}
	}
}

func TestStreamReaderCountsWhatIsLeftOutAndWhatComesTwice(t *testing.T) {
	t.Parallel()
	r := &streamReader{seqs: map[string]int64{}}
	lines := bufio.NewReaderSize(strings.NewReader(`id: 1-00-1
event: snapshot
data: {"operations":[{"operation_id":"op_a","seq":2}],"truncated":false}

: still here

id: 2-00-1
event: progress
data: {"operation_id":"op_a","message":"","seq":3}

id: 2-00-1
event: progress
data: {"operation_id":"op_a","message":"","seq":3}

id: 3-00-1
event: progress
data: {"operation_id":"op_b","message":"","seq":2,"at":""}

id: 4-00-1
event: progress
data: {"operation_id":"op_a","message":"","se`), 16)
	for range 5 {
		if done, err := r.event(lines); err != nil || done {
			t.Fatal(done, err)
		}
	}
	if _, err := r.event(lines); !errors.Is(err, errReading) || r.last != "3-00-1" {
		t.Errorf("half an event counts: %v, behind %s", err, r.last)
	}
	if r.again != 1 || r.gaps != 1 || r.missing(map[string]int64{"op_a": 3, "op_b": 2, "op_c": 4}) != 5 {
		t.Errorf("%d twice, %d left out, %d missing", r.again, r.gaps, r.missing(map[string]int64{"op_a": 3, "op_b": 2, "op_c": 4}))
	}
}
