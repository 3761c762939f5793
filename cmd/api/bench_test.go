package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/mux"
)

// BenchmarkProgress compares a progress poll with the least that any API on this
// router could do: the same round trip to Redis and an encoded answer.
func BenchmarkProgress(b *testing.B) {
	k := newKit(b, func(d *deps) { d.RateLimit = 1 << 30 })
	id := k.install(k.alice, "").text(b, "id")
	bare := mux.NewRouter()
	bare.Path(apiBase + "/wordpress/install/{id}/progress").Methods(get).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, op, err := k.client.Poll(r.Context(), "bare", 1<<30, mux.Vars(r)["id"])
		if err != nil {
			b.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(op)
	})
	for name, handler := range map[string]http.Handler{"ours": newServer(k.deps), "bare": bare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := httptest.NewRequest(get, progressURL(id), nil)
				r.Header.Set("Authorization", "Bearer "+k.alice)
				for pb.Next() {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Errorf("%d %s", w.Code, w.Body)
					}
				}
			})
		})
	}
}
