package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
)

// simSide is what all nodes share.
type simSide struct {
	redis   *devstack.Server
	rdb     *redis.Client
	api     *benchServer
	metrics string // address
	dir     string // of secrets
	key     string // sees all
	fewKey  string // sees the installs of simFew
	client  *client
	scraped time.Time
}

const (
	connsOfNode = 9 // at most: the lanes' three, two of the store, three subscriptions, one that comes and goes
	connsSpare  = 500
	// A snapshot of the fleet is used for ten seconds; only a scrape after that reads Redis.
	snapshotCold = 10*time.Second + 200*time.Millisecond
)

// roomFor reports whether this process may open the connections of so many nodes.
func roomFor(nodes int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if need := uint64(nodes*connsOfNode + connsSpare); limit.Max < need {
		return usage("--nodes %d needs %d open files, and this process may have %d (ulimit -Hn)", nodes, need, limit.Max)
	}
	return nil
}

// apiProgram is wptk-api beside this program, or built from the sources.
func apiProgram(ctx context.Context) (string, error) {
	if path, err := sibling("wptk-api"); err == nil {
		return path, nil
	}
	bins, err := build(ctx)
	return bins.api, err
}

func startSide(ctx context.Context, program string, nodes int) (s *simSide, err error) {
	s = &simSide{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
			s = nil
		}
	}()
	clients := strconv.Itoa(nodes*connsOfNode + connsSpare)
	if s.redis, err = devstack.Redis(ctx, devstack.RedisOptions{Extra: []string{"maxclients " + clients}}); err != nil {
		return s, err
	}
	s.rdb = redis.NewClient(&redis.Options{Addr: s.redis.Addr, Password: s.redis.Password})
	if s.dir, err = os.MkdirTemp("", "wptk-simulate-"); err != nil {
		return s, fmt.Errorf("making a folder for secrets: %w", err)
	}
	if err := s.makeKey(ctx); err != nil {
		return s, err
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return s, err
	}
	s.metrics = addrs[0]
	password := filepath.Join(s.dir, "redis")
	if err := os.WriteFile(password, []byte(s.redis.Password), 0o600); err != nil {
		return s, fmt.Errorf("writing the password of Redis: %w", err)
	}
	s.api, err = startServer(ctx, program, []string{"--metrics-listen", s.metrics, "--log-level", "warn",
		"--redis-url", "redis://" + s.redis.Addr + "/0", "--redis-password-file", password,
		"--secrets-key-file", filepath.Join(s.dir, "api.age"), "--rate-limit", strconv.Itoa(1 << 30)})
	if err != nil {
		return s, err
	}
	s.client, err = newClient("http://"+s.api.addr, s.key)
	return s, err
}

func (s *simSide) makeKey(ctx context.Context) error {
	store, err := queue.Open(ctx, queue.Options{URL: s.redis.URL(0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("opening Redis: %w", err)
	}
	defer store.Close() //nolint:errcheck // one call was made
	client := queue.NewClient(store)
	if _, s.key, err = client.CreateKey(ctx, queue.NewKey{Name: "all", Owner: "simulate", Role: queue.RoleAdmin}); err != nil {
		return err
	}
	_, s.fewKey, err = client.CreateKey(ctx, queue.NewKey{Name: "few", Owner: simFew, Role: queue.RoleUser})
	return err
}

func (s *simSide) stop() (err error) {
	if s == nil {
		return nil
	}
	if s.api != nil {
		err = s.api.stop()
	}
	if s.rdb != nil {
		err = errors.Join(err, s.rdb.Close())
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Stop())
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// fetch is a GET as a client makes it, read to its end.
func (s *simSide) fetch(ctx context.Context, key, url string) (body []byte, next string, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", 0, fmt.Errorf("asking for %s: %w", url, err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", 0, fmt.Errorf("asking: %w", err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	took = time.Since(began)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s: %s", res.Status, body)
	}
	if err != nil {
		return nil, "", 0, fmt.Errorf("reading %s: %w", url, err)
	}
	if link, _, ok := strings.Cut(res.Header.Get("Link"), ">"); ok {
		next = "http://" + s.api.addr + strings.TrimPrefix(link, "<")
	}
	return body, next, took, nil
}

// scrape reads /metrics when what it shows has to be read from Redis anew.
func (s *simSide) scrape(ctx context.Context) (ms float64, text []byte, err error) {
	if err := pause(ctx, time.Until(s.scraped.Add(snapshotCold))); err != nil {
		return 0, nil, err
	}
	text, _, took, err := s.fetch(ctx, "", "http://"+s.metrics+"/metrics")
	s.scraped = time.Now()
	return milliseconds(took), text, err
}

// reconcileState is how long the API's leader takes to look after the fleet.
type reconcileState struct {
	Mean float64 `json:"mean_ms"`
	N    int     `json:"n"`
}

func (s *simSide) reconciled(ctx context.Context) (reconcileState, error) {
	text, _, _, err := s.fetch(ctx, "", "http://"+s.metrics+"/metrics")
	if err != nil {
		return reconcileState{}, err
	}
	sum, n := series(text, "wptk_reconcile_duration_seconds_sum"), series(text, "wptk_reconcile_duration_seconds_count")
	return reconcileState{Mean: figure(1000 * sum / max(n, 1)), N: int(n)}, nil
}

// series is the value of a metric without labels, 0 when it is not there.
func series(text []byte, name string) float64 {
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, _ := strconv.ParseFloat(rest, 64) // written by Prometheus' own library
			return value
		}
	}
	return 0
}

const syncs = 50

// syncTimes are the times in ms of writes that are on the disk when they are done.
func syncTimes(dir string) (ms []float64, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, fmt.Errorf("trying the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for range syncs {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return nil, fmt.Errorf("trying the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return nil, fmt.Errorf("trying the disk: %w", err)
		}
		ms = append(ms, milliseconds(time.Since(began)))
	}
	return ms, nil
}

// loadAverage is what the machine does, over a minute; 0 where it does not say.
func loadAverage() (load float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	if err != nil {
		return 0
	}
	return load
}
