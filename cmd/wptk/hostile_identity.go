package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// identityCases are about whoever has got into Redis: first with all rights there, then with
// the login of another node. The orders are to close the victim's site.
func identityCases(h *hostile) []hostileCase {
	node := h.mallory.node
	cases := []hostileCase{
		{name: "an order that nobody has signed", attack: func(x *attack) {
			x.ordered(x.thief(queue.Options{}), x.order(), tasks.CodeUntrusted)
		}},
		{name: "an order signed with a key of one's own", attack: func(x *attack) {
			x.ordered(x.thief(queue.Options{Signer: stranger{}}), x.order(), tasks.CodeUntrusted)
		}},
		{name: "an order that has ended, set back", attack: replayOrder},
		{name: "an order that has ended, under another id", attack: func(x *attack) {
			made := x.carriedOut()
			op := x.order()
			x.alteredOrder(op, "sig", made.Signature)
		}},
		{name: "an API key for an admin, written into Redis", attack: func(x *attack) {
			_, secret, err := x.thief(queue.Options{}).CreateKey(x.ctx, queue.NewKey{Name: "x", Owner: h.mallory.account, Role: queue.RoleAdmin})
			x.note(err)
			x.mustOpenNothing(secret)
		}},
		{name: "an API key of one's own, made an admin's", attack: func(x *attack) {
			_, secret, err := h.ledger.CreateKey(x.ctx, queue.NewKey{Name: "x", Owner: h.mallory.account})
			x.note(err)
			for _, key := range x.redisKeys("wptk:key:*") {
				record := x.redis().HGet(x.ctx, key, "rec").Val()
				if strings.Contains(record, secret[:12]) {
					x.note(x.redis().HSet(x.ctx, key, "rec", strings.Replace(record, `"role":"user"`, `"role":"admin"`, 1)).Err())
				}
			}
			x.mustOpenNothing(secret)
		}},
		{name: "a schedule written into Redis", attack: func(x *attack) {
			c := x.thief(queue.Options{})
			s, err := c.CreateSchedule(x.ctx, queue.Schedule{ID: queue.NewScheduleID(""), Account: h.victim.account, Kind: "site.inspect", Payload: []byte(`{}`), Cron: "@daily",
				Enabled: true, Target: queue.Targets{IDs: []string{h.victim.id}}, Created: time.Now()}, time.Now())
			x.note(err)
			x.undo(func() { x.note(h.ledger.DeleteSchedule(x.ctx, s.Schedule)) })
			x.note(x.redis().ZAdd(x.ctx, "wptk:due:{s}", redis.Z{Score: float64(time.Now().Add(-time.Minute).UnixMilli()), Member: s.ID}).Err())
			x.until("the schedule comes to an end", func() (bool, error) {
				got, err := h.ledger.Schedule(x.ctx, s.ID)
				return got.Result == queue.FiringFailed && got.OpID == "", err
			})
		}},
	}
	for name, field := range map[string][2]string{
		"payload": {"payload", `{"enabled":true,"minutes":2}`}, "kind": {"kind", "site.delete"}, "account": {"account", h.mallory.account},
		"domain": {"domain", h.mallory.domain}, "path": {"path", "public_html/x"}, "time": {"sig", "1."}, "signature": {"sig", ""},
	} {
		cases = append(cases, hostileCase{name: "an accepted order with another " + name, short: name == "payload", attack: func(x *attack) {
			x.alteredOrder(x.order(), field[0], field[1])
		}})
	}
	shard := tasks.NodeShard(node)
	for name, commands := range map[string][][]any{
		"everything":         {{"FLUSHALL"}, {"FLUSHDB"}, {"SHUTDOWN"}, {"CONFIG", "SET", "dir", "/root"}, {"REPLICAOF", "127.0.0.1", 1}, {"MODULE", "LIST"}, {"ACL", "LIST"}, {"MONITOR"}},
		"all names of keys":  {{"KEYS", "*"}, {"SCAN", 0}, {"RANDOMKEY"}, {"EVAL", "return redis.call('KEYS', '*')", 0}},
		"the node's queue":   {{"LPUSH", "asynq:{n." + node + ".hi}:pending", "x"}, {"LRANGE", "asynq:{n." + node + ".hi}:pending", 0, -1}, {"SET", "asynq:{n." + node + ".std}:paused", 1}},
		"the node's ledger":  {{"SMEMBERS", "wptk:open:{" + shard + "}"}, {"XRANGE", "wptk:feed:{" + shard + "}", "-", "+"}, {"HSET", "wptk:op:{" + shard + "}:op_x", "state", "queued"}},
		"the node's key":     {{"HSET", "wptk:node:" + node, "info", `{"recipient":"age1"}`}, {"HGETALL", "wptk:node:" + node}},
		"API keys":           {{"HGETALL", "wptk:keys"}, {"HSET", "wptk:key:x", "rec", "{}"}, {"EVAL", "return redis.call('HGETALL', 'wptk:keys')", 0}, {"EVAL", "return redis.call('HGETALL', KEYS[1])", 1, "wptk:keys"}},
		"schedules and more": {{"HSET", "wptk:sched:{s}:x", "def", "{}"}, {"SMEMBERS", "wptk:hooks"}, {"SET", "wptk:lead", "x"}, {"SET", "wptk:ticket:" + node + ":x", "{}"}},
		"the node's bell":    {{"PUBLISH", "wptk:wake." + node, "all"}, {"SUBSCRIBE", "wptk:wake." + node}, {"PSUBSCRIBE", "*"}},
		"lists of the fleet": {{"ZRANGE", "wptk:ix:sites:{all}", 0, -1}, {"ZRANGE", "wptk:ix:ops:{all}", 0, -1}, {"SMEMBERS", "wptk:nodes"}},
	} {
		cases = append(cases, hostileCase{name: "with another node's login, " + name, short: true, attack: func(x *attack) { x.denied(commands) }})
	}
	return byName(cases)
}

