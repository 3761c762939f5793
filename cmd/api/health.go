package main

import (
	"context"
	"net/http"
	"time"
)

// healthz says that the process is alive. It asks nobody: restarting the API
// does not mend Redis.
func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
}

// readyz says whether requests would be answered now.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.Closing.Done():
		writeProblem(w, r, newProblem("QUEUE_UNAVAILABLE", "Shutting down").after(time.Second))
		return
	default:
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		exchangeOf(ctx).log.Warn("not ready", "err", err)
		writeProblem(w, r, newProblem("QUEUE_UNAVAILABLE", "Redis does not answer").after(5*time.Second))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ready"})
}
