package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// soonest is how long before it expires a certificate is said to expire soon,
// or a fifth of its lifetime if that is less: some certificates are renewed
// every few days.
const soonest = 14 * 24 * time.Hour

// chain returns the certificates that clients are sent, the server's own first.
func (certs *certificates) chain() []*x509.Certificate {
	var pair *tls.Certificate
	if keys := certs.keys.Load(); keys != nil {
		pair, _ = keys.GetCertificate(nil) // there is no error
	} else {
		pair = &certs.Certificates[0]
	}
	chain := []*x509.Certificate{pair.Leaf}
	for _, der := range pair.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, cert)
		}
	}
	return chain
}

// expiry returns when the first of the certificates that clients are sent expires,
// the zero time if there is no TLS.
func (certs *certificates) expiry() (first time.Time) {
	if certs == nil {
		return first
	}
	for _, cert := range certs.chain() {
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	return first
}

// unusable says which of the certificates that clients are sent are not valid at a
// time.
func (certs *certificates) unusable(now time.Time) (found []string) {
	if certs == nil {
		return nil
	}
	for _, cert := range certs.chain() {
		if what := invalid(cert, now); what != "" {
			found = append(found, what+": clients refuse it")
		}
	}
	return found
}

// expiring says which certificates will not be valid for long, and which authorities
// for clients' certificates are not valid.
func (certs *certificates) expiring(now time.Time) (found []string) {
	if certs == nil {
		return nil
	}
	for _, cert := range certs.chain() {
		soon := min(soonest, cert.NotAfter.Sub(cert.NotBefore)/5)
		if left := cert.NotAfter.Sub(now); invalid(cert, now) == "" && left < soon {
			found = append(found, fmt.Sprintf("the certificate of %s expires soon, at %s", nameOf(cert), date(cert.NotAfter)))
		}
	}
	for _, cert := range certificatesIn(certs.clientCA) {
		if what := invalid(cert, now); what != "" {
			found = append(found, what+": clients whose certificate it has signed are refused")
		}
	}
	return found
}

// invalid says why a certificate is not valid at a time, "" if it is.
func invalid(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Sprintf("the certificate of %s has expired, at %s", nameOf(cert), date(cert.NotAfter))
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("the certificate of %s is not valid before %s", nameOf(cert), date(cert.NotBefore))
	}
	return ""
}

// nameOf returns what a certificate is for.
func nameOf(cert *x509.Certificate) string {
	if len(cert.DNSNames) > 0 {
		return cert.DNSNames[0]
	}
	return cert.Subject.String()
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// certificatesIn returns the certificates of a file in PEM.
func certificatesIn(file string) (certs []*x509.Certificate) {
	text, _ := os.ReadFile(file) // "" and a file that is gone have none
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certs
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			certs = append(certs, cert)
		}
	}
}
