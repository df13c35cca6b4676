package bench

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/url"
	"os"
	"time"
)

// secured is the TLS of one connection. It is the transport that crypto/tls has: Read gives what the worker has
// received, Write collects what it is to send. Neither waits.
//
// crypto/tls cannot pause a handshake, so each is a coroutine while it lasts. It runs on the worker's thread, only
// while the worker resumes it, and is gone when the handshake is over.
type secured struct {
	session *tls.Conn
	arrived []byte // received and not read; a part of the worker's buffer
	sealed  []byte // what the socket did not take yet

	resume func() (struct{}, bool) // nil after the handshake
	cancel func()
	pause  func(struct{}) bool
	err    error // of the handshake
}

// errNoBytes tells crypto/tls that it is to try again when more has arrived. It must say that it is temporary: other
// errors are for good.
var errNoBytes net.Error = noBytes{}

type noBytes struct{}

func (noBytes) Error() string   { return "no bytes have arrived" }
func (noBytes) Timeout() bool   { return true }
func (noBytes) Temporary() bool { return true }

var errAbandoned = errors.New("the handshake is abandoned")

func newSecured(config *tls.Config) *secured {
	s := &secured{}
	s.session = tls.Client(s, config)
	s.resume, s.cancel = iter.Pull(func(yield func(struct{}) bool) {
		s.pause = yield
		s.err = s.session.Handshake()
	})
	return s
}

// shake takes the handshake as far as the bytes go that have arrived. It must always be called by the same thread.
func (s *secured) shake() (done bool, err error) {
	if _, goesOn := s.resume(); goesOn {
		return false, nil
	}
	s.end()
	s.sealed = append(make([]byte, 0, len(s.sealed)), s.sealed...) // the greeting needed more than what follows
	if s.err != nil {
		return true, fmt.Errorf("TLS handshake: %w", s.err)
	}
	return true, nil
}

// end gives up a handshake that is under way, by the thread that began it.
func (s *secured) end() {
	if s.resume != nil {
		s.cancel()
		s.resume, s.cancel, s.pause = nil, nil, nil
	}
}

// seal encrypts b behind what waits to be sent.
func (s *secured) seal(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := s.session.Write(b)
	return err
}

// open decrypts into b what has arrived. It returns errNoBytes when all of that is used up, nil when b is full.
func (s *secured) open(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var some int
		some, err = s.session.Read(b[n:])
		n += some
	}
	return n, err
}

// Read is called by crypto/tls. During the handshake it waits for the worker.
func (s *secured) Read(p []byte) (int, error) {
	for len(s.arrived) == 0 {
		if s.pause == nil {
			return 0, errNoBytes
		}
		if !s.pause(struct{}{}) {
			return 0, errAbandoned
		}
	}
	n := copy(p, s.arrived)
	s.arrived = s.arrived[n:]
	return n, nil
}

// Write is called by crypto/tls.
func (s *secured) Write(p []byte) (int, error) {
	s.sealed = append(s.sealed, p...)
	return len(p), nil
}

// Close does nothing: the worker closes its connections.
func (*secured) Close() error { return nil }

// LocalAddr is not used.
func (*secured) LocalAddr() net.Addr { return nil }

// RemoteAddr is not used.
func (*secured) RemoteAddr() net.Addr { return nil }

// SetDeadline does nothing: the run has the deadlines.
func (*secured) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*secured) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*secured) SetWriteDeadline(time.Time) error { return nil }

// begin starts the TLS handshake of a connection.
func (w *worker) begin(c *conn) error {
	c.state, c.secured = connSecuring, newSecured(w.run.tls)
	if _, err := c.secured.shake(); err != nil {
		return err
	}
	return w.flush(c)
}

// readSealed decrypts the n bytes that have come into w.sealed and handles all that is complete.
func (w *worker) readSealed(c *conn, n int) error {
	s := c.secured
	s.arrived = w.sealed[:n]
	if c.state == connSecuring {
		done, err := s.shake()
		if err != nil || !done {
			return errors.Join(err, w.flush(c))
		}
		w.shaken(c)
		if err := w.upgrade(c); err != nil {
			return err
		}
	}
	for c.secured == s { // until the connection has ended
		have := copy(w.buf, c.in)
		n, err := s.open(w.buf[have:])
		if n > 0 {
			if err := w.takeBytes(c, w.buf[:have+n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, errNoBytes):
			if len(s.sealed) > 0 { // the session had something to say, too
				w.mark(c)
			}
			return nil
		case errors.Is(err, io.EOF):
			return errClosed
		case err != nil:
			return fmt.Errorf("TLS: %w", err)
		}
	}
	return nil
}

// shaken notes what was agreed on.
func (w *worker) shaken(c *conn) {
	w.handshakes++
	if w.agreed == "" {
		state := c.secured.session.ConnectionState()
		w.agreed = fmt.Sprintf("%s, %s, %v", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID)
	}
}

// clientConfig says whom to trust. It returns nil for a target without TLS.
func clientConfig(opts *Options, target *url.URL) (*tls.Config, error) {
	if target.Scheme != "wss" {
		if opts.TLS || opts.CA != "" || opts.Insecure {
			return nil, fmt.Errorf("%w: %s is without TLS; a target of -tls, -ca and -insecure is wss://", ErrUsage, target)
		}
		return nil, nil
	}
	config := &tls.Config{ServerName: target.Hostname(), NextProtos: []string{"http/1.1"}, InsecureSkipVerify: opts.Insecure}
	if opts.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(opts.CA)
	if err != nil {
		return nil, fmt.Errorf("%w: -ca: %w", ErrUsage, err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: -ca: %s has no certificate in PEM", ErrUsage, opts.CA)
	}
	return config, nil
}
