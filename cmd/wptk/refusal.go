package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiError is the API's error envelope.
type apiError struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Short     string `json:"error"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	RequestID string `json:"request_id"`
	Operation string `json:"operation_id"`
	ID        string `json:"id"`
	Details   []struct {
		Field  string `json:"field"`
		Reason string `json:"reason"`
	} `json:"details"`

	retryAfter time.Duration // 0: trying again is pointless
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d %s)", e.Message, e.Status, e.Code) }

// refusal reads an answer with a status of 300 or more. It may come from a proxy
// that knows nothing of envelopes.
func refusal(res *http.Response, raw []byte) *apiError {
	e := &apiError{}
	if json.Unmarshal(raw, e) != nil || e.Message == "" && e.Short == "" {
		e = &apiError{Message: "the answer is not from a toolkit API: " + res.Status}
	}
	if e.Message == "" {
		e.Message = e.Short
	}
	e.Status = res.StatusCode
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.retryAfter = time.Second
	}
	// A conflict may pass as well, but only when the API says so.
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.retryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// explain prints everything the API said, one fact a line.
func (e *apiError) explain(w io.Writer) {
	say(w, "wptk: %s", clean(e.Message))
	for _, d := range e.Details {
		if line := clean(d.Field) + ": " + clean(d.Reason); !strings.Contains(e.Message, d.Field+": "+d.Reason) {
			say(w, "  %s", line)
		}
	}
	for _, f := range []struct{ name, value string }{
		{"hint", e.Hint}, {"operation", e.Operation}, {"install", e.ID},
		{"code", e.Code}, {"request", e.RequestID},
	} {
		if f.value != "" {
			say(w, "  %s: %s", f.name, clean(f.value))
		}
	}
}
