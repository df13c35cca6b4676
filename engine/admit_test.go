package engine

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
)

// Who is refused takes nobody's place, however long the client keeps silent.
func TestRefusedTakeNoPlace(t *testing.T) {
	const silent = 40
	e := start(t, Config{Loops: 2, MaxConnections: 20, ConnectRatePerAddress: 1}, Endpoint{Protocol: echo})
	for range silent {
		dialHalf(t, e, nil)
	}
	waitFor(t, func() bool { return e.Connections() == silent })
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	good, err := dialer.DialContext(t.Context(), "tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	welcomeTo(t, good)
	wantNobodyCounted(t, e)
}

// Of clients that a balancer announces too fast no more are kept to be told so
// than of others, and the next one is served.
func TestTooManyAnnounced(t *testing.T) {
	const (
		announced = 4 * refusalMax
		served    = 20 // one a second
	)
	e := startOn(t, Config{Loops: 2, MaxConnections: announced, ConnectRatePerAddress: 1}, Endpoint{Protocol: echo},
		Listener{Addr: "127.0.0.1:0", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	var ended atomic.Int32
	for range announced {
		conn := dialHalf(t, e, []byte("PROXY TCP4 192.0.2.8 198.51.100.1 1 2\r\n"))
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			ended.Add(1)
		}()
	}
	waitFor(t, func() bool { return ended.Load() >= announced-refusalMax-served })
	welcomeTo(t, dialHalf(t, e, []byte("PROXY TCP4 192.0.2.9 198.51.100.1 1 2\r\n")))
	wantNobodyCounted(t, e)
}

// wantNobodyCounted cuts all connections off and waits until all counts are 0.
func wantNobodyCounted(t *testing.T, e *Engine) {
	t.Helper()
	for _, l := range e.Loops() {
		l.Post(func() {
			for _, c := range l.conns {
				if c != nil {
					c.abort(errReset)
				}
			}
		})
	}
	waitFor(t, func() bool { return e.conns.Load() == 0 && e.admitted.Load() == 0 && e.refused.Load() == 0 })
}
