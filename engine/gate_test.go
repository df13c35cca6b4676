package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestBucket(t *testing.T) {
	type step struct {
		now  uint32
		n    int
		want bool
	}
	for _, tt := range []struct {
		name  string
		rate  int
		steps []step
	}{
		{"a second's worth at once", 2, []step{{100, 1, true}, {100, 1, true}, {100, 1, false}}},
		{"one comes back after its share", 2, []step{{0, 1, true}, {0, 1, true}, {1, 1, false}, {2, 1, true}, {2, 1, false}}},
		{"one a second", 1, []step{{0, 1, true}, {3, 1, false}, {4, 1, true}, {4, 1, false}}},
		{"what is refused costs nothing", 1, []step{{0, 1, true}, {2, 1, false}, {3, 1, false}, {4, 1, true}}},
		{"a large one is waited for", 4, []step{{0, 12, true}, {7, 1, false}, {9, 1, true}}},
		{"full is full", 1, []step{{0, 1, true}, {1 << 30, 1, true}, {1 << 30, 1, false}}},
		{"the largest", BucketMax, []step{{0, BucketMax, true}, {0, 1, false}, {1, BucketMax, true}, {1, 1, false}}},
		{"more than the largest", 1, []step{{0, 1 << 40, true}, {1 << 20, 1, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b Bucket
			for i, s := range tt.steps {
				if got := b.Take(s.now, s.n, tt.rate); got != s.want {
					t.Errorf("step %d: got %t, want %t", i, got, s.want)
				}
			}
		})
	}
}

// A lower rate counts from now on: what was spent at the higher one is paid back in
// the second that it was for.
func TestBucketWhoseRateChanges(t *testing.T) {
	for _, tt := range []struct {
		name         string
		before, then int
	}{{"lower", 1000, 5}, {"higher", 5, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			var b Bucket
			for range tt.before {
				b.Take(0, 1, tt.before)
			}
			if b.Take(0, 1, tt.then) {
				t.Error("it was not empty")
			}
			got := 0
			for range 2000 {
				if b.Take(ticksPerSecond, 1, tt.then) {
					got++
				}
			}
			if got != tt.then {
				t.Errorf("a second later %d are left, want %d", got, tt.then)
			}
		})
	}
}

func from(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1234))
}

func TestGate(t *testing.T) {
	none := &gate{}
	for range 100 {
		if !none.admit(from("192.0.2.1"), 0, 0, 0) {
			t.Fatal("without a limit somebody is refused")
		}
	}
	if none.sources != nil {
		t.Error("without a limit sources are kept")
	}

	g := &gate{}
	for i, step := range []struct {
		now  uint32
		ip   string
		want bool
	}{
		{0, "192.0.2.1", true},
		{0, "192.0.2.1", true},
		{0, "::ffff:192.0.2.1", false}, // the same as IPv6
		{0, "2001:db8::1", true},
		{0, "2001:db8::2", true},  // the same network
		{0, "192.0.2.2", false},   // the limit for all
		{4, "2001:db8::3", true},  // a second later
		{4, "2001:db8:1::", true}, // another network
	} {
		if got := g.admit(from(step.ip), step.now, 4, 2); got != step.want {
			t.Errorf("step %d, %s: got %t, want %t", i, step.ip, got, step.want)
		}
	}
	g.admit(from("192.0.2.9"), 100, 4, 2)
	if n := len(g.sources); n != 1 {
		t.Errorf("%d sources are kept, want 1", n)
	}
}

// In IPv6 the first 64 bits are who it is, also where there is no limit for all.
func TestGateNetwork(t *testing.T) {
	g := &gate{}
	for i, step := range []struct {
		ip   string
		want bool
	}{
		{"2001:db8::1", true},
		{"2001:db8::2", true},
		{"2001:db8::3", false},
		{"2001:db8::ffff:ffff:ffff:ffff", false},
		{"2001:db8:0:1::1", true},
	} {
		if got := g.admit(from(step.ip), 0, 0, 2); got != step.want {
			t.Errorf("step %d, %s: got %t, want %t", i, step.ip, got, step.want)
		}
	}
}

// Behind a balancer the address that counts is the client's.
func TestConnectRateBehindABalancer(t *testing.T) {
	e := New(Config{Loops: 1, ConnectRatePerAddress: 1}, at("/", Endpoint{Handler: echo}))
	err := e.Listen(Listener{Addr: "127.0.0.1:0", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(t.Context()) }()
	defer stopClock(e)()
	connect := func(client string) string {
		conn, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 198.51.100.1 1 2\r\n%s", client, request); err != nil {
			t.Fatal(err)
		}
		status, _ := bufio.NewReader(conn).ReadString('\n')
		return status
	}
	for i := range 10 {
		if got := connect(fmt.Sprint("192.0.2.", i)); !strings.Contains(got, "101") {
			t.Errorf("client %d: got %q", i, got)
		}
	}
	refused := false
	for range 10 {
		refused = refused || strings.Contains(connect("192.0.2.99"), "503")
	}
	if !refused {
		t.Error("ten connections of one client at once are let in")
	}
}

// Who is refused takes nobody's place, however long the client keeps silent.
func TestRefusedTakeNoPlace(t *testing.T) {
	const silent = 40
	e := start(t, Config{Loops: 2, MaxConnections: 20, ConnectRatePerAddress: 1}, Endpoint{Handler: echo})
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
	e := startOn(t, Config{Loops: 2, MaxConnections: announced, ConnectRatePerAddress: 1}, Endpoint{Handler: echo},
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
					c.drop(errReset)
				}
			}
		})
	}
	waitFor(t, func() bool { return e.conns.Load() == 0 && e.admitted.Load() == 0 && e.refused.Load() == 0 })
}
