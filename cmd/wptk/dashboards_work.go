package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"time"
)

// work does, for a while, a little of everything that the boards show.
func (w *watch) work(ctx context.Context, busy time.Duration) error {
	until := time.Now().Add(busy)
	rdb := w.rdb()
	defer rdb.Close() //nolint:errcheck // its Redis is about to end
	if err := rdb.ConfigSet(ctx, "maxmemory", "512mb").Err(); err != nil {
		return fmt.Errorf("giving Redis a limit: %w", err)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	hook := fields{"url": receiver.URL, "all_accounts": true}
	if _, err := w.stack.client.post(ctx, "/webhooks", hook, nil); err != nil {
		return fmt.Errorf("making a webhook: %w", err)
	}
	watcher := w.watchAll(ctx)
	defer watcher.stop()
	if _, err := w.askAll(ctx, 20); err != nil {
		return err
	}
	if err := watcher.settle(ctx, time.Minute); err != nil {
		return err
	}
	if err := errors.Join(w.many(ctx), w.backUp(ctx), w.stumble(ctx)); err != nil {
		return err
	}
	for time.Now().Before(until) {
		if err := w.refused(ctx); err != nil {
			return err
		}
		if w.left() {
			if _, err := w.askAll(ctx, 2); err != nil {
				return err
			}
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	return watcher.settle(ctx, time.Minute)
}

// left reports whether there are domains for two more installs.
func (w *watch) left() bool {
	for _, n := range w.nodes {
		if n.used >= len(n.domains) {
			return false
		}
	}
	return true
}

// many has the installs inspected, all in one request.
func (w *watch) many(ctx context.Context) error {
	var list []installation
	if _, err := w.stack.client.get(ctx, "/wordpress/installations", nil, &list); err != nil {
		return fmt.Errorf("listing installs: %w", err)
	}
	var sites []string
	for _, s := range list {
		sites = append(sites, s.ID)
	}
	if len(sites) == 0 {
		return errors.New("there is no install")
	}
	var took accepted
	if _, err := w.stack.client.post(ctx, "/wordpress/inspect", fields{"ids": sites, "rollout": fields{"canary": 1, "stop_on_error_rate": 1}}, &took); err != nil {
		return fmt.Errorf("asking for a rollout: %w", err)
	}
	return w.ended(ctx, took.OperationID)
}

// backUp takes a backup and restores it on trial.
func (w *watch) backUp(ctx context.Context) error {
	var list []installation
	if _, err := w.stack.client.get(ctx, "/wordpress/installations", nil, &list); err != nil {
		return fmt.Errorf("listing installs: %w", err)
	}
	var took accepted
	if _, err := w.stack.client.post(ctx, "/wordpress/backup", fields{"id": list[0].ID}, &took); err != nil {
		return fmt.Errorf("asking for a backup: %w", err)
	}
	if err := w.ended(ctx, took.OperationID); err != nil {
		return err
	}
	var backups []backupView
	if _, err := w.stack.client.get(ctx, "/wordpress/backups", nil, &backups); err != nil {
		return fmt.Errorf("listing backups: %w", err)
	}
	if len(backups) == 0 {
		return errors.New("there is no backup")
	}
	if _, err := w.stack.client.post(ctx, "/wordpress/backups/"+url.PathEscape(backups[0].ID)+"/verify", nil, &took); err != nil {
		return fmt.Errorf("asking for a test restore: %w", err)
	}
	return w.ended(ctx, took.OperationID)
}

// ended waits for the end of an op, whatever it is.
func (w *watch) ended(ctx context.Context, id string) error {
	return w.await(ctx, id+" to end", func(ctx context.Context) error {
		var op operation
		if _, err := w.stack.client.get(ctx, "/wordpress/operations/"+url.PathEscape(id), nil, &op); err != nil {
			return err
		}
		if !op.Done {
			return errors.New("it has not")
		}
		return nil
	})
}

// stumble has what goes wrong now and then: a worker that is killed, a Redis that hangs.
func (w *watch) stumble(ctx context.Context) error {
	if _, err := w.askAll(ctx, 8); err != nil {
		return err
	}
	if err := w.nodes[0].crash(); err != nil {
		return err
	}
	if err := w.stack.redis.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping Redis: %w", err)
	}
	return errors.Join(pause(ctx, 6*time.Second), w.stack.redis.Signal(syscall.SIGCONT))
}

// refused asks with a wrong key, and for what is not allowed.
func (w *watch) refused(ctx context.Context) error {
	stranger, err := newClient(w.stack.apiURL(), "wptk_wrong")
	if err != nil {
		return err
	}
	if _, err := stranger.get(ctx, "/wordpress/installations", nil, nil); err == nil {
		return errors.New("a wrong key was not refused")
	}
	if _, err := w.stack.client.post(ctx, "/wordpress/install", installBody{Domain: "../etc"}, nil); err == nil {
		return errors.New("a wrong domain was not refused")
	}
	return nil
}

// writeCertificate makes one for this machine, for a month.
func writeCertificate(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &private.PublicKey, private)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	return errors.Join(writeMode(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		writeMode(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
