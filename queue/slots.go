package queue

import "sync"

// slots are the attempts that a process may have under way, and who has them. Receivers
// that hang hold theirs for a whole time-out, so nobody gets so many that others wait.
type slots struct {
	perWebhook int
	perAccount int // of all its webhooks: else those of one account could hold every slot
	allFailing int // of all webhooks that fail: those that answer always find one free

	mu       sync.Mutex
	webhooks map[string]int
	accounts map[string]int
	failing  int
}

func newSlots(all, perWebhook int) *slots {
	return &slots{
		perWebhook: perWebhook, perAccount: max(1, all/4), allFailing: max(1, all/2),
		webhooks: make(map[string]int), accounts: make(map[string]int),
	}
}

// enter takes a slot, and answers nil when the webhook may have none now. leave gives it back.
func (s *slots) enter(w Webhook) (leave func()) {
	fails, most := 0, s.perWebhook
	if !w.FailingSince.IsZero() {
		fails, most = 1, 1 // a receiver that does not answer is not asked by several at a time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.webhooks[w.ID] >= most || s.accounts[w.Owner] >= s.perAccount || s.failing+fails > s.allFailing {
		return nil
	}
	s.webhooks[w.ID]++
	s.accounts[w.Owner]++
	s.failing += fails
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failing -= fails
		decrease(s.webhooks, w.ID)
		decrease(s.accounts, w.Owner)
	}
}

// decrease forgets who has none, lest the map grows with all there ever were.
func decrease(counts map[string]int, of string) {
	if counts[of]--; counts[of] == 0 {
		delete(counts, of)
	}
}
