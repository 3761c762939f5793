package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wispanel/wptk/cmd/internal/seal"
	"github.com/wispanel/wptk/egress"
	"github.com/wispanel/wptk/queue"
	"github.com/wispanel/wptk/tasks"
)

const (
	secretPrefix  = "whsec_"         // https://github.com/standard-webhooks/standard-webhooks
	sendTimeout   = 15 * time.Second // of one attempt, to the end of the answer
	maxHeard      = 64 << 10         // bytes of an answer that are read, and thrown away
	maxEventBytes = 256 << 10        // an event over it goes out without the result
)

// sender sends events to webhooks.
type sender struct {
	secrets *seal.Key
	view    func(context.Context, tasks.Op, time.Time) operation
	http    *http.Client
	now     func() time.Time
}

func newSender(d deps) *sender {
	return &sender{
		secrets: d.Secrets, view: (&server{deps: d}).view, now: time.Now,
		http: &http.Client{
			Timeout:   sendTimeout,
			Transport: newWebhookTransport(d.Egress),
			// An answer that points elsewhere is an answer that is not 2xx.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// webhookTransport sends plain HTTP to allowed networks only.
type webhookTransport struct{ https, plain *http.Transport }

func newWebhookTransport(p egress.Policy) *webhookTransport {
	t := &webhookTransport{https: p.Transport(), plain: p.AllowedOnly().Transport()}
	for _, each := range []*http.Transport{t.https, t.plain} {
		each.MaxIdleConnsPerHost, each.MaxIdleConns = 4, 256
	}
	return t
}

// RoundTrip is part of http.RoundTripper.
func (t *webhookTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return t.https.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

// event is the body of a delivery.
type event struct {
	Event     string `json:"event"`
	Timestamp stamp  `json:"timestamp"`
	Data      any    `json:"data"`
}

// Send makes one attempt.
func (s *sender) Send(ctx context.Context, w queue.Webhook, d queue.Delivery, op tasks.Op) queue.Response {
	began := s.now()
	status, err := s.send(ctx, w, d, op)
	return queue.Response{Status: status, Err: err, Refused: errors.Is(err, egress.ErrRefused), Took: s.now().Sub(began)}
}

func (s *sender) send(ctx context.Context, w queue.Webhook, d queue.Delivery, op tasks.Op) (int, error) {
	body, err := s.body(ctx, w, d, op)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("making request: %w", err)
	}
	if err := s.sign(req.Header, w, d.ID, body); err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "WisPanel-Webhook/1")
	req.Header.Set("X-WisPanel-Delivery", d.ID)
	req.Header.Set("X-WisPanel-Event", d.Event)
	res, err := s.http.Do(req)
	if err != nil {
		var broken *url.Error
		if errors.As(err, &broken) {
			err = broken.Err // the address is known to whoever reads it
		}
		return 0, err
	}
	// What is read keeps the connection usable; what is more costs the connection.
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxHeard))
	if err := errors.Join(err, res.Body.Close()); err != nil && (res.StatusCode < 200 || res.StatusCode > 299) {
		return res.StatusCode, fmt.Errorf("reading answer: %w", err)
	}
	return res.StatusCode, nil
}

// body is the same for every attempt: an op that has ended does not change.
func (s *sender) body(ctx context.Context, w queue.Webhook, d queue.Delivery, op tasks.Op) ([]byte, error) {
	e := event{Event: d.Event, Timestamp: stamp(d.CreatedAt), Data: map[string]string{"webhook_id": w.ID}}
	if d.OpID == "" {
		return encodeEvent(e)
	}
	v := s.view(ctx, op, op.FinishedAt)
	e.Timestamp, e.Data = stamp(op.FinishedAt), v
	body, err := encodeEvent(e)
	if err == nil && len(body) > maxEventBytes {
		v.Result = object(`{"omitted":"too large for an event; read the operation"}`)
		e.Data = v
		return encodeEvent(e)
	}
	return body, err
}

func encodeEvent(e event) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding event: %w", err)
	}
	return body, nil
}

// sign writes the signatures: the panel's own over the body, and those of Standard
// Webhooks, also over id and time, so that a recorded delivery cannot be sent again
// later. While a secret is being replaced there is one of each.
func (s *sender) sign(h http.Header, w queue.Webhook, id string, body []byte) error {
	at := strconv.FormatInt(s.now().Unix(), 10)
	secret, err := s.secrets.Open(w.Secret)
	if err != nil {
		return fmt.Errorf("opening secret of webhook (do all replicas share --secrets-key-file?): %w", err)
	}
	h.Set("X-WisPanel-Signature", signBody(secret, body))
	signatures := []string{signMessage(secret, id, at, body)}
	if w.Old != "" && s.now().Before(w.OldUntil) {
		old, err := s.secrets.Open(w.Old)
		if err != nil {
			return fmt.Errorf("opening previous secret of webhook: %w", err)
		}
		h.Set("X-WisPanel-Signature-Previous", signBody(old, body))
		signatures = append(signatures, signMessage(old, id, at, body))
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", strings.Join(signatures, " "))
	return nil
}

// signBody is the panel's signature; its key is the secret as it was shown.
func signBody(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// signMessage is that of Standard Webhooks; its key is what the secret encodes.
func signMessage(secret, id, at string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		key = []byte(secret) // not one of ours; still a key
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
