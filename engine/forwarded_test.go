package engine

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// forwarders are the proxies of these tests.
var forwarders = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("2001:db8:ffff::/48"),
}

const unknown = "invalid AddrPort" // of a netip.AddrPort that is none

// What one field says, in both.
var nodeCases = []struct{ name, node, client string }{
	{"IPv4", "192.0.2.7", "192.0.2.7:0"},
	{"IPv4 with a port", "192.0.2.7:4711", "192.0.2.7:4711"},
	{"IPv6", "2001:db8::7", "[2001:db8::7]:0"},
	{"IPv6 in brackets", "[2001:db8::7]", "[2001:db8::7]:0"},
	{"IPv6 with a port", "[2001:db8::7]:4711", "[2001:db8::7]:4711"},
	{"IPv4 as IPv6", "::ffff:192.0.2.7", "192.0.2.7:0"},
	{"a port with a pseudonym", "192.0.2.7:_http", "192.0.2.7:0"},
	{"unknown", "unknown", unknown},
	{"a pseudonym", "_hidden", unknown},
	{"a name", "client.example.com", unknown},
	{"half an address", "192.0.2", unknown},
	{"a port too high", "192.0.2.7:65536", unknown},
	{"no port behind the colon", "192.0.2.7:", unknown},
	{"a zone", "fe80::1%eth0", unknown},
	{"a bracket left open", "[2001:db8::7", unknown},
	{"IPv4 in brackets", "[192.0.2.7]", unknown},
	{"text behind the bracket", "[2001:db8::7]x", unknown},
	{"a bracket alone", "[", unknown},
	{"a colon alone", ":", unknown},
}

func TestForwardedNodes(t *testing.T) {
	for _, tt := range nodeCases {
		t.Run(tt.name, func(t *testing.T) {
			for _, fields := range [][2]string{
				{"", tt.node},
				{"", "192.0.2.99, " + tt.node + ", 10.1.2.3"},
				{"for=" + tt.node, ""},
				{`For="` + tt.node + `"`, ""},
				{`proto=https; for="` + tt.node + `" ;by=_x, for=10.1.2.3`, ""},
				{"for=" + tt.node, tt.node},
			} {
				wantClient(t, fields, tt.client)
			}
		})
	}
}

// wantClient fails unless the values of Forwarded and X-Forwarded-For name this
// client.
func wantClient(t *testing.T, fields [2]string, want string) {
	t.Helper()
	client, err := forwardedClient(fields[0], fields[1], forwarders)
	if got := client.String(); got != want || err != nil {
		t.Errorf("Forwarded %q, X-Forwarded-For %q: got %s, %v, want %s", fields[0], fields[1], got, err, want)
	}
}

