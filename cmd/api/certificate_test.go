package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetricsTellWhenTheCertificateEnds(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(72 * time.Hour).Truncate(time.Second)
	dir := t.TempDir()
	cfg := &settings{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}
	writeCertificate(t, cfg, end)
	secure, err := cfg.tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	showExpiry(reg, secure)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	if got := families[0].Metric[0].Gauge.GetValue(); families[0].GetName() != "wptk_tls_certificate_expiry_timestamp_seconds" || got != float64(end.Unix()) {
		t.Errorf("%s is %f, the certificate ends at %d", families[0].GetName(), got, end.Unix())
	}
	showExpiry(reg, nil) // plain HTTP has nothing that ends
}

func writeCertificate(t *testing.T, cfg *settings, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cfg.TLSCert: {Type: "CERTIFICATE", Bytes: cert}, cfg.TLSKey: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
