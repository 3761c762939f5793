package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// hookStage is an API process, a node whose operations end at once, and the receivers of all
// webhooks, which listen where the API may go.
type hookStage struct {
	bench    *progressBench
	client   *queue.Client
	api      *benchServer
	accounts []string
	clients  map[string]*client // by account

	server *http.Server
	outer  net.Listener // of the receivers
	inside net.Listener // where nobody may get
	knocks atomic.Int32 // connections to inside
	away   atomic.Bool
	back   chan struct{} // closed when the receivers return

	mu        sync.Mutex
	receivers map[string]*hookReceiver // by path
	ops       map[string][]string      // by account, since there are webhooks of all sorts
}

// hookNet is the one address of this machine that webhooks may lead to.
const hookNet = "127.0.0.2"

func openHookStage(ctx context.Context, cmd *benchWebhooksCmd) (_ *hookStage, err error) {
	s := &hookStage{
		bench: &progressBench{stop: func() error { return nil }}, clients: map[string]*client{},
		back: make(chan struct{}), receivers: map[string]*hookReceiver{}, ops: map[string][]string{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.bench.dir, err = os.MkdirTemp("", "wptk-bench-"); err != nil {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	if s.bench.redis, err = devstack.Redis(ctx, devstack.RedisOptions{}); err != nil {
		return nil, err
	}
	if s.bench.store, err = queue.Open(ctx, queue.Options{URL: s.bench.redis.URL(0)}, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	s.client = queue.NewClient(s.bench.store)
	node := queue.NewNode(s.bench.store, queue.NodeConfig{ID: benchNode, FastSlots: fastSlots, BulkSlots: bulkSlots})
	s.bench.stop = inBackground(ctx, node.Run, func(ctx context.Context) error {
		return node.Serve(ctx, queue.Handler{Run: func(context.Context, tasks.Op, *queue.Recorder) (tasks.Outcome, error) {
			return tasks.Outcome{State: tasks.Succeeded}, nil
		}})
	})
	if err := s.listen(); err != nil {
		return nil, err
	}
	if s.api, err = s.bench.startAPI(ctx, "", "--egress-allow", hookNet, "--webhook-hour", cmd.Hour.String()); err != nil {
		return nil, err
	}
	return s, s.sign(ctx, cmd.Accounts)
}

// listen opens both sides: the receivers', and the one inside.
func (s *hookStage) listen() (err error) {
	if s.outer, err = net.Listen("tcp", hookNet+":0"); err != nil {
		return fmt.Errorf("listening for webhooks: %w", err)
	}
	if s.inside, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listening inside: %w", err)
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go s.server.Serve(s.outer) //nolint:errcheck // it ends with close
	go func() {
		for {
			conn, err := s.inside.Accept()
			if err != nil {
				return
			}
			s.knocks.Add(1)
			conn.Close()
		}
	}()
	return nil
}

// sign makes the accounts' keys.
func (s *hookStage) sign(ctx context.Context, accounts int) error {
	for i := range accounts {
		account := "a" + strconv.Itoa(i)
		_, key, err := s.client.CreateKey(ctx, queue.NewKey{Name: "bench", Owner: account})
		if err != nil {
			return err
		}
		if s.clients[account], err = newClient("http://"+s.api.addr, key); err != nil {
			return err
		}
		s.accounts = append(s.accounts, account)
	}
	return nil
}

// hook makes webhooks of some sorts, one for each account.
func (s *hookStage) hook(ctx context.Context, sorts ...hookSort) error {
	for _, account := range s.accounts {
		for _, sort := range sorts {
			path := "/" + account + "/" + string(sort)
			address := "http://" + s.outer.Addr().String() + path
			if sort == hookLeadsInside {
				_, port, err := net.SplitHostPort(s.inside.Addr().String())
				if err != nil {
					return fmt.Errorf("reading address: %w", err)
				}
				address = "http://localhost:" + port + path
			}
			r := &hookReceiver{sort: sort, account: account, events: map[string]int{}}
			var made struct {
				Secret  string  `json:"secret"`
				Webhook webhook `json:"webhook"`
			}
			if _, err := s.clients[account].post(ctx, "/webhooks", map[string]any{"url": address, "events": []string{"*"}}, &made); err != nil {
				return fmt.Errorf("making webhook: %w", err)
			}
			r.id, r.secret = made.Webhook.ID, made.Secret
			s.mu.Lock()
			s.receivers[path] = r
			s.mu.Unlock()
		}
	}
	return nil
}

// phase has operations end, spread over a time, and waits until those that answer know.
func (s *hookStage) phase(ctx context.Context, events int, over time.Duration) (p hookPhase, err error) {
	s.mu.Lock()
	clear(s.ops)
	for _, r := range s.receivers {
		r.late, r.events = nil, map[string]int{}
	}
	s.mu.Unlock()
	for i := range events {
		op := benchOp()
		op.Site.Account = s.accounts[i%len(s.accounts)]
		if _, err := s.client.Submit(ctx, queue.Submission{Op: op}); err != nil {
			return p, err
		}
		s.ops[op.Site.Account] = append(s.ops[op.Site.Account], op.ID)
		if err := pause(ctx, over/time.Duration(events)); err != nil {
			return p, err
		}
	}
	if _, err := s.missingOf(ctx, time.Minute, func(sort hookSort) bool { return sort == hookAnswers }); err != nil {
		return p, err
	}
	for _, r := range s.all(hookAnswers) {
		r.mu.Lock()
		p.told = append(p.told, r.late...)
		r.mu.Unlock()
	}
	for _, ids := range s.ops {
		for _, id := range ids {
			op, err := s.client.Get(ctx, id)
			if err != nil {
				return p, err
			}
			p.ops = append(p.ops, milliseconds(op.FinishedAt.Sub(op.CreatedAt)))
		}
	}
	return p, nil
}

func (s *hookStage) all(sort hookSort) (some []*hookReceiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.receivers {
		if r.sort == sort {
			some = append(some, r)
		}
	}
	return some
}

func (s *hookStage) comeBack() {
	s.away.Store(false)
	close(s.back)
}

// failed counts the attempts in vain so far.
func (s *hookStage) failed() (n int) {
	for _, r := range append(s.all(hookDown), s.all(hookHangs)...) {
		r.mu.Lock()
		n += r.failed
		r.mu.Unlock()
	}
	return n
}

// missing waits until every receiver that answers again knows of every end, and counts what
// it does not know when the patience is over.
func (s *hookStage) missing(ctx context.Context, patience time.Duration) (int, error) {
	return s.missingOf(ctx, patience, hookSort.returns)
}

func (s *hookStage) missingOf(ctx context.Context, patience time.Duration, of func(hookSort) bool) (n int, err error) {
	for deadline := time.Now().Add(patience); ; {
		n = 0
		s.mu.Lock()
		for _, r := range s.receivers {
			if of(r.sort) {
				n += r.unknown(s.ops[r.account])
			}
		}
		s.mu.Unlock()
		if n == 0 || time.Now().After(deadline) {
			return n, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return n, err
		}
	}
}

func (r *hookReceiver) unknown(ops []string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range ops {
		if r.events[op] == 0 {
			n++
		}
	}
	return n
}

// judge looks at what the receivers have, and at what the API says of those that have nothing.
func (s *hookStage) judge(ctx context.Context, f *webhooksFigures) error {
	f.Inside = int(s.knocks.Load())
	for _, r := range s.receivers {
		f.Webhooks++
		f.Forged += r.forged
		for _, n := range r.events {
			f.Twice += n - 1
		}
		var err error
		switch r.sort {
		case hookGone:
			var one struct {
				Webhook webhook `json:"webhook"`
			}
			_, err = s.clients[r.account].get(ctx, "/webhooks/"+url.PathEscape(r.id), nil, &one)
			if !one.Webhook.Enabled && one.Webhook.Disabled == queue.OffGone {
				f.SwitchedOff++
			}
		case hookLeadsAway, hookLeadsInside:
			var list struct {
				Deliveries []struct {
					Status string `json:"status"`
					Answer int    `json:"response_status"`
				} `json:"deliveries"`
			}
			_, err = s.clients[r.account].get(ctx, "/webhooks/"+url.PathEscape(r.id)+"/deliveries", nil, &list)
			for _, d := range list.Deliveries {
				if d.Status == string(queue.DeliveryWaiting) && (d.Answer == 0 || r.sort == hookLeadsAway && d.Answer == http.StatusTemporaryRedirect) {
					f.Kept++
				}
			}
		}
		if err != nil {
			return fmt.Errorf("reading webhook: %w", err)
		}
	}
	return nil
}

func (s *hookStage) close() (err error) {
	if s.api != nil {
		err = s.api.stop()
	}
	if s.server != nil {
		err = errors.Join(err, s.server.Close(), s.inside.Close())
	}
	return errors.Join(err, s.bench.close())
}
