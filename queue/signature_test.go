package queue

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/wispanel/wptk/deploy/devstack"
	"github.com/wispanel/wptk/tasks"
	"pgregory.net/rapid"
)

// testKey signs, and believes itself alone.
type testKey struct{ ed25519.PrivateKey }

func newTestKey(t *testing.T) testKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	ok(t, err)
	return testKey{private}
}

func (k testKey) id() string { return hex.EncodeToString(k.Public().(ed25519.PublicKey)[:4]) }

func (k testKey) Sign(message []byte) string {
	return k.id() + "." + hex.EncodeToString(ed25519.Sign(k.PrivateKey, message))
}

func (k testKey) Verify(message []byte, signature string) error {
	id, text, _ := strings.Cut(signature, ".")
	if id != k.id() {
		return ErrUnknownSigner
	}
	sum, err := hex.DecodeString(text)
	if err != nil || !ed25519.Verify(k.Public().(ed25519.PublicKey), message, sum) {
		return ErrForged
	}
	return nil
}

// guarded is a store whose users sign, and believe only what is signed.
func guarded(t *testing.T) *Store {
	t.Helper()
	s, key := openStore(t, devstack.SharedRedis(t)), newTestKey(t)
	s.signer, s.verifier, s.metrics = key, key, NewMetrics(prometheus.NewRegistry())
	return s
}

// ran is a node that notes which ops it runs, and which have ended.
type ran struct {
	mu   sync.Mutex
	ops  []string
	past []string
}

func (r *ran) handler() Handler {
	return Handler{
		Run: func(_ context.Context, op tasks.Op, _ *Recorder) (tasks.Outcome, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ops = append(r.ops, op.ID)
			return succeeded, nil
		},
		Settled: func(id string) error { r.mu.Lock(); defer r.mu.Unlock(); r.past = append(r.past, id); return nil },
		Ended:   func(id string) bool { r.mu.Lock(); defer r.mu.Unlock(); return slices.Contains(r.past, id) },
	}
}

func (r *ran) times(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(r.ops), func(other string) bool { return other != id }))
}

func refusals(s *Store, record, reason string) float64 {
	return testutil.ToFloat64(s.metrics.refused.WithLabelValues(record, reason))
}

func TestAlteredForgedForeignOrStaleOpIsRefusedAndSaysSo(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	foreign, unsigned := *s, *s
	foreign.signer, unsigned.signer = newTestKey(t), nil
	cases := []struct {
		name   string
		by     *Store
		alter  []any // field, value … of the op's hash
		age    time.Duration
		reason string
	}{
		{name: "payload", alter: []any{"payload", `{"title":"y"}`}, reason: "forged"},
		{name: "kind", alter: []any{"kind", "site.delete"}, reason: "forged"},
		{name: "account", alter: []any{"account", "bob"}, reason: "forged"},
		{name: "path", alter: []any{"path", "public_html/x"}, reason: "forged"},
		{name: "class", alter: []any{"class", "bulk"}, reason: "forged"},
		{name: "key", alter: []any{"key", "k2"}, reason: "forged"},
		{name: "nothing", by: &unsigned, reason: "unsigned"},
		{name: "erased", alter: []any{"sig", ""}, reason: "unsigned"},
		{name: "garbage", alter: []any{"sig", "x"}, reason: "forged"},
		{name: "stranger", by: &foreign, reason: "unknown_signer"},
		{name: "stale", age: SignatureLife + time.Hour, reason: "stale"},
	}
	ids := map[string]string{}
	for _, tc := range cases {
		if tc.by == nil {
			tc.by = s
		}
		op := newOp(tc.name + ".test")
		recordOnly(t, NewClient(tc.by), op)
		if tc.age != 0 {
			tc.alter = []any{"sig", s.signAt(time.Now().Add(-tc.age).UnixMilli(), signedOp, opParts(op))}
		}
		if tc.alter != nil {
			ok(t, s.rdb.HSet(t.Context(), s.names.op(op.ID), tc.alter...).Err())
		}
		ok(t, NewClient(s).enqueue(t.Context(), op))
		ids[tc.name] = op.ID
	}
	good := submit(t, NewClient(s), newOp("good.test")).Op.ID
	serve(t, s, node.handler())
	if op := final(t, s, good); op.State != tasks.Succeeded {
		t.Errorf("a signed op is %s: %v", op.State, op.Error)
	}
	want := map[string]float64{}
	for _, tc := range cases {
		want[tc.reason]++
		op := final(t, s, ids[tc.name])
		if op.State != tasks.Failed || op.Error == nil || op.Error.Code != tasks.CodeUntrusted || node.times(op.ID) != 0 {
			t.Errorf("%s: %s, %+v, run %d times", tc.name, op.State, op.Error, node.times(op.ID))
		}
	}
	for reason, n := range want {
		if got := refusals(s, signedOp, reason); got != n {
			t.Errorf("%g refused as %s, want %g", got, reason, n)
		}
	}
}

