package queue

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func audited(t *testing.T, c *Client, list ...AuditEntry) {
	t.Helper()
	for _, e := range list {
		ok(t, c.Audit(t.Context(), e, time.Hour))
	}
}

func actions(list []AuditEntry) string {
	text := ""
	for _, e := range list {
		text += e.Action
	}
	return text
}

func TestAuditTrailIsReadInPagesWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	want := ""
	for i := range 9 {
		e := AuditEntry{Action: fmt.Sprint(i), Outcome: AuditAccepted}
		if i%3 > 0 { // of those with a key; the others are of unknown people
			e.Key, e.Account = "wsp_01234567", "alice"
		}
		audited(t, c, e)
		want = e.Action + want
	}
	got, f := "", AuditFilter{Limit: 2}
	for {
		page := must[AuditPage](t)(c.AuditTrail(t.Context(), f))
		got += actions(page.Items)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	// Entries of one millisecond in both streams have no order between them.
	if len(got) != len(want) {
		t.Errorf("read %s, want %s", got, want)
	}
	for i, e := range must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{})).Items {
		if i > 0 && e.At.IsZero() || e.Outcome != AuditAccepted {
			t.Errorf("%+v", e)
		}
	}
}

func TestAuditTrailTellsWhatCameSince(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	empty := must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{}))
	if len(empty.Items) != 0 || empty.Next != "" {
		t.Errorf("an empty trail: %+v", empty)
	}
	audited(t, c, AuditEntry{Action: "a", Account: "operator"}, AuditEntry{Action: "b", Account: "operator"})
	first := must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{After: empty.Newest}))
	audited(t, c, AuditEntry{Action: "c", Account: "operator"})
	second := must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{After: first.Newest}))
	none := must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{After: second.Newest}))
	if actions(first.Items) != "ab" || actions(second.Items) != "c" || len(none.Items) != 0 || none.Newest != second.Newest {
		t.Errorf("%+v, %+v, %+v", first, second, none)
	}
	newest := must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{Limit: 1}))
	if rest := must[AuditPage](t)(c.AuditTrail(t.Context(), AuditFilter{After: newest.Newest})); actions(newest.Items) != "c" || len(rest.Items) != 0 {
		t.Errorf("%+v, %+v", newest, rest)
	}
}

func TestAuditTrailIsFiltered(t *testing.T) {
	t.Parallel()
	c := NewClient(registryStore(t))
	audited(t, c,
		AuditEntry{Action: "POST /a", Key: "wsp_aaaaaaaa", Account: "alice", Outcome: AuditAccepted},
		AuditEntry{Action: "GET /b", Key: "wsp_bbbbbbbb", Account: "bob", Outcome: AuditRefused},
		AuditEntry{Action: "GET /c", Outcome: AuditRefused})
	for want, f := range map[string]AuditFilter{
		"POST /a": {Key: "wsp_a"}, "GET /b": {Account: "bob"}, "GET /c": {Outcome: AuditRefused, Action: "/c"},
	} {
		if page := must[AuditPage](t)(c.AuditTrail(t.Context(), f)); actions(page.Items) != want {
			t.Errorf("%+v: %+v", f, page)
		}
	}
	for _, cursor := range []string{"x", "1-0", "1-0.", "1-0.1-0; DEL", "(1-0.1-0", "1-0.1-0.1-0"} {
		if _, err := c.AuditTrail(t.Context(), AuditFilter{Cursor: cursor}); !errors.Is(err, ErrBadCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

func TestGuessesPushNoKeysOutOfTheAuditTrail(t *testing.T) {
	t.Parallel()
	s := registryStore(t)
	c := NewClient(s)
	audited(t, c, AuditEntry{Action: "POST /a", Key: "wsp_aaaaaaaa", Account: "alice"}, AuditEntry{Action: "GET /b"})
	for known, want := range map[bool]int64{true: 1, false: 1} {
		if n := must[int64](t)(s.rdb.XLen(t.Context(), c.names.audit(known)).Result()); n != want {
			t.Errorf("known %v: %d entries, want %d", known, n, want)
		}
	}
}
