package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/dashboards/picture"
	"github.com/wispanel/wptk/wp/proc"
)

// promServer is a Prometheus of the run's own.
type promServer struct {
	base  string
	since time.Time
}

// tool runs one of the programs that setup --with-prometheus installs.
func tool(ctx context.Context, dir, name string, args ...string) (string, error) {
	path, err := program(name)
	if err != nil {
		return "", fmt.Errorf("finding %s (deploy/setup.sh --with-prometheus): %w", name, err)
	}
	var out bytes.Buffer
	exit, err := proc.Run(ctx, proc.Spec{Path: path, Args: args, Dir: dir, Env: toolEnv, Stdout: &out, Stderr: &out, Trusted: true})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit status %d", exit.Code)
	}
	return out.String(), err
}

// startWatching starts a second API, with TLS, and a Prometheus that scrapes all. The jobs
// have the names that deploy/prometheus/prometheus.yml gives them.
func (w *watch) startWatching(ctx context.Context) (stop func() error, err error) {
	path, err := program("prometheus")
	if err != nil {
		return nil, fmt.Errorf("finding prometheus (deploy/setup.sh --with-prometheus): %w", err)
	}
	second, err := w.secureAPI()
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 5s}
rule_files: [rules/*.rules.yml]
scrape_configs:
  - {job_name: wptk-api, static_configs: [{targets: [%q, %q]}]}
  - {job_name: wptk-worker, static_configs: [{targets: [%q, %q]}]}
`, w.stack.metrics, second, w.nodes[0].metrics, w.nodes[1].metrics)
	if err := writeMode(w.state.dir("prometheus.yml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	p, err := w.stack.launch("prometheus", proc.Spec{Path: path, Dir: w.state.dir(), Env: toolEnv, Trusted: true,
		Args: []string{"--config.file=" + w.state.dir("prometheus.yml"), "--storage.tsdb.path=" + w.state.dir("prometheus"),
			"--web.listen-address=" + addrs[0], "--log.level=warn"}})
	if err != nil {
		return nil, err
	}
	w.prometheus = &promServer{base: "http://" + addrs[0] + "/api/v1/", since: time.Now()}
	stop = func() error { return w.stack.retire(p) }
	// Before anything happens: a counter that is seen first after its first step has not moved.
	return stop, w.await(ctx, "Prometheus to see all processes", func(ctx context.Context) error {
		up, err := w.prometheus.ask(ctx, `sum(up) == 4`, "")
		if err == nil && len(up) == 0 {
			err = errors.New("it does not yet")
		}
		return err
	})
}

// secureAPI starts another API, with a certificate, and answers where its metrics are.
func (w *watch) secureAPI() (string, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return "", err
	}
	cert, key := w.state.dir("cert.pem"), w.state.dir("cert.key")
	if err := writeCertificate(cert, key); err != nil {
		return "", err
	}
	args := append(w.apiArgs(addrs[0], addrs[1]), "--tls-cert", cert, "--tls-key", key)
	if _, err := w.stack.run("api-tls", w.bins.api, args); err != nil {
		return "", err
	}
	return addrs[1], nil
}

// call asks Prometheus and decodes the data of its answer.
func (p *promServer) call(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("asking Prometheus: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking Prometheus: %w", err)
	}
	defer res.Body.Close()
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("reading answer of Prometheus: %w", err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("asking Prometheus for %s: %s", query.Get("query"), answer.Error)
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return fmt.Errorf("reading answer of Prometheus: %w", err)
	}
	return nil
}

// sample is a time and a value as text.
type sample struct {
	at    float64
	value float64
}

// UnmarshalJSON reads [1700000000.5, "1.5"].
func (s *sample) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &[]any{&s.at, &text}); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(text, 64)
	s.value = v
	return err
}

// span is how long it has been watching.
func (p *promServer) span() time.Duration { return time.Since(p.since) }

var placeholder = regexp.MustCompile(`{{ *([a-z_]+) *}}`)

// ask answers the series of a query since the beginning, a value each second. A series in
// which no value is a number is none.
func (p *promServer) ask(ctx context.Context, expr, legend string) ([]picture.Series, error) {
	const step = time.Second
	begin, end := p.since.Truncate(step), time.Now().Truncate(step)
	var data struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Values []sample          `json:"values"`
		} `json:"result"`
	}
	unix := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	if err := p.call(ctx, "query_range", url.Values{"query": {expr}, "start": {unix(begin)}, "end": {unix(end)}, "step": {"1"}}, &data); err != nil {
		return nil, err
	}
	var all []picture.Series
	for _, r := range data.Result {
		s := picture.Series{Values: slices.Repeat([]float64{math.NaN()}, int(end.Sub(begin)/step)+1)}
		s.Name = placeholder.ReplaceAllStringFunc(legend, func(m string) string { return r.Metric[strings.Trim(m, "{} ")] })
		there := false
		for _, v := range r.Values {
			s.Values[int(v.at)-int(begin.Unix())] = v.value
			there = there || !math.IsNaN(v.value) && !math.IsInf(v.value, 0)
		}
		if there {
			all = append(all, s)
		}
	}
	// Buckets of a heatmap by bound, others by name.
	slices.SortFunc(all, func(a, b picture.Series) int {
		x, errX := strconv.ParseFloat(a.Name, 64)
		y, errY := strconv.ParseFloat(b.Name, 64)
		if errX == nil && errY == nil && x != y {
			return int(math.Copysign(1, x-y))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// ruleHealth answers the rules that do not run, and how many there are.
func (p *promServer) ruleHealth(ctx context.Context) (ill []string, n int, err error) {
	var data struct {
		Groups []struct {
			Rules []struct {
				Name      string `json:"name"`
				Health    string `json:"health"`
				LastError string `json:"lastError"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := p.call(ctx, "rules", nil, &data); err != nil {
		return nil, 0, err
	}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				ill = append(ill, r.Name+": "+r.Health+" "+r.LastError)
			}
		}
	}
	return ill, n, nil
}