// stranger signs, but nobody knows who that is.
type stranger struct{}

func (stranger) Sign([]byte) string { return "0123456789abcdef." + strings.Repeat("A", 86) }

// thief is a client of somebody who has all rights in Redis.
func (x *attack) thief(o queue.Options) *queue.Client {
	o.URL = x.hostile.stack.redis.URL(0)
	store, err := queue.Open(x.ctx, o, x.hostile.log)
	if err != nil {
		x.fail("opening Redis: %w", err)
		return x.hostile.ledger
	}
	x.undo(func() { x.note(store.Close()) })
	return queue.NewClient(store)
}

func (x *attack) redis() redis.UniversalClient { return x.hostile.store.Client() }

func (x *attack) redisKeys(pattern string) []string {
	keys, err := x.redis().Keys(x.ctx, pattern).Result()
	x.note(err)
	return keys
}

// order is to close the victim's site.
func (x *attack) order() tasks.Op {
	site, err := x.hostile.ledger.Site(x.ctx, x.hostile.victim.id)
	x.note(err)
	spec, _ := tasks.Lookup("maintenance")
	return tasks.Op{ID: tasks.NewOpID(x.hostile.victim.node), Kind: spec.Kind, Class: spec.Class, Site: site.SiteRef, Payload: []byte(`{"enabled":true}`)}
}

// ordered submits an order and wants it to end without having run.
func (x *attack) ordered(c *queue.Client, op tasks.Op, code string) {
	if x.exam.err != nil {
		return
	}
	_, err := c.Submit(x.ctx, queue.Submission{Op: op})
	x.note(err)
	x.mustEndAs(op.ID, code)
}

func (x *attack) mustEndAs(id, code string) {
	op := x.outcome(id)
	x.check(op.State != tasks.Succeeded && op.Error != nil && op.Error.Code == code, "the order is %s, %+v", op.State, op.Error)
}

func (x *attack) outcome(id string) (op tasks.Op) {
	x.until("the order ends", func() (bool, error) {
		var err error
		op, err = x.hostile.ledger.Get(x.ctx, id)
		return op.State.Final(), err
	})
	return op
}

