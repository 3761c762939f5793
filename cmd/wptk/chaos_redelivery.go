package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
)

// Goals of a redelivery, from the start of the next worker to the op's next attempt.
const (
	redeliveryP50 = time.Second
	redeliveryMax = 5 * time.Second
)

// redelivery kills a worker in the middle of a command, starts the next one, and measures
// until the op is taken up. Stock asynq is measured beside it; its trials wait for
// different queues at the same time, since each takes more than a minute.
func redelivery(ctx context.Context, a *arena, cmd *chaosRunCmd) error {
	var stock []float64
	var errStock error
	var wg sync.WaitGroup
	if !cmd.Short {
		wg.Go(func() { stock, errStock = stockRedelivery(ctx, a, a.n(10, 1)) })
	}
	ours, err := a.redeliveries(ctx, a.setting.domains)
	wg.Wait()
	if err := errors.Join(err, errStock); err != nil {
		return err
	}
	p50, most := quantile(ours, .5), quantile(ours, 1)
	a.marks["p50_ms"], a.marks["max_ms"] = figure(p50), figure(most)
	if !a.short { // of three trials on a busy machine it says nothing
		a.goal(p50 <= milliseconds(redeliveryP50), "half of the ops were taken up after %s ms", digits(p50, 0))
	}
	a.goal(most <= milliseconds(redeliveryMax), "one op was taken up after %s ms", digits(most, 0))
	if len(stock) > 0 {
		a.marks["stock_p50_ms"], a.marks["stock_max_ms"] = figure(quantile(stock, .5)), figure(quantile(stock, 1))
	}
	return nil
}

func (a *arena) redeliveries(ctx context.Context, n int) ([]float64, error) {
	var all []float64
	w := a.watchAll(ctx)
	defer w.stop()
	for range n {
		id, err := a.insist(ctx, a.nodes[0].next())
		if err != nil {
			return all, err
		}
		if err := w.until(ctx, []string{id}, 1, installing); err != nil {
			return all, err
		}
		attempt := w.state(id).Attempt
		if err := a.nodes[0].crash(); err != nil {
			return all, err
		}
		// The API is asked without a pause: what is measured is the worker.
		began := time.Now()
		for !taken(attempt)(w.state(id)) {
			w.lookAt(ctx, []string{id})
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return all, err
			}
		}
		all = append(all, milliseconds(time.Since(began)))
		if err := w.until(ctx, []string{id}, 1, isDone); err != nil {
			return all, err
		}
	}
	return all, nil
}

// stockWorkerCmd is a worker of stock asynq in a process that can be killed: it runs the
// tasks of one queue, each for a minute, and says when it begins one.
type stockWorkerCmd struct {
	Redis string `required:"" env:"-"`
	Queue string `required:"" env:"-"`
}

// stockPassword is the variable with the password of its Redis.
const stockPassword = "WPTK_STOCK_PASSWORD"

// Run works until ctx ends.
func (cmd *stockWorkerCmd) Run(ctx context.Context, a *app) error {
	opt := asynq.RedisClientOpt{Addr: cmd.Redis, Password: a.getenv(stockPassword)}
	rdb := redis.NewClient(&redis.Options{Addr: opt.Addr, Password: opt.Password})
	defer rdb.Close() //nolint:errcheck // the process ends
	server := asynq.NewServer(opt, asynq.Config{Concurrency: 1, LogLevel: asynq.FatalLevel, Queues: map[string]int{cmd.Queue: 1}})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		if err := rdb.RPush(ctx, "begun:"+cmd.Queue, time.Now().UnixMilli()).Err(); err != nil {
			return err
		}
		return pause(ctx, time.Minute)
	}))
	if err != nil {
		return fmt.Errorf("starting stock asynq: %w", err)
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// stockRedelivery measures n trials of stock asynq with all its defaults, at the same time.
func stockRedelivery(ctx context.Context, a *arena, n int) (all []float64, err error) {
	server, err := devstack.Redis(ctx, devstack.RedisOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Password: server.Password})
	defer rdb.Close() //nolint:errcheck // its Redis is about to end
	client := asynq.NewClientFromRedisClient(rdb)
	took, errs := make([]float64, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { took[i], errs[i] = a.stockTrial(ctx, server, rdb, client, fmt.Sprintf("stock%d", i)) })
	}
	wg.Wait()
	return took, errors.Join(errs...)
}

func (a *arena) stockTrial(ctx context.Context, server *devstack.Server, rdb *redis.Client, client *asynq.Client, queue string) (ms float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	p := a.newPart("stock-"+queue, self, []string{"chaos", "stock-worker", "--redis", server.Addr, "--queue", queue})
	p.book = &book{file: os.Stderr} // its faults are none of ours
	password := stockPassword + "=" + server.Password
	if err := p.start(password); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.end(syscall.SIGKILL)) }()
	if _, err := client.EnqueueContext(ctx, asynq.NewTask("wait", nil), asynq.Queue(queue)); err != nil {
		return 0, fmt.Errorf("enqueueing in stock asynq: %w", err)
	}
	begun := func() error { return rdb.BLPop(ctx, 5*time.Minute, "begun:"+queue).Err() }
	if err := begun(); err != nil {
		return 0, fmt.Errorf("waiting for stock asynq: %w", err)
	}
	if err := p.end(syscall.SIGKILL); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := p.start(password); err != nil {
		return 0, err
	}
	if err := begun(); err != nil {
		return 0, fmt.Errorf("waiting for stock asynq: %w", err)
	}
	return milliseconds(time.Since(began)), nil
}
