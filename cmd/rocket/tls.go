package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nu7hatch/webrocket"
)

// proxyUnix stands in ProxyFrom and ForwardedFrom for connections to the socket's
// file.
const proxyUnix = "unix"

// secure reports whether the server speaks TLS at all.
func (c *config) secure() bool { return c.certFile != "" || c.selfSigned }

// certificates are the certificate of the server and the authorities for those
// of its clients.
type certificates struct {
	*tls.Config
	keys        atomic.Pointer[webrocket.KeyPair] // nil if it is self-signed
	files       [2]string                         // that it was read from
	clientCA    string                            // file of the authorities, "" if there is none
	fingerprint string                            // of a self-signed one
}

// certificates returns nil if there is no TLS.
func (c *config) certificates(log *slog.Logger) (*certificates, error) {
	if !c.secure() {
		return nil, nil
	}
	certs := &certificates{Config: &tls.Config{}}
	if err := certs.authorities(c.clientCA); err != nil {
		return nil, problems{{where: c.origin["tls-client-ca"], what: err.Error(), content: true}}
	}
	if c.selfSigned {
		return certs, certs.selfSign(c.host)
	}
	keys, err := webrocket.LoadKeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, c.pairProblem(err)
	}
	keys.Log = log
	certs.keys.Store(keys)
	certs.files = [2]string{c.certFile, c.keyFile}
	certs.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return certs.keys.Load().GetCertificate(hello)
	}
	return certs, nil
}

// pairProblem says where the file is named that cannot be used.
func (c *config) pairProblem(err error) problems {
	var encoded problems
	for _, file := range [][2]string{{"tls-cert", c.certFile}, {"tls-key", c.keyFile}} {
		if err := checkPEMFile(file[1]); err != nil {
			encoded = append(encoded, problem{where: c.origin[file[0]], what: err.Error(), content: true})
		}
	}
	if encoded != nil {
		return encoded
	}
	what, flag := strings.TrimPrefix(err.Error(), "webrocket: "), "tls-cert"
	if strings.Contains(what, "private key") || strings.Contains(what, "key input") {
		flag = "tls-key"
	}
	return problems{{where: c.origin[flag], what: what, content: true}}
}

// authorities makes clients send a certificate that one of the authorities in
// the file has signed.
func (certs *certificates) authorities(file string) error {
	if file == "" {
		return nil
	}
	pool, err := poolOf(file)
	if err != nil {
		return err
	}
	certs.clientCA = file
	certs.ClientCAs, certs.ClientAuth = pool, tls.RequireAndVerifyClientCert
	return nil
}

// poolOf reads certificates from a file in PEM.
func poolOf(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := checkPEM(file, text); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: there is no certificate in it", file)
	}
	return pool, nil
}

func (certs *certificates) selfSign(host string) error {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if host != "" && host != "localhost" {
		hosts = append(hosts, host)
	}
	cert, err := webrocket.SelfSigned(hosts...)
	if err != nil {
		return err
	}
	certs.Certificates = []tls.Certificate{cert}
	certs.fingerprint = fmt.Sprintf("%x", sha256.Sum256(cert.Certificate[0]))
	return nil
}

// logFingerprint is printFingerprint for the log.
func (certs *certificates) logFingerprint(log *slog.Logger) {
	if certs != nil && certs.fingerprint != "" {
		log.Info("self-signed certificate", "sha256", certs.fingerprint)
	}
}

// printFingerprint says what a client may compare a self-signed certificate with.
func (certs *certificates) printFingerprint(w io.Writer) {
	if certs != nil && certs.fingerprint != "" {
		fmt.Fprintf(w, "  self-signed certificate, SHA-256 %s\n", certs.fingerprint)
	}
}

// replace takes the pair of next if it was read from the same files. Other
// files need a restart.
func (certs *certificates) replace(next *certificates, log *slog.Logger) {
	if certs == nil || next == nil || certs.keys.Load() == nil || certs.files != next.files {
		return
	}
	certs.keys.Store(next.keys.Load())
	log.Info("certificate loaded", "file", certs.files[0], "expires", certs.expiry())
}

// otherAuthorities reports whether next has other authorities for clients'
// certificates, from the same file. Only a restart puts them in force.
func (certs *certificates) otherAuthorities(next *certificates) bool {
	return certs != nil && next != nil && certs.clientCA == next.clientCA && !certs.ClientCAs.Equal(next.ClientCAs)
}

// listen gives a server all its addresses.
func (c *config) listen(s *webrocket.Server, certs *certificates) {
	proxies, fileIsProxy := networks(c.proxyFrom)
	forwarders, fileForwards := networks(c.forwardedFrom)
	s.ProxyFrom, s.ForwardedFrom = proxies, forwarders
	switch {
	case certs == nil:
	case c.tlsPort == 0:
		s.TLS = certs.Config
	default:
		s.Listen(webrocket.Listener{
			Addr: net.JoinHostPort(c.host, strconv.Itoa(c.tlsPort)), TLS: certs.Config,
			ProxyFrom: proxies, ForwardedFrom: forwarders,
		})
	}
	if c.unix != "" {
		l := webrocket.Listener{Addr: "unix:" + c.unix}
		if fileIsProxy {
			l.ProxyFrom = []netip.Prefix{{}}
		}
		if fileForwards {
			l.ForwardedFrom = append([]netip.Prefix{{}}, forwarders...)
		}
		s.Listen(l)
	}
}

// networks returns the networks of a list, and whether the socket's file is among
// them. Settings have checked the list.
func networks(list []string) (networks []netip.Prefix, file bool) {
	for _, s := range list {
		if s == proxyUnix {
			file = true
		} else if network, err := parseNetwork(s); err == nil {
			networks = append(networks, network)
		}
	}
	return networks, file
}

// parseNetwork reads "10.0.0.0/8" or "10.0.0.1". IPv4 that is written as IPv6 is
// IPv4, as it is for clients.
func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		network, err := netip.ParsePrefix(s)
		if err == nil && network.Addr().Is4In6() {
			return network.Addr().Unmap().Prefix(network.Bits() - 96)
		}
		return network.Masked(), err
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, errWant
	}
	return addr.Unmap().Prefix(addr.Unmap().BitLen())
}

// checkForwarder is checkProxy, without the network of all addresses.
func checkForwarder(s string) error {
	if network, err := parseNetwork(s); err == nil && network.Bits() == 0 {
		return fmt.Errorf("%s would let every client choose its address: name the networks of the proxies", s)
	}
	return checkProxy(s)
}

// checkProxy accepts an address, a network, or the socket's file.
func checkProxy(s string) error {
	if s == proxyUnix {
		return nil
	}
	if _, err := parseNetwork(s); err != nil {
		return errWant
	}
	return nil
}