func TestOpOfAnotherNodeIsLeftToThatNode(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	c, other := NewClient(s), "n1"
	for i := 0; tasks.NodeShard(other) != tasks.NodeShard("n1") || other == "n1"; i++ { // of the same shard, so that its ids fit
		other = fmt.Sprintf("m%d", i)
	}
	op := newOp("moved.test")
	op.Site.Node = other
	op.Site.ID = tasks.SiteID(other, op.Site.Account, op.Site.Domain, op.Site.Path)
	submit(t, c, op)
	carried := must[[]byte](t)(json.Marshal(message{Op: op.ID}))
	must[*asynq.TaskInfo](t)(c.asynq.Enqueue(asynq.NewTask(op.Kind, carried), asynq.TaskID(op.ID), asynq.Queue(lane("n1", op.Class))))
	serve(t, s, node.handler())
	eventually(t, func() bool { return refusals(s, signedOp, "elsewhere") > 0 })
	if got := must[tasks.Op](t)(c.Get(t.Context(), op.ID)); got.State != tasks.Queued || node.times(op.ID) != 0 {
		t.Errorf("the op is %s, run %d times", got.State, node.times(op.ID))
	}
}

func TestOpThatHasEndedIsNotRunAgainWhateverTheLedgerSays(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	c := NewClient(s)
	op := newOp("again.test")
	submit(t, c, op)
	_, stop := serve(t, s, node.handler())
	final(t, s, op.ID)
	eventually(t, func() bool { return node.handler().Ended(op.ID) })
	stop()
	key := s.names.op(op.ID)
	ok(t, s.rdb.HSet(t.Context(), key, "state", "queued", "attempt", 0).Err())
	ok(t, s.rdb.HDel(t.Context(), key, "result", "error", "finished").Err())
	ok(t, s.rdb.RPush(t.Context(), s.names.fifo(op.Site.ID), op.ID).Err())
	ok(t, c.enqueue(t.Context(), op))
	serve(t, s, node.handler())
	got := final(t, s, op.ID)
	if got.State != tasks.Unverified || got.Error == nil || got.Error.Code != tasks.CodeReplayed || node.times(op.ID) != 1 {
		t.Errorf("%s, %+v, run %d times", got.State, got.Error, node.times(op.ID))
	}
	if got := refusals(s, signedOp, "replayed"); got != 1 {
		t.Errorf("%g replays are counted", got)
	}
}

func TestUnsignedOpRunsWhileOlderAPIsAreAllowed(t *testing.T) {
	t.Parallel()
	s, node := guarded(t), &ran{}
	before := *s
	before.signer = nil
	s.unsigned = true
	old, bad := newOp("old.test"), newOp("bad.test")
	submit(t, NewClient(&before), old)
	recordOnly(t, NewClient(s), bad)
	ok(t, s.rdb.HSet(t.Context(), s.names.op(bad.ID), "domain", "worse.test").Err())
	ok(t, NewClient(s).enqueue(t.Context(), bad))
	serve(t, s, node.handler())
	if got := final(t, s, old.ID); got.State != tasks.Succeeded {
		t.Errorf("an unsigned op is %s", got.State)
	}
	if got := final(t, s, bad.ID); got.State != tasks.Failed {
		t.Errorf("an altered one is %s", got.State)
	}
}

