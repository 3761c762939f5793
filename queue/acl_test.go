package queue_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/queue/queuetest"
	"github.com/wispanel/wptk/tasks"
)

const loginPassword = "of-this-test"

// guardedRedis is a server whose users are the generator's: an API's, and those of nodes.
func guardedRedis(t *testing.T, nodes ...string) (as func(login string) queue.Options) {
	t.Helper()
	server := devstack.RedisT(t, devstack.RedisOptions{AppendFsync: "no"})
	root := redis.NewClient(mustOptions(t, server.URL(0)))
	defer root.Close()
	logins := []queue.Login{queue.APILogin(""), queue.MonitorLogin()}
	for _, node := range nodes {
		l, err := queue.NodeLogin("", node)
		mustDo(t, err)
		logins = append(logins, l)
	}
	for _, l := range logins {
		args := []any{"ACL", "SETUSER"}
		for _, word := range strings.Fields(l.Rules(queue.ACL70) + " >" + loginPassword) {
			args = append(args, word)
		}
		if err := root.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
	}
	return func(login string) queue.Options {
		u := url.URL{Scheme: "redis", Host: server.Addr, Path: "/0", User: url.UserPassword(login, loginPassword)}
		return queue.Options{URL: u.String()}
	}
}

func mustOptions(t *testing.T, url string) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(url)
	mustDo(t, err)
	return o
}

func open(t *testing.T, o queue.Options) *queue.Store {
	t.Helper()
	s, err := queue.Open(t.Context(), o, slog.New(slog.DiscardHandler))
	mustDo(t, err)
	t.Cleanup(func() { mustDo(t, s.Close()) })
	return s
}

// While an API and two nodes do their work, none of them is denied anything.
func TestFleetWorksWithLoginsOfItsNodes(t *testing.T) {
	t.Parallel()
	as := guardedRedis(t, "n1", "n2")
	api, one, two := open(t, as("api")), open(t, as("node-n1")), open(t, as("node-n2"))
	c := queue.NewClient(api)
	run := func(ctx context.Context, op tasks.Op, rec *queue.Recorder) (tasks.Outcome, error) {
		rec.Log("a line")
		return tasks.Outcome{State: tasks.Succeeded}, rec.Progress(ctx, tasks.Event{Step: "work", Progress: 50})
	}
	n1, _ := queuetest.Serve(t, one, "n1", queue.Handler{Run: run})
	queuetest.Serve(t, two, "n2", queue.Handler{Run: run})
	first, second := queuetest.Op("n1", "core.update", "a.test"), queuetest.Op("n2", "core.update", "b.test")
	next := first
	next.ID = tasks.NewOpID("n1")
	for _, op := range []tasks.Op{first, next, second} {
		_, err := c.Submit(t.Context(), queue.Submission{Op: op})
		mustDo(t, err)
	}
	for _, op := range []tasks.Op{first, next, second} {
		if got := queuetest.Final(t, api, op.ID); got.State != tasks.Succeeded {
			t.Errorf("%s is %s", op.ID, got.State)
		}
	}
	own := queue.NewClient(one)
	site := queue.Site{SiteRef: first.Site, Status: queue.SiteOK}
	mustDo(t, n1.PublishSites(t.Context(), time.Now(), []queue.Site{site}))
	mustDo(t, n1.PublishSites(t.Context(), time.Now(), nil))
	timer := queuetest.Op("n1", "core.update", "timer.test") // a node orders from itself
	_, err := own.Submit(t.Context(), queue.Submission{Op: timer})
	mustDo(t, err)
	queuetest.Final(t, api, timer.ID)
	b := tasks.Backup{ID: tasks.BackupID(first.ID), Site: first.Site}
	mustDo(t, own.PutBackup(t.Context(), b))
	if list, err := own.SiteBackups(t.Context(), first.Site.ID); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if page, err := own.Backups(t.Context(), queue.BackupFilter{Node: "n1"}); err != nil || len(page.Items) != 1 {
		t.Errorf("%v, %v", page.Items, err)
	}
	mustDo(t, own.RemoveBackup(t.Context(), b))
	mustDo(t, own.SetBackupsListed(t.Context(), "n1"))
	token, err := c.NewTicket(t.Context(), "n1", queue.Ticket{Backup: b.ID})
	mustDo(t, err)
	_, err = own.TakeTicket(t.Context(), "n1", token)
	mustDo(t, err)
	_, err = own.Errand(t.Context(), first.ID)
	mustDo(t, err)
	mustDo(t, own.EndErrand(t.Context(), first.ID))
	monitor := redis.NewClient(mustOptions(t, as("monitor").URL))
	defer monitor.Close()
	mustDo(t, monitor.Info(t.Context()).Err())
}

