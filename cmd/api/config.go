package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/wispanel/wptk/cmd/internal/boot"
	"github.com/wispanel/wptk/cmd/internal/signing"
	"github.com/wispanel/wptk/egress"
)

// settings are the flags of wptk-api. boot reads them from flags, environment
// and file; the tags are their documentation.
type settings struct {
	boot.Base
	boot.Redis
	signing.Signer
	Listen         string        `help:"Address to serve the API on." default:"127.0.0.1:2083" placeholder:"ADDR"`
	MetricsListen  string        `help:"Address to serve /metrics on; empty for none." default:"127.0.0.1:9083" placeholder:"ADDR"`
	TLSCert        string        `name:"tls-cert" help:"Certificate chain (PEM); serves HTTPS together with --tls-key." placeholder:"FILE"`
	TLSKey         string        `name:"tls-key" help:"Private key (PEM) of --tls-cert." placeholder:"FILE"`
	SecretsKeyFile string        `help:"age identity that seals what is shown once; made when missing. API replicas share it." default:"/var/lib/wptk/api.age" placeholder:"FILE"`
	TrustedProxies []string      `help:"Networks whose X-Forwarded-For is believed." placeholder:"CIDR"`
	EgressAllow    []string      `help:"Networks that are not public and that webhooks may lead to all the same, on any port and without TLS." placeholder:"CIDR"`
	WebhookHour    time.Duration `hidden:"" help:"How long an hour of the pauses between attempts of a webhook takes; rehearsals make it shorter." default:"1h"`
	OpRetention    time.Duration `help:"How long finished operations can be read." default:"720h"`
	AuditKeep      time.Duration `help:"How long the audit trail (GET /wordpress/audit, wptk audit) is kept, at most the last 100000 entries." default:"2160h"`
	RateLimit      int           `help:"Requests a minute for a key that has no limit of its own, and for an address without a key." default:"60"`
}

// Validate reports every setting that is wrong, naming its flag.
func (c *settings) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("--listen: %w", err))
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			errs = append(errs, fmt.Errorf("--metrics-listen: %w", err))
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key: give both or neither"))
	}
	if c.SecretsKeyFile == "" {
		errs = append(errs, errors.New("--secrets-key-file: must not be empty"))
	}
	if c.WebhookHour < time.Second || c.WebhookHour > time.Hour {
		errs = append(errs, fmt.Errorf("--webhook-hour: %v is not between 1s and 1h", c.WebhookHour))
	}
	if c.OpRetention < 24*time.Hour {
		errs = append(errs, fmt.Errorf("--op-retention: %v is less than the 24h that an Idempotency-Key lives", c.OpRetention))
	}
	if c.AuditKeep < time.Hour {
		errs = append(errs, fmt.Errorf("--audit-keep: %v is less than an hour", c.AuditKeep))
	}
	if c.RateLimit < 1 {
		errs = append(errs, fmt.Errorf("--rate-limit: %d is not positive", c.RateLimit))
	}
	if _, err := c.proxies(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.egress(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// proxies parses --trusted-proxies.
func (c *settings) proxies() ([]netip.Prefix, error) {
	return networks("--trusted-proxies", c.TrustedProxies)
}

// egress is where webhooks may lead.
func (c *settings) egress() (egress.Policy, error) {
	allow, err := networks("--egress-allow", c.EgressAllow)
	return webhookPolicy(allow), err
}

// networks parses a list of networks; a bare address is a network of one.
func networks(flag string, list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range list {
		if addr, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		all = append(all, prefix)
	}
	return all, nil
}

// tlsConfig is nil when the API serves plain HTTP behind a proxy.
func (c *settings) tlsConfig() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("loading --tls-cert and --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}
