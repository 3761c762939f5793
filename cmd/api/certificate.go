package main

import (
	"crypto/tls"

	"github.com/prometheus/client_golang/prometheus"
)

// showExpiry lets /metrics tell until when the certificate that is served is valid. It
// is the one that was read at the start, so a renewed file alone does not calm the alert.
func showExpiry(reg prometheus.Registerer, secure *tls.Config) {
	if secure == nil || len(secure.Certificates) == 0 || secure.Certificates[0].Leaf == nil {
		return
	}
	expiry := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "wptk", Name: "tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate of --tls-cert ends, as it was read at the start."})
	expiry.Set(float64(secure.Certificates[0].Leaf.NotAfter.Unix()))
	reg.MustRegister(expiry)
}