func TestAPIKeyThatNobodySignedOpensNothing(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	c := NewClient(s)
	k, secret, err := c.CreateKey(t.Context(), NewKey{Name: "mine", Owner: "alice"})
	ok(t, err)
	if got, err := c.LookupKey(t.Context(), secret); err != nil || got.ID != k.ID {
		t.Fatalf("%+v, %v", got, err)
	}
	planted := *s
	planted.signer = nil
	_, forged, err := NewClient(&planted).CreateKey(t.Context(), NewKey{Name: "admin", Owner: "mallory", Role: RoleAdmin})
	ok(t, err)
	_, err = c.LookupKey(t.Context(), forged)
	wantErr(t, err, ErrBadKey)
	record := must[string](t)(s.rdb.HGet(t.Context(), s.names.key(digest(secret)), "rec").Result())
	ok(t, s.rdb.HSet(t.Context(), s.names.key(digest(secret)), "rec", strings.Replace(record, `"role":"user"`, `"role":"admin"`, 1)).Err())
	_, err = NewClient(s).LookupKey(t.Context(), secret)
	wantErr(t, err, ErrBadKey)
	if u, f := refusals(s, signedKey, "unsigned"), refusals(s, signedKey, "forged"); u != 1 || f != 1 {
		t.Errorf("%g unsigned and %g forged keys are counted", u, f)
	}
}

func TestRolloutAndScheduleAreCarriedOutOnlyAsTheyWereSigned(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	n := testNode(t, s, "n1")
	sites := []Site{testSite("n1", "alice", "a.example", ""), testSite("n1", "alice", "b.example", "")}
	ok(t, n.PublishSites(t.Context(), time.Now(), append(sites, testSite("n1", "bob", "c.example", ""))))
	c := NewConductor(NewClient(s), 0)
	plan := RolloutPlan{Waves: []int{1}, MaxParallel: 2, PerNode: 2}
	more := must[[]byte](t)(json.Marshal(testSite("n1", "bob", "c.example", "").SiteRef))
	for name, alter := range map[string]func(id string) error{
		"payload":  func(id string) error { return s.rdb.HSet(t.Context(), s.names.op(id), "payload", `{"x":1}`).Err() },
		"installs": func(id string) error { return s.rdb.LSet(t.Context(), s.names.targets(id), 0, more).Err() },
		"plan": func(id string) error {
			return s.rdb.HSet(t.Context(), s.names.op(id), "plan", `{"plan":{"waves":[1],"max_parallel":100},"total":1}`).Err()
		},
	} {
		sub := rolloutOf(sites[:1], plan)
		must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
		ok(t, alter(sub.Op.ID))
		if err := c.advance(t.Context(), sub.Op.ID, map[string]bool{"n1": true}); !untrustedRecord(err) {
			t.Errorf("%s: %v", name, err)
		}
		if op := must[tasks.Op](t)(c.Get(t.Context(), sub.Op.ID)); op.State != tasks.Failed || op.Error.Code != tasks.CodeUntrusted {
			t.Errorf("%s: %s, %+v", name, op.State, op.Error)
		}
	}
	sub := rolloutOf(sites[:1], plan)
	must[Receipt](t)(c.SubmitRollout(t.Context(), sub))
	if _, err := c.load(t.Context(), sub.Op.ID); err != nil { // believed, and altered only then
		t.Fatal(err)
	}
	ok(t, s.rdb.LSet(t.Context(), s.names.targets(sub.Op.ID), 0, more).Err())
	wantErr(t, c.advance(t.Context(), sub.Op.ID, map[string]bool{"n1": true}), ErrForged)

	sched := c.create(t, Schedule{Cron: "0 3 * * *"})
	def := must[string](t)(s.rdb.HGet(t.Context(), s.names.schedule(sched.ID), "def").Result())
	ok(t, s.rdb.HSet(t.Context(), s.names.schedule(sched.ID), "def", strings.Replace(def, "site.inspect", "site.delete", 1)).Err())
	ok(t, c.fire(t.Context(), sched.ID, sched.Next))
	if got := must[ScheduleState](t)(c.Schedule(t.Context(), sched.ID)); got.Result != FiringFailed || got.OpID != "" {
		t.Errorf("an altered schedule has %s, %q", got.Result, got.OpID)
	}
	for _, site := range append(sites, testSite("n1", "bob", "c.example", "")) {
		_, err := c.Get(t.Context(), site.ID)
		wantErr(t, err, ErrNotFound) // nothing was ordered
	}
}

