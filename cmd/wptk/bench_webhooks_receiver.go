package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// hookSort is how a receiver behaves.
type hookSort string

const (
	hookAnswers     hookSort = "answers"
	hookDown        hookSort = "down"           // cuts the connection or answers 503 while it is away
	hookHangs       hookSort = "hangs"          // answers nothing while it is away
	hookGone        hookSort = "gone"           // answers 410
	hookLeadsAway   hookSort = "leading-away"   // redirects to loopback
	hookLeadsInside hookSort = "leading-inside" // its name is loopback's
)

// returns reports a receiver that is to have every event in the end.
func (s hookSort) returns() bool { return s == hookAnswers || s == hookDown || s == hookHangs }

// hookReceiver is the receiver of one webhook. It keeps what it was told.
type hookReceiver struct {
	sort        hookSort
	account, id string // of the webhook
	secret      string

	mu     sync.Mutex
	events map[string]int // by op
	late   []float64      // ms from an end to its arrival
	failed int
	forged int
}

// ServeHTTP is the receiving end of all webhooks; the path names which one.
func (s *hookStage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	to := s.receivers[r.URL.Path]
	s.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if to == nil || err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch {
	case to.sort == hookGone:
		w.WriteHeader(http.StatusGone)
	case to.sort == hookLeadsAway:
		http.Redirect(w, r, "http://"+s.inside.Addr().String()+"/", http.StatusTemporaryRedirect)
	case to.sort == hookHangs && s.away.Load():
		to.fail()
		select {
		case <-r.Context().Done():
		case <-s.back:
			panic(http.ErrAbortHandler) // whoever hangs for so long has not got it
		}
	case to.sort == hookDown && s.away.Load():
		if to.fail()%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		to.take(r.Header.Get("X-WisPanel-Signature"), body)
	}
}

func (r *hookReceiver) fail() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	return r.failed
}

// take notes an event and how long it took from the operation's end.
func (r *hookReceiver) take(signature string, body []byte) {
	now := time.Now()
	var e struct {
		Data struct {
			Operation string    `json:"operation_id"`
			Finished  time.Time `json:"finished_at"`
		} `json:"data"`
	}
	mac := hmac.New(sha256.New, []byte(r.secret))
	mac.Write(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	given, _ := hex.DecodeString(strings.TrimPrefix(signature, "sha256=")) // what is no hex is no signature
	if err := json.Unmarshal(body, &e); err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		r.forged++
		return
	}
	r.events[e.Data.Operation]++
	r.late = append(r.late, milliseconds(now.Sub(e.Data.Finished)))
}
