package webrocket

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeSelfSigned writes a new certificate and its key.
func writeSelfSigned(t *testing.T, certFile, keyFile string) {
	t.Helper()
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

// The files are looked at again after a while, and read if they have changed.
func TestKeyPairLooksAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func() { writeSelfSigned(t, certFile, keyFile) }
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

// A file that takes the place of another one of its size and time is noticed: it is
// in another inode, behind another link, or was written into the same one (cp -p).
func TestKeyPairOfEqualSizeAndTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		swap func(from, to string) error
	}{
		{"rename", os.Rename},
		{"link", func(from, to string) error {
			return errors.Join(os.Remove(to), os.Symlink(from, to))
		}},
		{"the same inode", func(from, to string) error {
			text, err := os.ReadFile(from)
			return errors.Join(err, os.WriteFile(to, text, 0o600))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
			firstKey, secondKey := first+"-key", second+"-key"
			for _, pair := range [][2]string{{first, firstKey}, {second, secondKey}} {
				writeSelfSigned(t, pair[0], pair[1])
			}
			// Padded to one size, with one time.
			epoch := time.Unix(1, 0)
			same := func() {
				for _, name := range []string{first, firstKey, second, secondKey} {
					if err := errors.Join(os.Truncate(name, 4096), os.Chtimes(name, epoch, epoch)); err != nil {
						t.Fatal(err)
					}
				}
			}
			same()
			k, err := LoadKeyPair(first, firstKey)
			if err != nil {
				t.Fatal(err)
			}
			k.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
			before := k.current.Load()
			if err := errors.Join(tt.swap(second, first), tt.swap(secondKey, firstKey)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{first, firstKey} {
				if err := os.Chtimes(name, epoch, epoch); err != nil {
					t.Fatal(err)
				}
			}
			k.look(time.Now().Add(time.Hour))
			if k.current.Load() == before {
				t.Error("the other pair was not noticed")
			}
		})
	}
}

// A certificate that has expired or is not valid yet is taken, since an old one is no
// better, but the log says so.
func TestKeyPairExpired(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeSelfSigned(t, certFile, keyFile)
	k, err := LoadKeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	k.Log = slog.New(slog.NewTextHandler(&log, nil))
	writeSelfSigned(t, certFile, keyFile)
	k.look(time.Now().Add(time.Hour))
	if strings.Contains(log.String(), "expired") {
		t.Errorf("a valid one: got %s", &log)
	}
	writeSelfSigned(t, certFile, keyFile)
	k.look(time.Now().Add(2 * selfSignedFor))
	if !strings.Contains(log.String(), "level=WARN msg=\"the certificate has expired\"") {
		t.Errorf("an expired one: got %s", &log)
	}
	writeSelfSigned(t, certFile, keyFile)
	k.looked = time.Time{}
	k.look(time.Now().Add(-2 * selfSignedFor))
	if !strings.Contains(log.String(), "level=WARN msg=\"the certificate is not valid yet\"") {
		t.Errorf("one of the future: got %s", &log)
	}
}