func TestForwardedLists(t *testing.T) {
	for _, tt := range []struct{ name, forwarded, forwardedFor, client string }{
		{name: "nothing", client: unknown},
		{name: "only commas", forwardedFor: " , ,", forwarded: ",,", client: unknown},
		{name: "what a client has invented", forwardedFor: "1.2.3.4, 192.0.2.7", client: "192.0.2.7:0"},
		{name: "two proxies", forwardedFor: "1.2.3.4, 192.0.2.7, 10.0.0.1, 2001:db8:ffff::1", client: "192.0.2.7:0"},
		{name: "only proxies", forwardedFor: "10.0.0.3, 10.0.0.1", client: "10.0.0.3:0"},
		{name: "a proxy that knows nothing", forwardedFor: "192.0.2.7, unknown, 10.0.0.1", client: unknown},
		{name: "empty elements", forwardedFor: ",192.0.2.7,, ,10.0.0.1,", client: "192.0.2.7:0"},
		{name: "without spaces", forwardedFor: "1.2.3.4,192.0.2.7,10.0.0.1", client: "192.0.2.7:0"},
		{name: "invented elements", forwarded: "for=1.2.3.4, for=192.0.2.7", client: "192.0.2.7:0"},
		{name: "two proxies' elements", forwarded: `for=1.2.3.4;proto=http,for=192.0.2.7;by=10.0.0.1, for="[2001:db8:ffff::1]:80"`, client: "192.0.2.7:0"},
		{name: "an element without for", forwarded: "for=192.0.2.7, proto=https", client: unknown},
		{name: "for twice", forwarded: "for=192.0.2.7;for=192.0.2.8", client: unknown},
		{name: "empty parameters", forwarded: ";;for=192.0.2.7;;", client: "192.0.2.7:0"},
		{name: "a comma in quotes", forwarded: `for=1.2.3.4, for=192.0.2.7;host="a,for=5.6.7.8"`, client: "192.0.2.7:0"},
		{name: "a quote in quotes", forwarded: `for=192.0.2.7;x="a\",for=5.6.7.8"`, client: "192.0.2.7:0"},
		{name: "a quoted pair", forwarded: `for="192\.0.2.7"`, client: "192.0.2.7:0"},
		{name: "a quote left open", forwarded: `for="192.0.2.7`, client: unknown},
		{name: "a quote left open before", forwarded: `for="1.2.3.4, for="[2001:db8::7]:4711"`, client: "[2001:db8::7]:4711"},
		{name: "a backslash at the end before", forwarded: `for="1.2.3.4\, for="[2001:db8::7]"`, client: "[2001:db8::7]:0"},
		{name: "text behind a quote", forwarded: `for="192.0.2.7"x`, client: unknown},
		{name: "a quote within a token", forwarded: `for=192.0.2.7;x=a"`, client: unknown},
		{name: "no parameter", forwarded: "192.0.2.7", client: unknown},
		{name: "both agree", forwarded: `for="192.0.2.7:4711"`, forwardedFor: "192.0.2.7", client: "192.0.2.7:4711"},
		{name: "one is empty", forwarded: " ", forwardedFor: "192.0.2.7", client: "192.0.2.7:0"},
		{name: "neither knows", forwarded: "for=unknown", forwardedFor: "unknown", client: unknown},
	} {
		t.Run(tt.name, func(t *testing.T) { wantClient(t, [2]string{tt.forwarded, tt.forwardedFor}, tt.client) })
	}
	for _, fields := range [][2]string{
		{"for=1.2.3.4", "192.0.2.7"},
		{"for=192.0.2.7", "1.2.3.4"},
		{"for=unknown", "192.0.2.7"},
		{"for=192.0.2.7", "nonsense"},
		{"for=1.2.3.4", "10.0.0.1"},
	} {
		if client, err := forwardedClient(fields[0], fields[1], forwarders); err != errForwarded || client.IsValid() {
			t.Errorf("%q: got %v, %v, want %v", fields, client, err, errForwarded)
		}
	}
}

