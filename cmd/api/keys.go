package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/wispanel/wptk/queue"
)

// keyView is a key as it goes out; the secret is in the answer to its creation only.
type keyView struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Prefix      string         `json:"key_prefix" doc:"The first 12 characters of the secret."`
	Owner       string         `json:"owner"`
	Role        string         `json:"role" enum:"user,admin"`
	Permissions []string       `json:"permissions"`
	IPWhitelist []netip.Prefix `json:"ip_whitelist"`
	ExpiresAt   stamp          `json:"expires_at"`
	LastUsed    stamp          `json:"last_used"`
	Enabled     bool           `json:"enabled"`
	RateLimit   int            `json:"rate_limit" doc:"Requests a minute; 0 is the default of the API."`
	CreatedAt   stamp          `json:"created_at"`
}

func viewKey(k queue.Key) keyView {
	return keyView{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Owner: k.Owner, Role: k.Role, Permissions: orEmpty(k.Permissions),
		IPWhitelist: orEmpty(k.IPWhitelist), ExpiresAt: stamp(k.ExpiresAt), LastUsed: stamp(k.LastUsed),
		Enabled: k.Enabled, RateLimit: k.RateLimit, CreatedAt: stamp(k.CreatedAt),
	}
}

type userInput struct {
	Username string `path:"username" maxLength:"32"`
}

type keyRequest struct {
	Name        string    `json:"name" maxLength:"64" example:"deploy"`
	Role        string    `json:"role,omitempty" enum:"user,admin" doc:"user by default."`
	Permissions []string  `json:"permissions,omitempty" maxItems:"8" nullable:"false" enum:"read,wordpress,webhooks,all" doc:"all by default; read opens every GET and nothing else."`
	IPWhitelist []string  `json:"ip_whitelist,omitempty" maxItems:"64" nullable:"false" doc:"Addresses and CIDRs; from anywhere by default."`
	ExpiresAt   time.Time `json:"expires_at,omitempty"`
	RateLimit   int       `json:"rate_limit,omitempty" minimum:"0" doc:"Requests a minute."`
}

type createKeyInput struct {
	Username string `path:"username" maxLength:"32"`
	Body     keyRequest
}

type keyAnswer struct {
	Status int
	Body   struct {
		Success bool    `json:"success"`
		Key     string  `json:"key" example:"wsp_…" doc:"The secret. It is shown now and never again."`
		APIKey  keyView `json:"api_key"`
	}
}

// createKey makes a key for the caller, or for anyone when an admin asks.
func (s *server) createKey(ctx context.Context, in *createKeyInput) (*keyAnswer, error) {
	exchangeOf(ctx).target = in.Username
	if !sees(ctx, in.Username) {
		return nil, queue.ErrNotFound
	}
	q := in.Body
	asked := queue.NewKey{Name: q.Name, Owner: in.Username, Role: q.Role, Permissions: q.Permissions,
		IPWhitelist: q.IPWhitelist, ExpiresAt: q.ExpiresAt, RateLimit: q.RateLimit}
	if err := withinRights(exchangeOf(ctx).key, asked, s.RateLimit); err != nil {
		return nil, err
	}
	key, secret, err := s.Ledger.CreateKey(ctx, asked)
	if err != nil {
		return nil, err
	}
	exchangeOf(ctx).target = in.Username + " " + key.ID
	out := &keyAnswer{Status: http.StatusCreated}
	out.Body.Success, out.Body.Key, out.Body.APIKey = true, secret, viewKey(key)
	return out, nil
}

// withinRights keeps a key from making one that may do more than itself: more
// rights, for longer, from more places, or more often.
func withinRights(own queue.Key, asked queue.NewKey, usual int) error {
	beyond := func(what string) error {
		return newProblem("FORBIDDEN", "A key cannot make a key with more rights than its own").hint("%s", what)
	}
	if asked.Role == queue.RoleAdmin && own.Role != queue.RoleAdmin {
		return beyond("role: only an admin makes admins")
	}
	wanted := asked.Permissions
	if len(wanted) == 0 {
		wanted = []string{queue.PermAll}
	}
	for _, p := range wanted {
		if !slices.Contains(own.Permissions, p) && !slices.Contains(own.Permissions, queue.PermAll) {
			return beyond(fmt.Sprintf("permissions: yours do not include %q", p))
		}
	}
	if !own.ExpiresAt.IsZero() && (asked.ExpiresAt.IsZero() || asked.ExpiresAt.After(own.ExpiresAt)) {
		return beyond("expires_at: must not be later than your own key's")
	}
	if len(own.IPWhitelist) > 0 && !covered(own, asked.IPWhitelist) {
		return beyond("ip_whitelist: must lie within your own key's")
	}
	if most := cmp.Or(own.RateLimit, usual); own.Role != queue.RoleAdmin && asked.RateLimit > most {
		return beyond(fmt.Sprintf("rate_limit: at most %d", most))
	}
	return nil
}

