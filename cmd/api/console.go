package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"github.com/wispanel/wptk/queue"
)

// The operations console: a page for people, and how a browser gets in. Why it is as it
// is: docs/decisions/0066-console.md.
const (
	consolePath    = "/console"
	consoleSession = consolePath + "/session"
	consoleLinks   = apiBase + "/console/links"
)

// consoleRoutes is all that a console session opens: what the page asks for. Whoever gets
// hold of one cannot make keys, links or webhooks, change a site or read a backup.
var consoleRoutes = map[string]bool{
	"GET " + apiBase + "/nodes":                             true,
	"GET " + apiBase + "/wordpress/installations":           true,
	"GET " + apiBase + "/wordpress/events":                  true,
	"GET " + apiBase + "/wordpress/operations":              true,
	"GET " + apiBase + "/wordpress/operations/{id}/events":  true,
	"GET " + apiBase + "/wordpress/operations/{id}/log":     true,
	"POST " + apiBase + "/wordpress/operations/{id}/cancel": true,
	"POST " + apiBase + "/wordpress/operations/{id}/retry":  true,
}

func consoleMay(method, route string) bool { return consoleRoutes[method+" "+route] }

// console registers what is not part of the API: the page, and signing in and out.
func (s *server) console(router *mux.Router) {
	serveConsole(router)
	router.Path(consoleSession).Methods(post).HandlerFunc(s.answered(s.signIn))
	router.Path(consoleSession).Methods(del).HandlerFunc(s.answered(s.signOut))
}

// answered has a handler's errors leave as problems, and every try leave an audit line.
func (s *server) answered(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer s.audit(r)
		if err := h(w, r); err != nil {
			writeProblem(w, r, err)
		}
	}
}

type consoleLinkAnswer struct {
	Status int
	Body   struct {
		Success   bool   `json:"success"`
		Code      string `json:"code" doc:"Opens /console#<code> once."`
		ExpiresAt stamp  `json:"expires_at"`
	}
}

func (s *server) createConsoleLink(ctx context.Context, _ *struct{}) (*consoleLinkAnswer, error) {
	code, ends, err := s.Ledger.NewCode(ctx, exchangeOf(ctx).key)
	if err != nil {
		return nil, err
	}
	out := &consoleLinkAnswer{Status: http.StatusCreated}
	out.Body.Success, out.Body.Code, out.Body.ExpiresAt = true, code, stamp(ends)
	return out, nil
}

// sessionAnswer is what the page keeps for as long as its tab is open.
type sessionAnswer struct {
	Success   bool   `json:"success"`
	Token     string `json:"token"`
	ExpiresAt stamp  `json:"expires_at"`
	Account   string `json:"account"`
	Key       string `json:"key"`        // its name
	Changes   bool   `json:"may_change"` // false for a key for reading
}

var errBadCode = newProblem("UNAUTHORIZED", "The sign-in link is not valid").hint("a link works once, within a minute; wptk console makes another")

// signIn exchanges a code for a session. Tries count against the address, and whatever is
// wrong with a code, the answer is the same. There is no cookie: nothing that another
// page makes this browser send is signed in.
func (s *server) signIn(w http.ResponseWriter, r *http.Request) error {
	x := exchangeOf(r.Context())
	if err := s.countAddress(x, r); err != nil {
		return err
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	var asked struct {
		Code string `json:"code"`
	}
	if err := unmarshalStrict(raw, &asked); err != nil {
		return newProblem("VALIDATION_ERROR", "The body must be an object with a code")
	}
	key, token, ends, err := s.Ledger.OpenSession(r.Context(), asked.Code)
	switch {
	case errors.Is(err, queue.ErrBadKey):
		return errBadCode
	case err != nil:
		return err
	case !key.AllowsFrom(x.addr):
		if err := s.Ledger.CloseSession(r.Context(), token); err != nil {
			return err
		}
		return errBadCode
	}
	x.key = key
	writeJSON(w, http.StatusCreated, sessionAnswer{Success: true, Token: token, ExpiresAt: stamp(ends),
		Account: key.Owner, Key: key.Name, Changes: key.Allows(queue.PermWordPress, false)})
	return nil
}

// signOut ends the session that asks for it.
func (s *server) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := s.identify(exchangeOf(r.Context()), r); err != nil {
		return err
	}
	secret := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if err := s.Ledger.CloseSession(r.Context(), secret); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
