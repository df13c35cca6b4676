package engine

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func from(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1234))
}

func TestGate(t *testing.T) {
	none := &gate{}
	for range 100 {
		if !none.admit(from("192.0.2.1"), 0*tick, 0, 0) {
			t.Fatal("without a limit somebody is refused")
		}
	}
	if none.sources != nil {
		t.Error("without a limit sources are kept")
	}

	g := &gate{}
	for i, step := range []struct {
		now  int // in ticks
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
		if got := g.admit(from(step.ip), time.Duration(step.now)*tick, 4, 2); got != step.want {
			t.Errorf("step %d, %s: got %t, want %t", i, step.ip, got, step.want)
		}
	}
	g.admit(from("192.0.2.9"), 100*tick, 4, 2)
	if n := len(g.sources); n != 1 {
		t.Errorf("%d sources are kept, want 1", n)
	}
}

// In IPv6 the first 64 bits are who it is, also where there is no limit for
// all.
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
		if got := g.admit(from(step.ip), 0*tick, 0, 2); got != step.want {
			t.Errorf("step %d, %s: got %t, want %t", i, step.ip, got, step.want)
		}
	}
}

// Behind a balancer the address that counts is the client's.
func TestConnectRateBehindABalancer(t *testing.T) {
	e := New(Config{Loops: 1, ConnectRatePerAddress: 1}, at("/", Endpoint{Protocol: echo}))
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