func TestConsoleCodeAndSessionThatNoAPIMadeOpenNothing(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	c := NewClient(s)
	_, secret, err := c.CreateKey(t.Context(), NewKey{Name: "ops", Owner: "ops", Role: RoleAdmin})
	ok(t, err)
	k := must[Key](t)(c.LookupKey(t.Context(), secret))
	planted := *s
	planted.signer = nil
	thief := NewClient(&planted)
	code, _, err := thief.NewCode(t.Context(), k)
	ok(t, err)
	_, _, _, err = c.OpenSession(t.Context(), code)
	wantErr(t, err, ErrBadKey)
	planted.verifier = nil
	code, _, err = thief.NewCode(t.Context(), k)
	ok(t, err)
	_, session, _, err := thief.OpenSession(t.Context(), code)
	ok(t, err)
	_, err = c.LookupKey(t.Context(), session)
	wantErr(t, err, ErrBadKey)
}

func TestTicketThatNoAPIMadeOpensNoBackup(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	planted := *s
	planted.signer = newTestKey(t)
	token := must[string](t)(NewClient(&planted).NewTicket(t.Context(), "n1", Ticket{Backup: "bk_1", Account: "alice"}))
	_, err := NewClient(s).TakeTicket(t.Context(), "n1", token)
	wantErr(t, err, ErrUnknownSigner)
}

func TestRenewedRecordsOutliveTheKeyThatSignedThem(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	c := NewConductor(NewClient(s), 0)
	_, secret, err := c.CreateKey(t.Context(), NewKey{Name: "mine", Owner: "alice"})
	ok(t, err)
	sched := c.create(t, Schedule{Cron: "@daily"})
	planted := *s
	planted.signer = newTestKey(t)
	_, forged, err := NewClient(&planted).CreateKey(t.Context(), NewKey{Name: "theirs", Owner: "bob"})
	ok(t, err)

	next, overlap := newTestKey(t), *s
	overlap.signer = next // and still believes the old one
	renewed := must[[]Renewed](t)(NewClient(&overlap).Renew(t.Context()))
	refused := 0
	for _, r := range renewed {
		if r.Err != nil {
			refused++
		}
	}
	if len(renewed) != 3 || refused != 1 {
		t.Errorf("%+v", renewed)
	}
	after := *s
	after.signer, after.verifier = next, next
	if _, err := NewClient(&after).LookupKey(t.Context(), secret); err != nil {
		t.Error(err)
	}
	_, err = NewClient(&after).LookupKey(t.Context(), forged)
	wantErr(t, err, ErrBadKey)
	ok(t, NewClient(&after).VerifySchedule(must[ScheduleState](t)(c.Schedule(t.Context(), sched.ID))))
}

// What is signed must tell any two records apart.
func TestCanonicalFormIsTheOnlyOneOfARecord(t *testing.T) {
	t.Parallel()
	parts := rapid.SliceOf(rapid.StringMatching(`[a-c\x00\n]{0,3}`))
	rapid.Check(t, func(t *rapid.T) {
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		if string(canonical("op", 1, a)) == string(canonical("op", 1, b)) && !slices.Equal(a, b) {
			t.Fatalf("%q and %q look alike", a, b)
		}
	})
}
