package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pair is a certificate and its key, in files.
type pair struct{ cert, key string }

// newPair names the files of a pair that are to be in a directory.
func newPair(dir string) pair {
	return pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// write makes a certificate of that serial number, signed by itself, for ten years around the present: the clock may jump.
func (p pair) write(serial int64) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	const years = 5 * 365 * 24 * time.Hour
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "rocket"},
		NotBefore:    time.Now().Add(-years),
		NotAfter:     time.Now().Add(years),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(p.key, "PRIVATE KEY", secret); err != nil {
		return err
	}
	return writePEM(p.cert, "CERTIFICATE", cert)
}

func writePEM(name, kind string, b []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600)
}

// serial is the serial number of the certificate that a connection was opened with.
func (c *client) serial() int64 {
	return c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}