// alteredOrder has the API's own client accept an order while the node's lanes are closed, and
// changes it before they are opened.
func (x *attack) alteredOrder(op tasks.Op, field, value string) {
	if x.exam.err != nil {
		return
	}
	var lanes []string
	for _, class := range []tasks.Class{tasks.Interactive, tasks.Standard, tasks.Bulk} {
		lanes = append(lanes, fmt.Sprintf("asynq:{n.%s.%s}:paused", op.Site.Node, class))
	}
	for _, lane := range lanes {
		x.note(x.redis().Set(x.ctx, lane, time.Now().Unix(), 0).Err())
	}
	_, err := x.hostile.ledger.Submit(x.ctx, queue.Submission{Op: op})
	x.note(err)
	if value == "1." { // signed at another time
		got, err := x.hostile.ledger.Get(x.ctx, op.ID)
		x.note(err)
		_, rest, _ := strings.Cut(got.Signature, ".")
		value = fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()) + "." + rest
	}
	x.note(x.redis().HSet(x.ctx, ledgerKey(op.ID), field, value).Err())
	x.note(x.redis().Del(x.ctx, lanes...).Err())
	x.note(x.redis().Publish(x.ctx, "wptk:wake."+op.Site.Node, "all").Err())
	x.mustEndAs(op.ID, tasks.CodeUntrusted)
}

func ledgerKey(op string) string {
	shard, _ := tasks.Shard(op)
	return "wptk:op:{" + shard + "}:" + op
}

// carriedOut is an order of the toolkit's that changed nothing.
func (x *attack) carriedOut() tasks.Op {
	op := x.order()
	op.Kind, op.Payload = "site.inspect", []byte(`{}`)
	_, err := x.hostile.ledger.Submit(x.ctx, queue.Submission{Op: op})
	x.note(err)
	made := x.outcome(op.ID)
	x.check(made.State == tasks.Succeeded, "looking at the site is %s, %+v", made.State, made.Error)
	return made
}

// replayOrder sets an order back to where it was before it ran.
func replayOrder(x *attack) {
	made := x.carriedOut()
	if x.exam.err != nil {
		return
	}
	shard, _ := tasks.Shard(made.ID)
	x.note(x.redis().HSet(x.ctx, ledgerKey(made.ID), "state", "queued", "attempt", 0, "progress", 0).Err())
	x.note(x.redis().HDel(x.ctx, ledgerKey(made.ID), "result", "finished").Err())
	x.note(x.redis().RPush(x.ctx, "wptk:fifo:{"+shard+"}:"+made.Site.ID, made.ID).Err())
	x.note(x.redis().ZAdd(x.ctx, "wptk:outbox:{"+shard+"}", redis.Z{Score: 1, Member: made.ID}).Err())
	x.mustEndAs(made.ID, tasks.CodeReplayed)
}

// mustOpenNothing wants a key of the API to be none.
func (x *attack) mustOpenNothing(secret string) {
	status, answer, _ := x.raw(secret, http.MethodGet, apiRoot+"/nodes", "")
	x.mustRefuse(status, answer, http.StatusUnauthorized)
}

// denied sends commands with the login of another node.
func (x *attack) denied(commands [][]any) {
	login, err := queue.NodeLogin("", "another")
	if err == nil {
		err = x.hostile.stack.login(x.ctx, login)
	}
	x.note(err)
	u := url.URL{Scheme: "redis", Host: x.hostile.stack.redis.Addr, User: url.UserPassword(login.Name, x.hostile.stack.redis.Password)}
	options, err := redis.ParseURL(u.String())
	if err != nil {
		x.note(err)
		return
	}
	thief := redis.NewClient(options)
	defer thief.Close() //nolint:errcheck // nothing of it is wanted any more
	x.note(thief.Ping(x.ctx).Err())
	for _, command := range commands {
		err := thief.Do(x.ctx, command...).Err()
		refused := err != nil && slices.ContainsFunc([]string{"NOPERM", "The user executing the script can't"}, func(s string) bool { return strings.Contains(err.Error(), s) })
		x.check(refused, "%v answers %v", command, err)
	}
}
