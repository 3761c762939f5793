package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

// webhookView is a webhook as it goes out; secrets are in the answers that make one.
type webhookView struct {
	ID           string   `json:"id" example:"wh_4e8a1b2c3d4e5f6012345678"`
	Account      string   `json:"account"`
	URL          string   `json:"url"`
	Events       []string `json:"events"`
	Enabled      bool     `json:"enabled"`
	All          bool     `json:"all_accounts" doc:"Told of the operations of every account."`
	Disabled     string   `json:"disabled_reason" doc:"Why it is not enabled, when nobody asked for that."`
	FailingSince stamp    `json:"failing_since" doc:"When the first delivery failed after the last that arrived."`
	OldUntil     stamp    `json:"previous_secret_until" doc:"Until then deliveries are also signed with the secret before."`
	CreatedAt    stamp    `json:"created_at"`
	UpdatedAt    stamp    `json:"updated_at"`
}

func viewWebhook(w queue.Webhook) webhookView {
	return webhookView{
		ID: w.ID, Account: w.Owner, URL: w.URL, Events: orEmpty(w.Events), Enabled: w.Enabled, All: w.All, Disabled: w.Off,
		FailingSince: stamp(w.FailingSince), OldUntil: stamp(w.OldUntil), CreatedAt: stamp(w.CreatedAt), UpdatedAt: stamp(w.UpdatedAt),
	}
}

type webhookInput struct {
	ID string `path:"id" maxLength:"64"`
}

type webhookRequest struct {
	URL     string   `json:"url" maxLength:"2048" example:"https://billing.example.com/hooks/wispanel" doc:"https, port 443 or above 1023; the address must be a public one when it is connected to."`
	Events  []string `json:"events,omitempty" maxItems:"50" nullable:"false" example:"[\"wordpress.install.succeeded\",\"wordpress.plugin.*\"]" doc:"Names, beginnings with .* behind them, or * (the default)."`
	Enabled *bool    `json:"enabled,omitempty" doc:"true by default."`
	Account string   `json:"account,omitempty" maxLength:"32" doc:"Whose operations; the key's own account by default."`
	All     bool     `json:"all_accounts,omitempty" doc:"The operations of every account. For admins."`
}

type createWebhookInput struct{ Body webhookRequest }

type webhookAnswer struct {
	Status int
	Body   struct {
		Success bool        `json:"success"`
		Webhook webhookView `json:"webhook"`
	}
}

type webhookSecretAnswer struct {
	Status int
	Body   struct {
		Success bool        `json:"success"`
		Secret  string      `json:"secret" example:"whsec_…" doc:"Signs deliveries. It is shown now and never again."`
		Webhook webhookView `json:"webhook"`
	}
}

func (s *server) createWebhook(ctx context.Context, in *createWebhookInput) (*webhookSecretAnswer, error) {
	x, q := exchangeOf(ctx), in.Body
	w := queue.Webhook{Owner: q.Account, All: q.All, URL: q.URL, Events: q.Events, Enabled: q.Enabled == nil || *q.Enabled}
	if w.Owner == "" {
		w.Owner = x.key.Owner
	}
	if len(w.Events) == 0 {
		w.Events = []string{"*"}
	}
	if w.All && x.key.Role != queue.RoleAdmin {
		return nil, newProblem("FORBIDDEN", "Only an admin is told of every account")
	}
	if !sees(ctx, w.Owner) {
		return nil, queue.ErrNotFound
	}
	if problems := append(s.checkURL(w.URL), checkEvents(w.Events)...); problems != nil {
		return nil, invalid(problems...)
	}
	secret, sealed, err := s.newWebhookSecret()
	if err != nil {
		return nil, err
	}
	w.Secret = sealed
	if w, err = s.Ledger.CreateWebhook(ctx, w); err != nil {
		return nil, err
	}
	x.target = w.ID
	out := &webhookSecretAnswer{Status: http.StatusCreated}
	out.Body.Success, out.Body.Secret, out.Body.Webhook = true, secret, viewWebhook(w)
	return out, nil
}

// newWebhookSecret draws a secret in the form of Standard Webhooks, and seals it to
// the API: a signature needs the secret itself, a hash would not do.
func (s *server) newWebhookSecret() (secret, sealed string, err error) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails: the process ends if the system has no randomness
	secret = secretPrefix + base64.StdEncoding.EncodeToString(raw)
	sealed, err = seal.To(s.Secrets.Recipient(), secret)
	return secret, sealed, err
}

// webhook is the one that an id names, if the caller may see it. One for every
// account is an admin's affair, whoever's key made it.
func (s *server) webhook(ctx context.Context, id string) (queue.Webhook, error) {
	exchangeOf(ctx).target = id
	w, err := s.Ledger.Webhook(ctx, id)
	if err == nil && !seesWebhook(ctx, w) {
		err = queue.ErrNotFound
	}
	return w, err
}

