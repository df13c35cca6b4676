package engine

import (
	"net"
	"net/netip"
	"sync"
)

// ticksPerSecond is how often buckets are filled.
const ticksPerSecond = uint32(1_000_000_000 / tick)

// A Bucket limits how often something may happen: at most a second's worth at
// once (a token bucket). It knows when it will be full again, not what is in it:
// where the rate changes, nobody has to wait for longer than before. The zero
// value is full.
type Bucket struct {
	full uint64 // when, in grains since the engine began
}

// A second has 2^34 grains, so that the clock's 2^32 ticks fit.
const (
	grainsPerSecond = uint64(1) << 34
	grainsPerTick   = grainsPerSecond / uint64(ticksPerSecond)
)

// BucketMax is the highest rate of a Bucket, so that no sum overflows.
const BucketMax = 1 << 27

// Take spends n at a rate per second, at most BucketMax, if one at least is left,
// and tells whether it was. More may be spent than is left; that is waited for
// too. now is in ticks.
func (b *Bucket) Take(now uint32, n, rate int) bool {
	at, price := uint64(now)*grainsPerTick, grainsPerSecond/uint64(rate)
	b.full = max(b.full, at)
	if b.full-at+price > grainsPerSecond {
		return false
	}
	b.full += uint64(min(n, BucketMax)) * grainsPerSecond / uint64(rate)
	return true
}

// A Meter limits messages and the bytes that they have.
type Meter struct{ messages, bytes Bucket }

// Within tells whether a message of so many bytes comes no faster than messages
// and bytes may, in a second; 0 is any number. Loop only.
func (l *Loop) Within(m *Meter, size, messages, bytes int) bool {
	l.own("Loop.Within")
	now := l.beat.Load()
	return (messages == 0 || m.messages.Take(now, 1, messages)) && (bytes == 0 || m.bytes.Take(now, size, bytes))
}

// A gate limits how many connections come, in all and from one address.
type gate struct {
	mu      sync.Mutex
	all     Bucket                 // guarded by mu
	sources map[netip.Addr]*Bucket // those whose buckets are not full; guarded by mu
	swept   uint32                 // when they were looked through; guarded by mu
}

// admit tells whether one more may come from there, at so many a second in all
// and from one source, 0 for any number.
func (g *gate) admit(from net.Addr, now uint32, rate, perSource int) bool {
	if rate == 0 && perSource == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	return g.fromSource(from, now, perSource) && (rate == 0 || g.all.Take(now, 1, rate))
}

func (g *gate) fromSource(from net.Addr, now uint32, rate int) bool {
	source, ok := sourceOf(from)
	if rate == 0 || !ok {
		return true
	}
	b := g.sources[source]
	if b == nil {
		b = new(Bucket)
		if g.sources == nil {
			g.sources = make(map[netip.Addr]*Bucket)
		}
		g.sources[source] = b
	}
	return b.Take(now, 1, rate)
}

// sweep forgets, once a second, the sources whose buckets are full again.
func (g *gate) sweep(now uint32) {
	if now-g.swept < ticksPerSecond {
		return
	}
	g.swept = now
	for source, b := range g.sources {
		if b.full <= uint64(now)*grainsPerTick {
			delete(g.sources, source)
		}
	}
}

// sourceOf returns who an address belongs to: in IPv6, whoever has one has all of
// a network of 64 bits.
func sourceOf(addr net.Addr) (netip.Addr, bool) {
	ip, ok := ipOf(addr)
	if ip.Is6() {
		network, _ := ip.Prefix(64)
		return network.Addr(), ok
	}
	return ip, ok
}

// ipOf returns the IP address of one that has one. IPv4 is IPv4, also where the
// socket is of IPv6.
func ipOf(addr net.Addr) (ip netip.Addr, ok bool) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), true
}