// What somebody with a node's password can do elsewhere: nothing of this.
func TestStolenNodeLoginReachesNoOtherNodeAndNoSecret(t *testing.T) {
	t.Parallel()
	as := guardedRedis(t, "n1", "n2")
	api := open(t, as("api"))
	c := queue.NewClient(api)
	op := queuetest.Op("n2", "install", "victim.test")
	_, err := c.Submit(t.Context(), queue.Submission{Op: op})
	mustDo(t, err)
	_, secret, err := c.CreateKey(t.Context(), queue.NewKey{Name: "x", Owner: "alice"})
	mustDo(t, err)
	thief := redis.NewClient(mustOptions(t, as("node-n1").URL))
	defer thief.Close()
	for _, cmd := range [][]any{
		{"FLUSHALL"}, {"FLUSHDB"}, {"CONFIG", "GET", "*"}, {"CONFIG", "SET", "dir", "/tmp"}, {"KEYS", "*"}, {"SCAN", 0}, {"RANDOMKEY"},
		{"ACL", "LIST"}, {"ACL", "SETUSER", "node-n1", "allkeys"}, {"SHUTDOWN"}, {"REPLICAOF", "127.0.0.1", 1},
		{"MODULE", "LIST"}, {"CLIENT", "LIST"}, {"CLIENT", "KILL", "TYPE", "normal"}, {"MONITOR"}, {"SCRIPT", "FLUSH"}, {"SCRIPT", "KILL"},
		{"FUNCTION", "LIST"}, {"FUNCTION", "FLUSH"}, {"SWAPDB", 0, 1}, {"SAVE"}, {"SLOWLOG", "GET"}, {"PUBSUB", "CHANNELS"},
		{"MIGRATE", "127.0.0.1", 1, "wptk:nodes", 0, 1}, {"SORT", "wptk:nodes", "BY", "nosort", "GET", "wptk:key:*->rec"},
		{"SUBSCRIBE", "wptk:wake.n2"}, {"PSUBSCRIBE", "*"}, {"PUBLISH", "wptk:wake.n2", "all"},
		{"LRANGE", "asynq:{n.n2.hi}:pending", 0, -1}, {"HGETALL", "asynq:{n.n2.hi}:t:" + op.ID}, {"LPUSH", "asynq:{n.n2.hi}:pending", "x"},
		{"SET", "asynq:{n.n2.hi}:paused", 1}, {"DEL", "asynq:{n.n2.hi}:pending"},
		{"HSET", "wptk:key:abc", "rec", "{}"}, {"HGETALL", "wptk:key:abc"}, {"HGETALL", "wptk:keys"}, {"HSET", "wptk:keys", "a", "b"}, {"SADD", "wptk:acctkeys:alice", "x"},
		{"HSET", "wptk:node:n2", "info", `{"recipient":"age1thief"}`}, {"HGETALL", "wptk:node:n2"}, {"SET", "wptk:ticket:n2:abc", "x"},
		{"HGETALL", "wptk:op:{" + tasks.NodeShard("n2") + "}:" + op.ID}, {"HSET", "wptk:op:{" + tasks.NodeShard("n2") + "}:" + op.ID, "payload", "{}"},
		{"XRANGE", "wptk:feed:{" + tasks.NodeShard("n2") + "}", "-", "+"}, {"SMEMBERS", "wptk:open:{" + tasks.NodeShard("n2") + "}"},
		{"HGETALL", "wptk:sched:{s}:x"}, {"HSET", "wptk:sched:{s}:x", "def", "{}"}, {"SET", "wptk:lead", "me"}, {"SET", "wptk:lead:rollouts", "me"},
		{"HGETALL", "wptk:hook:{x}"}, {"SMEMBERS", "wptk:hooks"}, {"HGETALL", "wptk:idem:k:x"}, {"DEL", "wptk:lim:k:x"},
		{"LRANGE", "asynq:{webhooks}:pending", 0, -1},
		// Since 7.0 what all share cannot be read either.
		{"ZRANGE", "wptk:ix:sites:{all}", 0, -1}, {"ZRANGE", "wptk:ix:ops:{all}", 0, -1}, {"SMEMBERS", "wptk:nodes"}, {"HGETALL", "wptk:dom:{victim.test}"},
		{"ZRANGE", "wptk:ix:bk:{all}", 0, -1}, {"SMEMBERS", "wptk:errands"}, {"SPOP", "wptk:errands"},
		{"EVAL", "return redis.call('GET', 'wptk:lead')", 0}, {"EVAL", "return redis.call('GET', KEYS[1])", 1, "wptk:lead"},
		{"EVAL", "return redis.call('HGETALL', 'wptk:key:abc')", 0}, {"EVAL", "return redis.call('FLUSHALL')", 0},
		{"EVAL", "return redis.call('PUBLISH', 'wptk:wake.n2', 'all')", 0}, {"EVAL", "return redis.call('SCAN', 0)", 0},
		{"COPY", "wptk:key:abc", "wptk:node:n1"}, {"RENAME", "wptk:node:n1", "wptk:node:n2"}, {"BLMOVE", "asynq:{n.n2.hi}:pending", "asynq:{n.n1.hi}:pending", "LEFT", "LEFT", 1},
	} {
		err := thief.Do(t.Context(), cmd...).Err()
		if err == nil || !strings.HasPrefix(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script can't") {
			t.Errorf("%v: %v", cmd, err)
		}
	}
	if got, err := c.LookupKey(t.Context(), secret); err != nil || got.Owner != "alice" {
		t.Errorf("the victim's key: %+v, %v", got, err)
	}
}

func TestLoginOfANodeIsNotAPatternOfOthers(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "*", "n?", "n1 ~*", "n1\n", "N1", "[a]"} {
		if _, err := queue.NodeLogin("", id); err == nil {
			t.Errorf("there is a login for %q", id)
		}
	}
	l, err := queue.NodeLogin("", "n1")
	mustDo(t, err)
	for version, words := range map[string][]string{queue.ACL60: {"&", "%"}, queue.ACL62: {"%"}} {
		for _, word := range strings.Fields(l.Rules(version)) {
			for _, newer := range words {
				if strings.HasPrefix(word, newer) {
					t.Errorf("Redis %s does not know %s", version, word)
				}
			}
		}
	}
}