func seesWebhook(ctx context.Context, w queue.Webhook) bool {
	return sees(ctx, w.Owner) && (!w.All || exchangeOf(ctx).key.Role == queue.RoleAdmin)
}

func (s *server) getWebhook(ctx context.Context, in *webhookInput) (*webhookAnswer, error) {
	w, err := s.webhook(ctx, in.ID)
	return answerWebhook(w, err)
}

func answerWebhook(w queue.Webhook, err error) (*webhookAnswer, error) {
	if err != nil {
		return nil, err
	}
	out := &webhookAnswer{Status: http.StatusOK}
	out.Body.Success, out.Body.Webhook = true, viewWebhook(w)
	return out, nil
}

type webhooksAnswer struct {
	Body struct {
		Success  bool          `json:"success"`
		Webhooks []webhookView `json:"webhooks"`
	}
}

func (s *server) listWebhooks(ctx context.Context, _ *struct{}) (*webhooksAnswer, error) {
	list, err := s.Ledger.Webhooks(ctx, scopeOf(ctx))
	if err != nil {
		return nil, err
	}
	out := &webhooksAnswer{}
	out.Body.Success, out.Body.Webhooks = true, []webhookView{}
	for _, w := range list {
		if seesWebhook(ctx, w) {
			out.Body.Webhooks = append(out.Body.Webhooks, viewWebhook(w))
		}
	}
	return out, nil
}

type changeWebhookInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		URL     string   `json:"url,omitempty" maxLength:"2048"`
		Events  []string `json:"events,omitempty" maxItems:"50" nullable:"false"`
		Enabled *bool    `json:"enabled,omitempty" doc:"true also takes back what switched it off."`
	}
}

// changeWebhook changes what is given and leaves the rest.
func (s *server) changeWebhook(ctx context.Context, in *changeWebhookInput) (*webhookAnswer, error) {
	if _, err := s.webhook(ctx, in.ID); err != nil {
		return nil, err
	}
	q := in.Body
	var problems []tasks.Problem
	if q.URL != "" {
		problems = s.checkURL(q.URL)
	}
	if problems = append(problems, checkEvents(q.Events)...); problems != nil {
		return nil, invalid(problems...)
	}
	if q.URL == "" && q.Events == nil && q.Enabled == nil {
		return nil, invalid(tasks.Problem{Field: wholeBody, Reason: "must have url, events or enabled"})
	}
	w, err := s.Ledger.ChangeWebhook(ctx, in.ID, func(w *queue.Webhook) error {
		if q.URL != "" {
			w.URL = q.URL
		}
		if q.Events != nil {
			w.Events = q.Events
		}
		if q.Enabled != nil {
			w.Enabled, w.Off = *q.Enabled, ""
		}
		return nil
	})
	return answerWebhook(w, err)
}

type rotateWebhookInput struct {
	ID      string `path:"id" maxLength:"64"`
	Overlap int    `query:"overlap_hours" minimum:"0" maximum:"168" default:"24" doc:"How long deliveries are signed with both secrets."`
}

// rotateWebhook gives a webhook a new secret.
func (s *server) rotateWebhook(ctx context.Context, in *rotateWebhookInput) (*webhookSecretAnswer, error) {
	if _, err := s.webhook(ctx, in.ID); err != nil {
		return nil, err
	}
	overlap := time.Duration(in.Overlap) * time.Hour
	secret, sealed, err := s.newWebhookSecret()
	if err != nil {
		return nil, err
	}
	w, err := s.Ledger.ChangeWebhook(ctx, in.ID, func(w *queue.Webhook) error {
		w.Old, w.OldUntil, w.Secret = w.Secret, time.Now().Add(overlap).UTC().Truncate(time.Second), sealed
		if overlap == 0 {
			w.Old, w.OldUntil = "", time.Time{}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &webhookSecretAnswer{Status: http.StatusCreated}
	out.Body.Success, out.Body.Secret, out.Body.Webhook = true, secret, viewWebhook(w)
	return out, nil
}

type webhookDeleted struct {
	Body struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
	}
}

func (s *server) deleteWebhook(ctx context.Context, in *webhookInput) (*webhookDeleted, error) {
	_, err := s.webhook(ctx, in.ID)
	if err == nil {
		err = s.Ledger.DeleteWebhook(ctx, in.ID)
	}
	if err != nil {
		return nil, err
	}
	out := &webhookDeleted{}
	out.Body.Success, out.Body.ID = true, in.ID
	return out, nil
}
