package webrocket

import (
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The files are looked at again after a while, and read if they have changed.
func TestKeyPairLooksAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func() {
		cert, err := SelfSigned("localhost")
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for name, block := range map[string]*pem.Block{
			certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
			keyFile:  {Type: "PRIVATE KEY", Bytes: key},
		} {
			if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	k, err := LoadKeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	k.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	now := time.Now()
	first := k.current.Load()

	write()
	k.look(now)
	if k.current.Load() != first {
		t.Error("the files were read at once, want after a while")
	}
	k.look(now.Add(time.Hour))
	second := k.current.Load()
	if second == first {
		t.Error("the files were not read again")
	}
	k.look(now.Add(2 * time.Hour))
	if k.current.Load() != second {
		t.Error("unchanged files were read again")
	}
	if err := os.WriteFile(certFile, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.look(now.Add(3 * time.Hour))
	if k.current.Load() != second {
		t.Error("a bad pair replaced a good one")
	}
}