// covered reports whether every asked network lies within one of own's.
func covered(own queue.Key, asked []string) bool {
	return len(asked) > 0 && !slices.ContainsFunc(asked, func(text string) bool {
		net, err := netip.ParsePrefix(text)
		if addr, errAddr := netip.ParseAddr(text); err != nil && errAddr == nil {
			net, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return true
		}
		return !slices.ContainsFunc(own.IPWhitelist, func(p netip.Prefix) bool {
			return p.Bits() <= net.Bits() && p.Contains(net.Addr().Unmap())
		})
	})
}

type rotateKeyInput struct {
	Username string `path:"username" maxLength:"32"`
	ID       string `path:"id" maxLength:"64"`
	Overlap  int    `query:"overlap_hours" minimum:"0" maximum:"168" default:"24" doc:"How long the old key goes on beside the new one; 0 takes it away at once."`
}

type rotatedAnswer struct {
	Status int
	Body   struct {
		Success  bool    `json:"success"`
		Key      string  `json:"key" example:"wsp_…" doc:"The new secret. It is shown now and never again."`
		APIKey   keyView `json:"api_key" doc:"The new key."`
		Replaced string  `json:"replaced" doc:"Id of the old key."`
		OldUntil stamp   `json:"old_valid_until"`
	}
}

// rotateKey replaces a key. Who asks may not come by more rights than its own key has.
func (s *server) rotateKey(ctx context.Context, in *rotateKeyInput) (*rotatedAnswer, error) {
	x := exchangeOf(ctx)
	x.target = in.Username + " " + in.ID
	if !sees(ctx, in.Username) {
		return nil, queue.ErrNotFound
	}
	old, err := s.Ledger.FindKey(ctx, in.Username, in.ID)
	if err != nil {
		return nil, err
	}
	if err := withinRights(x.key, old.Successor(), s.RateLimit); err != nil {
		return nil, err
	}
	key, secret, until, err := s.Ledger.RotateKey(ctx, old, time.Duration(in.Overlap)*time.Hour)
	if err != nil {
		return nil, err
	}
	x.target = in.Username + " " + old.ID + " " + key.ID
	out := &rotatedAnswer{Status: http.StatusCreated}
	out.Body.Success, out.Body.Key, out.Body.APIKey = true, secret, viewKey(key)
	out.Body.Replaced, out.Body.OldUntil = old.ID, stamp(until)
	return out, nil
}

type keysAnswer struct {
	Body struct {
		Success bool      `json:"success"`
		Keys    []keyView `json:"api_keys"`
	}
}

func (s *server) listKeys(ctx context.Context, in *userInput) (*keysAnswer, error) {
	if !sees(ctx, in.Username) {
		return nil, queue.ErrNotFound
	}
	keys, err := s.Ledger.ListKeys(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	out := &keysAnswer{}
	out.Body.Success, out.Body.Keys = true, make([]keyView, len(keys))
	for i, k := range keys {
		out.Body.Keys[i] = viewKey(k)
	}
	return out, nil
}

type revokeInput struct {
	Username string `path:"username" maxLength:"32"`
	ID       string `path:"id" maxLength:"64"`
}

type revokeAnswer struct {
	Body struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
	}
}

func (s *server) revokeKey(ctx context.Context, in *revokeInput) (*revokeAnswer, error) {
	exchangeOf(ctx).target = in.Username + " " + in.ID
	if !sees(ctx, in.Username) {
		return nil, queue.ErrNotFound
	}
	if err := s.Ledger.RevokeKey(ctx, in.Username, in.ID); err != nil {
		return nil, err
	}
	out := &revokeAnswer{}
	out.Body.Success, out.Body.ID = true, in.ID
	return out, nil
}
