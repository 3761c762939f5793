package queue

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wispanel/wptk/tasks"
)

// silence makes a node one that has not been heard of for long.
func silence(t *testing.T, s *Store, node string) {
	t.Helper()
	ok(t, s.rdb.HSet(t.Context(), s.names.node(node), "beat", time.Now().Add(-2*lostAfter).UnixMilli()).Err())
}

func TestLostNodeWithoutInstallsIsRemoved(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	testNode(t, s, "web-1")
	testNode(t, s, "web-2")
	var inUse *NodeInUseError
	if _, err := c.RemoveNode(t.Context(), "web-1", false); !errors.As(err, &inUse) || inUse.State != NodeUp {
		t.Errorf("a node that is up: %v", err)
	}
	silence(t, s, "web-1")
	must[Removal](t)(c.RemoveNode(t.Context(), "web-1", false))
	if nodes := must[[]NodeInfo](t)(c.Nodes(t.Context())); len(nodes) != 1 || nodes[0].ID != "web-2" {
		t.Errorf("left are %+v", nodes)
	}
	if _, err := c.RemoveNode(t.Context(), "web-1", true); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// A lost node with installs, and three operations: one that ran when it died, and two that
// wait, one behind the other.
func TestNodeThatIsInUseGoesWithAllThatIsKeptOfItByForceAlone(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	n := testNode(t, s, "n1")
	ran, waits, behind := newOp("a.example"), newOp("b.example"), newOp("b.example")
	for _, op := range []tasks.Op{ran, waits, behind} {
		submit(t, c, op)
	}
	ok(t, s.rdb.RPopLPush(t.Context(), lanePending(lane("n1", ran.Class)), laneActive(lane("n1", ran.Class))).Err())
	must[tasks.Op](t)((&server{node: n}).begin(t.Context(), must[tasks.Op](t)((&server{node: n}).recall(t.Context(), ran.ID))))
	site := testSite("n1", "alice", "a.example", "")
	ok(t, n.PublishDomains(t.Context(), []Domain{{Node: "n1", Account: "alice", Domain: "a.example"}}))
	ok(t, n.PublishSites(t.Context(), time.Now().Add(-time.Second), []Site{site}))
	silence(t, s, "n1")

	var inUse *NodeInUseError
	if _, err := c.RemoveNode(t.Context(), "n1", false); !errors.As(err, &inUse) || *inUse != (NodeInUseError{NodeLost, 1, 3}) {
		t.Fatalf("in use: %v", err)
	}
	if got := must[Removal](t)(c.RemoveNode(t.Context(), "n1", true)); got != (Removal{Sites: 1, Domains: 1, Ops: 3}) {
		t.Errorf("removed %+v", got)
	}
	for _, op := range []tasks.Op{ran, waits, behind} {
		got := must[tasks.Op](t)(c.Get(t.Context(), op.ID))
		if got.State != tasks.Cancelled || got.Error == nil || got.Error.Code != tasks.CodeCancelled {
			t.Errorf("%s: %s, %+v", op.ID, got.State, got.Error)
		}
	}
	if _, err := c.Site(t.Context(), site.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the install: %v", err)
	}
	if domains := must[[]Domain](t)(c.Domain(t.Context(), "a.example")); len(domains) > 0 {
		t.Errorf("the domain: %v", domains)
	}
	for _, key := range must[[]string](t)(s.rdb.Keys(t.Context(), "*n1*").Result()) {
		if strings.Contains(key, "n.n1.") || slices.Contains([]string{s.names.node("n1"), s.names.nodeSites("n1"), s.names.nodeDomains("n1")}, key) {
			t.Errorf("%s is left", key)
		}
	}
	if names := must[[]string](t)(s.rdb.SMembers(t.Context(), laneNames).Result()); slices.ContainsFunc(names, func(q string) bool { return strings.HasPrefix(q, "n.n1.") }) {
		t.Errorf("asynq lists %v", names)
	}
}

func TestRemovedNodesBackupsAreListedNoMoreAndThoseOfOthersAre(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	testNode(t, s, "n1")
	backupOn := func(node string) tasks.Backup {
		op := newOp("a.example")
		op.Site.Node, op.Site.Account = node, "alice"
		b := tasks.Backup{ID: tasks.BackupID(op.ID), Op: op.ID, Site: op.Site, Type: tasks.BackupFull}
		ok(t, c.PutBackup(t.Context(), b))
		ok(t, c.SetBackupsListed(t.Context(), node))
		return b
	}
	gone, stays := backupOn("n1"), backupOn("n2")
	must[Removal](t)(c.RemoveNode(t.Context(), "n1", true))
	if _, err := c.Backup(t.Context(), gone.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("its record: %v", err)
	}
	if page := must[Page[tasks.Backup]](t)(c.Backups(t.Context(), BackupFilter{Account: "alice"})); len(page.Items) != 1 || page.Items[0].ID != stays.ID {
		t.Errorf("listed are %+v", page.Items)
	}
	// Or it would not list them when it comes back.
	if must[bool](t)(c.BackupsListed(t.Context(), "n1")) || !must[bool](t)(c.BackupsListed(t.Context(), "n2")) {
		t.Error("the wrong node is marked as having listed its backups")
	}
	if left := must[int64](t)(s.rdb.Exists(t.Context(), s.names.nodeBackups("n1")).Result()); left != 0 {
		t.Error("its list is left")
	}
}
