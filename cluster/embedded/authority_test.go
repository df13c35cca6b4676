package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

// A node whose clock is wrong when it starts is let in, and one with another secret is not.
func TestAuthority(t *testing.T) {
	a, err := authorityOf("secret", "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		secret string
		at     time.Time
		good   bool
	}{
		{"secret", time.Unix(60, 0), true},
		{"secret", time.Now().AddDate(100, 0, 0), true},
		{"another", time.Now(), false},
	} {
		b, err := authorityOf(tt.secret, "b")
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(b.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: a.ClientCAs, CurrentTime: tt.at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err == nil) != tt.good {
			t.Errorf("%s at %v: got %v", tt.secret, tt.at, err)
		}
		if err := a.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); (err == nil) != tt.good {
			t.Errorf("%s: got %v", tt.secret, err)
		}
	}
	if a.VerifyConnection(tls.ConnectionState{}) == nil {
		t.Error("a node without a certificate is let in")
	}
}
