package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Listener is one address that an Engine listens on.
type Listener struct {
	// Addr is a "host:port", or "unix:" and the name of a socket's file. Port 0
	// is any free one. Two listeners of one engine cannot have one address.
	Addr string

	// TLS makes it a listener for wss://. Without NextProtos it gets
	// "http/1.1". If nil, connections are plain.
	TLS *tls.Config

	// ProxyFrom are the addresses of balancers: each connection from one of
	// them must begin with a header of the PROXY protocol, version 1 or 2, and
	// Conn.RemoteAddr is then the client that the header names. If empty, no
	// header is accepted. A unix socket has no addresses to compare: there any
	// entry means that each connection must begin with a header.
	ProxyFrom []netip.Prefix

	// ForwardedFrom are the networks of HTTP proxies that are trusted: in a
	// request from one of them the field X-Forwarded-For or Forwarded (RFC
	// 7239) says which client it is for, and Conn.RemoteAddr is then that
	// client, with port 0 if there is none in the field. The client is the last
	// address there that is not of these networks. It stays the proxy where
	// there is no such field, or no address; if both fields are there and
	// differ the request is refused with 400. If empty, the fields are ignored.
	// A unix socket has no addresses to compare: there any entry means that
	// each connection is trusted.
	ForwardedFrom []netip.Prefix
}

// listener is a Listener in use.
type listener struct {
	network, address string
	addr             net.Addr // as it was bound
	tls              *tls.Config
	proxies          []netip.Prefix
	forwarders       []netip.Prefix
}

const unixPrefix = "unix:"

func newListener(l Listener) *listener {
	ln := &listener{network: "tcp", address: l.Addr, proxies: l.ProxyFrom, forwarders: l.ForwardedFrom}
	if file, ok := strings.CutPrefix(l.Addr, unixPrefix); ok {
		ln.network, ln.address = "unix", file
	}
	if l.TLS != nil {
		ln.tls = l.TLS.Clone()
		// What is queued leaves in one write: small records would only cost.
		ln.tls.DynamicRecordSizingDisabled = true
		if len(ln.tls.NextProtos) == 0 {
			ln.tls.NextProtos = []string{"http/1.1"}
		}
	}
	return ln
}

// target is the address as gnet wants it. It takes [::] for IPv6 only, and an
// empty host for both.
func (l *listener) target() string {
	addr := l.addr.(*net.TCPAddr)
	if addr.IP.Equal(net.IPv6unspecified) {
		return fmt.Sprintf("tcp://:%d", addr.Port)
	}
	return "tcp://" + addr.String()
}

// proxied reports whether a connection from an address begins with a PROXY
// header.
func (l *listener) proxied(from net.Addr) bool {
	if len(l.proxies) == 0 || l.network == "unix" {
		return len(l.proxies) > 0
	}
	ip, _ := ipOf(from)
	return contain(l.proxies, ip)
}

// trusts reports whether the fields of a request from an address may name the
// client.
func (l *listener) trusts(from net.Addr) bool {
	if len(l.forwarders) == 0 {
		return false
	}
	ip, ok := ipOf(from)
	return !ok || contain(l.forwarders, ip)
}

func contain(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// bind sets the addresses of the listeners, with their ports, and opens the
// unix sockets. Ports are opened by gnet.
func bind(listeners []*listener, share bool) (files []*fileListener, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				f.close()
			}
		}
	}()
	for i, l := range listeners {
		if l.network == "unix" {
			f, err := newFileListener(l)
			if err != nil {
				return files, err
			}
			files = append(files, f)
			continue
		}
		addr, release, err := reserve(l.address, share)
		if err != nil {
			return files, err
		}
		defer release() // at the end of bind: no two listeners must get the same port
		if listenerAt(listeners[:i], addr) != nil {
			return files, fmt.Errorf("engine: two listeners have the address %s: give one another port", addr)
		}
		l.addr = addr
	}
	return files, nil
}

// errNoPort is returned if all addresses are unix sockets: gnet needs a port.
var errNoPort = errors.New("engine: at least one address must be a host:port")

// targets are the addresses as gnet wants them.
func targets(listeners []*listener) (addrs []string, err error) {
	for _, l := range listeners {
		if l.network == "tcp" {
			addrs = append(addrs, l.target())
		}
	}
	if addrs == nil {
		return nil, errNoPort
	}
	return addrs, nil
}

// listenerOf returns the listener of a connection with that local address. It
// caches by pointer: gnet gives all connections of one listening socket the
// same net.Addr.
func (l *Loop) listenerOf(local net.Addr) *listener {
	if in, ok := l.listeners[local]; ok {
		return in
	}
	in := l.engine.boundTo(local)
	if l.listeners == nil {
		l.listeners = make(map[net.Addr]*listener)
	}
	l.listeners[local] = in
	return in
}

// boundTo returns the listener with that address.
func (e *Engine) boundTo(local net.Addr) *listener { return listenerAt(e.listeners, local) }

// listenerAt returns the first of the listeners with that address. The
// addresses 0.0.0.0 and [::], which stand for every address of the machine,
// count as the same: a listener on [::] accepts IPv4 connections too.
func listenerAt(listeners []*listener, at net.Addr) *listener {
	tcp, _ := at.(*net.TCPAddr)
	for _, l := range listeners {
		addr, ok := l.addr.(*net.TCPAddr)
		if ok && tcp != nil && addr.Port == tcp.Port &&
			(addr.IP.Equal(tcp.IP) || addr.IP.IsUnspecified() && (tcp.IP == nil || tcp.IP.IsUnspecified())) {
			return l
		}
	}
	return nil
}