// Whatever a client writes, the address that the last proxy adds is the one
// that counts, and the other field can change it only into a refusal.
func FuzzForwardedClient(f *testing.F) {
	for _, tt := range nodeCases {
		f.Add("for="+tt.node, tt.node)
		f.Add(`for="`+tt.node+`";x=y, for=10.0.0.1`, tt.node+",10.0.0.1")
	}
	f.Add(`for="a\`, `"`)
	f.Fuzz(func(t *testing.T, forwarded, forwardedFor string) {
		const want = "[2001:db8::7]:4711"
		one, err1 := forwardedClient(forwarded+`, for="`+want+`"`, "", forwarders)
		two, err2 := forwardedClient("", forwardedFor+", "+want, forwarders)
		if one.String() != want || two.String() != want || err1 != nil || err2 != nil {
			t.Errorf("got %v, %v and %v, %v, want %s", one, err1, two, err2, want)
		}
		both, err := forwardedClient(forwarded, forwardedFor+", "+want, forwarders)
		if err == nil && both.Addr() != two.Addr() || err != nil && both.IsValid() {
			t.Errorf("got %v, %v, want %s or a refusal", both, err, want)
		}
		if client, err := forwardedClient(forwarded, forwardedFor, forwarders); client.Addr().Is4In6() || client.Addr().Zone() != "" {
			t.Errorf("got %v, %v", client, err)
		}
	})
}

// with is the request with a header.
func with(header string) string {
	return strings.Replace(request, "\r\n\r\n", "\r\n"+header+"\r\n\r\n", 1)
}

// From a proxy that is trusted the client's address is taken, over TCP, TLS,
// behind a PROXY header and at a socket's file; from others it is not.
func TestForwarded(t *testing.T) {
	const announced = "PROXY TCP4 10.0.0.5 198.51.100.1 56324 443\r\n"
	addrs := make(chan string, 1)
	endpoint := Endpoint{Protocol: hooks{open: func(c *Conn) { addrs <- fmt.Sprint(c.RemoteAddr()) }}}
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	file := filepath.Join(t.TempDir(), "rocket.sock")
	e := startOn(t, Config{Loops: 2}, endpoint,
		Listener{Addr: "127.0.0.1:0", ForwardedFrom: forwarders},
		Listener{Addr: "127.0.0.1:0"},
		Listener{Addr: "127.0.0.1:0", ForwardedFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Listener{Addr: "127.0.0.1:0", ForwardedFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ProxyFrom: local},
		Listener{Addr: "unix:" + file, ForwardedFrom: []netip.Prefix{{}}},
	)
	const trusting, plain, others, behind, socket = 0, 1, 2, 3, 4
	for _, tt := range []struct {
		name     string
		listener int
		send     string
		want     string // the beginning of the client's address
	}{
		{"X-Forwarded-For", trusting, with("X-Forwarded-For: 192.0.2.7"), "192.0.2.7:0"},
		{"Forwarded", trusting, with(`forwarded: for="[2001:db8::7]:4711"`), "[2001:db8::7]:4711"},
		{"several lines", trusting, with("X-Forwarded-For: 1.2.3.4\r\nA: b\r\nx-forwarded-for: 192.0.2.7 , 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2"), "192.0.2.7:0"},
		{"an address with TLS, which the proxy has", trusting, strings.Replace(with("X-Forwarded-For: 192.0.2.7"), "GET /", "GET wss://example.com/", 1), "192.0.2.7:0"},
		{"no field", trusting, request, "127.0.0.1:"},
		{"nonsense", trusting, with("X-Forwarded-For: nonsense"), "127.0.0.1:"},
		{"unknown", trusting, with("Forwarded: for=unknown"), "127.0.0.1:"},
		{"nobody is trusted", plain, with("X-Forwarded-For: 192.0.2.7"), "127.0.0.1:"},
		{"others are trusted", others, with("X-Forwarded-For: 192.0.2.7"), "127.0.0.1:"},
		{"a PROXY header before", behind, announced + with("X-Forwarded-For: 192.0.2.7"), "192.0.2.7:0"},
		{"a PROXY header of another", behind, strings.Replace(announced, "10.0.0.5", "198.51.100.9", 1) + with("X-Forwarded-For: 192.0.2.7"), "198.51.100.9:56324"},
		{"a socket's file", socket, with("X-Forwarded-For: 192.0.2.7"), "192.0.2.7:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pieces := range [][][]byte{{[]byte(tt.send)}, cut([]byte(tt.send), 40)} {
				conn, err := net.Dial(e.Addrs()[tt.listener].Network(), e.Addrs()[tt.listener].String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				for _, b := range pieces {
					if _, err := conn.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				if got := <-addrs; !strings.HasPrefix(got, tt.want) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
	for _, header := range []string{"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.8", "Forwarded: for=192.0.2.7\r\nX-Forwarded-For: x"} {
		status, body := refusedBy(t, e, with(header))
		if !strings.Contains(status, " 400 ") || !strings.Contains(body, errForwarded.Reason) {
			t.Errorf("%s: got %q, %q, want 400 with the reason", header, status, body)
		}
		status, rest := refusedBy(t, e, strings.Replace(with(header), "GET", "HEAD", 1))
		if !strings.Contains(status, " 400 ") || !strings.HasSuffix(rest, "\r\n\r\n") {
			t.Errorf("HEAD, %s: got %q, %q, want 400 without a body", header, status, rest)
		}
	}
}

// A proxy that is trusted, and speaks TLS to a port without it, is told so too.
func TestForwarderSpeaksTLSToAPlainPort(t *testing.T) {
	e := startOn(t, Config{Loops: 1}, Endpoint{Protocol: echo}, Listener{Addr: "127.0.0.1:0", ForwardedFrom: forwarders})
	if status, rest := refusedBy(t, e, string(clientHello(t))); !strings.Contains(status, " 400 ") || !strings.Contains(rest, errPlainPort.Reason) {
		t.Errorf("got %q, %q, want 400 that names ws://", status, rest)
	}
}

// refusedBy returns the answer to a request: its first line, and the rest.
func refusedBy(t *testing.T, e *Engine, send string) (status, rest string) {
	t.Helper()
	answer := bufio.NewReader(dialHalf(t, e, []byte(send)))
	status, err := answer.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(answer)
	if err != nil {
		t.Fatal(err)
	}
	return status, string(b)
}

// Over TLS too: the proxy speaks it for others.
func TestForwardedOverTLS(t *testing.T) {
	addrs := make(chan string, 1)
	endpoint := Endpoint{Protocol: hooks{open: func(c *Conn) { addrs <- c.RemoteAddr().String() }}}
	e := startOn(t, Config{Loops: 1}, endpoint, Listener{Addr: "127.0.0.1:0", TLS: serverTLS(), ForwardedFrom: forwarders})
	conn, err := tls.Dial("tcp", e.Addr().String(), clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, with("X-Forwarded-For: 192.0.2.7")); err != nil {
		t.Fatal(err)
	}
	if got := <-addrs; got != "192.0.2.7:0" {
		t.Errorf("got %s, want the client", got)
	}
}

// Behind a proxy the address that counts is the client's, however many there
// are, and the proxy's own counts only where nobody else is named.
func TestConnectRateBehindAProxy(t *testing.T) {
	e := New(Config{Loops: 1, ConnectRatePerAddress: 1}, at("/", Endpoint{Protocol: echo}))
	if err := e.Listen(Listener{Addr: "127.0.0.1:0", ForwardedFrom: forwarders}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(t.Context()) }()
	defer stopClock(e)()
	connect := func(header string) string {
		conn := dialHalf(t, e, []byte(with(header)))
		defer conn.Close()
		status, _ := bufio.NewReader(conn).ReadString('\n')
		return status
	}
	for i := range 10 {
		if got := connect(fmt.Sprint("X-Forwarded-For: 192.0.2.", i)); !strings.Contains(got, "101") {
			t.Errorf("client %d: got %q", i, got)
		}
	}
	for _, header := range []string{"X-Forwarded-For: 192.0.2.99", "A: the proxy itself"} {
		if got := connect(header); !strings.Contains(got, "101") {
			t.Errorf("%s: got %q, want that it is let in", header, got)
		}
		refused := false
		for range 10 {
			refused = refused || strings.Contains(connect(header), "503")
		}
		if !refused {
			t.Errorf("%s: ten connections at once are let in", header)
		}
	}
}

// The proxy does not count either where a balancer's PROXY header has named it.
func TestConnectRateBehindBalancerAndProxy(t *testing.T) {
	e := New(Config{Loops: 1, ConnectRatePerAddress: 1}, at("/", Endpoint{Protocol: echo}))
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	if err := e.Listen(Listener{Addr: "127.0.0.1:0", ProxyFrom: local, ForwardedFrom: forwarders}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(t.Context()) }()
	defer stopClock(e)()
	for i := range 10 {
		conn := dialHalf(t, e, []byte("PROXY TCP4 10.0.0.5 198.51.100.1 56324 443\r\n"+with(fmt.Sprint("X-Forwarded-For: 192.0.2.", i))))
		status, _ := bufio.NewReader(conn).ReadString('\n')
		_ = conn.Close()
		if !strings.Contains(status, "101") {
			t.Errorf("client %d: got %q", i, status)
		}
	}
}

// The limit for all counts requests, too, not only connections.
func TestConnectRateOfAllBehindAProxy(t *testing.T) {
	e := New(Config{Loops: 1, ConnectRate: 1}, at("/", Endpoint{Protocol: echo}))
	if err := e.Listen(Listener{Addr: "127.0.0.1:0", ForwardedFrom: forwarders}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Shutdown(t.Context()) }()
	defer stopClock(e)()
	refused := 0
	for i := range 10 {
		answer := bufio.NewReader(dialHalf(t, e, []byte(with(fmt.Sprint("X-Forwarded-For: 192.0.2.", i)))))
		if status, _ := answer.ReadString('\n'); strings.Contains(status, "503") {
			refused++
		}
	}
	if refused < 5 {
		t.Errorf("%d of 10 are refused", refused)
	}
}

// Of clients that come through a proxy too fast no more are kept to be told so
// than of others, and the next one is served.
func TestTooManyForwarded(t *testing.T) {
	const (
		clients = 4 * refusalMax
		served  = 20 // one a second
	)
	e := startOn(t, Config{Loops: 2, MaxConnections: clients, ConnectRatePerAddress: 1}, Endpoint{Protocol: echo},
		Listener{Addr: "127.0.0.1:0", ForwardedFrom: forwarders})
	var ended atomic.Int32
	for range clients {
		conn := dialHalf(t, e, []byte(with("X-Forwarded-For: 192.0.2.8")))
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			ended.Add(1)
		}()
	}
	waitFor(t, func() bool { return ended.Load() >= clients-refusalMax-served })
	conn := dialHalf(t, e, []byte(with("X-Forwarded-For: 192.0.2.9")))
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(got, "101") {
		t.Errorf("got %q, %v, want that it is let in", got, err)
	}
	wantNobodyCounted(t, e)
}

// Without ForwardedFrom a connection has nothing more than before.
func TestNotForwardedCostsNothing(t *testing.T) {
	e := start(t, Config{Loops: 1}, Endpoint{Protocol: echo})
	dialDeaf(t, e)
	transports := make(chan bool)
	e.Loops()[0].Post(func() {
		e.Loops()[0].Each(func(c *Conn) { transports <- c.transport != nil })
	})
	if <-transports {
		t.Error("it has a transport")
	}
}
