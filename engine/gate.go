package engine

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/rate"
)

// A gate limits the rate of new connections, in all and from one address.
type gate struct {
	mu      sync.Mutex
	all     rate.Bucket                 // guarded by mu
	sources map[netip.Addr]*rate.Bucket // those whose buckets are not full; guarded by mu
	swept   time.Duration               // when they were looked through; guarded by mu
}

// admit reports whether one more connection may come from an address, at most
// inAll and perSource in a second, 0 for any number.
func (g *gate) admit(from net.Addr, now time.Duration, inAll, perSource int) bool {
	if inAll == 0 && perSource == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	return g.fromSource(from, now, perSource) && (inAll == 0 || g.all.Take(now, 1, inAll))
}

func (g *gate) fromSource(from net.Addr, now time.Duration, perSecond int) bool {
	source, ok := sourceOf(from)
	if perSecond == 0 || !ok {
		return true
	}
	b := g.sources[source]
	if b == nil {
		b = new(rate.Bucket)
		if g.sources == nil {
			g.sources = make(map[netip.Addr]*rate.Bucket)
		}
		g.sources[source] = b
	}
	return b.Take(now, 1, perSecond)
}

// sweep forgets, once a second, the sources whose buckets are full again.
func (g *gate) sweep(now time.Duration) {
	if now-g.swept < time.Second {
		return
	}
	g.swept = now
	for source, b := range g.sources {
		if b.Full(now) {
			delete(g.sources, source)
		}
	}
}

// sourceOf returns the address that the limit of one source counts by. In IPv6
// that is the network of 64 bits, since a client usually has all of its
// addresses.
func sourceOf(addr net.Addr) (netip.Addr, bool) {
	ip, ok := ipOf(addr)
	if ip.Is6() {
		network, _ := ip.Prefix(64)
		return network.Addr(), ok
	}
	return ip, ok
}

// ipOf returns the IP address of a TCP address. An IPv4 address that a socket
// of IPv6 gives (::ffff:192.0.2.1) is returned as IPv4.
func ipOf(addr net.Addr) (ip netip.Addr, ok bool) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), true
}
