package webrocket

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reloadAfter is how often a KeyPair looks at its files, at most.
const reloadAfter = 2 * time.Second

// A KeyPair is a certificate with its private key, from two files in PEM. When
// the files change, new connections get the new certificate; a pair that cannot
// be used is refused, and the old one stays. Its methods may be called from any
// goroutine.
type KeyPair struct {
	// Log receives a record when a pair was loaded or refused. If nil,
	// slog.Default(). Set it before the first handshake.
	Log *slog.Logger

	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	looked time.Time    // guarded by mu
	seen   [2]fileStamp // of the files when they were read last; guarded by mu
}

// A fileStamp identifies one version of a file. Size and time of the contents
// are not enough: Nix, reproducible images and cp -p set that time. Another
// version with the same size and time is another inode, or the inode was
// changed later.
type fileStamp struct {
	device, inode     uint64
	modified, changed time.Time // of the contents, and of anything
	size              int64
}

// LoadKeyPair reads a pair. The certificate's file may hold its chain, the
// server's own first.
func LoadKeyPair(certFile, keyFile string) (*KeyPair, error) {
	k := &KeyPair{certFile: certFile, keyFile: keyFile, looked: time.Now()}
	k.seen = k.stamps()
	if err := k.read(); err != nil {
		return nil, err
	}
	return k, nil
}

// GetCertificate is for tls.Config. It looks, at most every two seconds, whether
// the files have changed.
func (k *KeyPair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.look(time.Now())
	return k.current.Load(), nil
}

// Reload reads the files, changed or not, and returns why they cannot be used.
func (k *KeyPair) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = k.stamps()
	return k.replace(time.Now())
}

// look reads the files if they have changed.
func (k *KeyPair) look(now time.Time) {
	if !k.mu.TryLock() {
		return // another handshake is looking
	}
	defer k.mu.Unlock()
	if now.Sub(k.looked) < reloadAfter {
		return
	}
	k.looked = now
	if stamps := k.stamps(); stamps != k.seen {
		k.seen = stamps
		_ = k.replace(now) // it is logged
	}
}

// replace reads the files and logs what came of it.
func (k *KeyPair) replace(now time.Time) error {
	if err := k.read(); err != nil {
		k.log().Error("the new certificate is refused; the old one stays", "error", err)
		return err
	}
	leaf := k.current.Load().Leaf
	k.log().Info("certificate loaded", "file", k.certFile, "expires", leaf.NotAfter)
	switch {
	case now.After(leaf.NotAfter):
		k.log().Warn("the certificate has expired", "file", k.certFile, "expired", leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		k.log().Warn("the certificate is not valid yet", "file", k.certFile, "begins", leaf.NotBefore)
	}
	return nil
}

func (k *KeyPair) read() error {
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return fmt.Errorf("webrocket: certificate %s with key %s: %w", k.certFile, k.keyFile, err)
	}
	k.current.Store(&pair)
	return nil
}

func (k *KeyPair) stamps() (stamps [2]fileStamp) {
	for i, name := range []string{k.certFile, k.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		stamps[i] = fileStamp{modified: info.ModTime(), size: info.Size()}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			stamps[i].device, stamps[i].inode, stamps[i].changed = s.Dev, s.Ino, time.Unix(s.Ctim.Unix())
		}
	}
	return stamps
}

func (k *KeyPair) log() *slog.Logger {
	if k.Log == nil {
		return slog.Default()
	}
	return k.Log
}
