package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/rate"
)

// A source is where events without a key come from: an address, for one hub. In IPv6
// the address is a network of 64 bits, since a client usually has all of its addresses.
type source struct {
	hub     string
	address netip.Addr // not valid where clients have none, as at a Unix socket
}

// A crowd is those that publish without a key. The zero value has nobody.
type crowd struct {
	mu     sync.Mutex
	meters map[source]*rate.Meter // those that are not full; guarded by mu
	swept  time.Duration          // when they were looked through; guarded by mu
}

// within reports whether an event of size bytes comes no faster from a source than so
// many events and bytes may in a second, 0 for any number.
func (c *crowd) within(now time.Duration, from source, size, events, bytes int) bool {
	if events == 0 && bytes == 0 || !from.address.IsValid() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
	m := c.meters[from]
	if m == nil {
		m = new(rate.Meter)
		if c.meters == nil {
			c.meters = make(map[source]*rate.Meter)
		}
		c.meters[from] = m
	}
	return m.Within(now, size, events, bytes)
}

// sweep forgets, once a second, the sources whose meters are full again.
func (c *crowd) sweep(now time.Duration) {
	if now-c.swept < time.Second {
		return
	}
	c.swept = now
	for from, m := range c.meters {
		if m.Full(now) {
			delete(c.meters, from)
		}
	}
}

// addressOf returns the address in RemoteAddr, which has no port where a trusted proxy has
// named the client.
func addressOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	ip := at.Addr()
	if err != nil {
		ip, _ = netip.ParseAddr(remote) // not valid at a Unix socket
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		network, _ := ip.Prefix(64)
		return network.Addr()
	}
	return ip
}
