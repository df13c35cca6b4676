package engine

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// Headers of version 2: signature, command, family, length.
const (
	proxy2Local = proxySignature + "\x20\x00\x00\x00"
	proxy2TCP4  = proxySignature + "\x21\x11\x00\x0c" + "\xc0\x00\x02\x07" + "\xc6\x33\x64\x01" + "\xdc\x04\x01\xbb"
	proxy2Unix  = proxySignature + "\x21\x31\x00\x03abc"
)

var (
	proxy2TCP6 = proxySignature + "\x21\x21\x00\x24" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07" +
		strings.Repeat("\x00", 15) + "\x01" + "\xdc\x04\x01\xbb"
	proxy2Options = proxySignature + "\x21\x11\x00\x10" + "\xc0\x00\x02\x07" + "\xc6\x33\x64\x01" + "\xdc\x04\x01\xbb" + "\x04\x00\x01x"
)

var proxyCases = []struct {
	name, header, client string
	bad                  bool
}{
	{name: "1, IPv4", header: "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", client: "192.0.2.7:56324"},
	{name: "1, IPv6", header: "PROXY TCP6 2001:db8::7 ::1 56324 443\r\n", client: "[2001:db8::7]:56324"},
	{name: "1, unknown", header: "PROXY UNKNOWN\r\n"},
	{name: "1, unknown with more", header: "PROXY UNKNOWN a b c d e f\r\n"},
	{name: "2, IPv4", header: proxy2TCP4, client: "192.0.2.7:56324"},
	{name: "2, IPv6", header: proxy2TCP6, client: "[2001:db8::7]:56324"},
	{name: "2, options", header: proxy2Options, client: "192.0.2.7:56324"},
	{name: "2, for itself", header: proxy2Local},
	{name: "2, a socket's file", header: proxy2Unix},
	{name: "HTTP", header: "GET / HTTP/1.1\r\n", bad: true},
	{name: "TLS", header: "\x16\x03\x01", bad: true},
	{name: "1, too long", header: "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", bad: true},
	{name: "1, too few", header: "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", bad: true},
	{name: "1, nothing", header: "PROXY \r\n", bad: true},
	{name: "1, no address", header: "PROXY TCP4 192.0.2.777 198.51.100.1 56324 443\r\n", bad: true},
	{name: "1, no port", header: "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n", bad: true},
	{name: "1, other family", header: "PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n", bad: true},
	{name: "1, zone", header: "PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n", bad: true},
	{name: "2, version 3", header: proxySignature + "\x31\x11\x00\x00", bad: true},
	{name: "2, command 2", header: proxySignature + "\x22\x11\x00\x00", bad: true},
	{name: "2, too short", header: proxySignature + "\x21\x11\x00\x0b" + "0123456789a", bad: true},
	{name: "2, too long", header: proxySignature + "\x21\x11\xff\xff", bad: true},
}

func TestParseProxy(t *testing.T) {
	for _, tt := range proxyCases {
		t.Run(tt.name, func(t *testing.T) {
			client, n, err := parseProxy([]byte(tt.header + "GET /"))
			if tt.bad {
				if err == nil {
					t.Errorf("got %v, %d, want an error", client, n)
				}
				return
			}
			got := ""
			if client != nil {
				got = client.String()
			}
			if got != tt.client || n != len(tt.header) || err != nil {
				t.Errorf("got %q, %d, %v, want %q, %d", got, n, err, tt.client, len(tt.header))
			}
			for i := range tt.header { // cut anywhere, it is not there yet
				if client, n, err := parseProxy([]byte(tt.header[:i])); n != 0 || err != nil || client != nil {
					t.Errorf("%d bytes: got %v, %d, %v", i, client, n, err)
				}
			}
		})
	}
}

// Whatever comes, a header is not longer than what was given, and more bytes
// behind it change nothing.
func FuzzParseProxy(f *testing.F) {
	for _, tt := range proxyCases {
		f.Add([]byte(tt.header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		client, n, err := parseProxy(b)
		switch {
		case n < 0 || n > len(b), err != nil && n != 0:
			t.Fatalf("got %v, %d, %v for %d bytes", client, n, err, len(b))
		case n > 0:
			again, m, err := parseProxy(append(b[:n:n], 'x'))
			if m != n || err != nil || (again == nil) != (client == nil) || again != nil && again.String() != client.String() {
				t.Fatalf("got %v, %d, %v, want %v, %d", again, m, err, client, n)
			}
		}
	})
}

// From a balancer the header is a must; from others it is not understood.
func TestProxyHeaders(t *testing.T) {
	const line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
	addrs := make(chan string, 1)
	endpoint := Endpoint{Protocol: hooks{open: func(c *Conn) { addrs <- c.RemoteAddr().String() }}}
	trusting := startOn(t, Config{Loops: 1}, endpoint,
		Listener{Addr: "127.0.0.1:0", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	for _, tt := range []struct {
		name string
		send []string
		want string // the client's address, "" for the end
	}{
		{"1", []string{line + request}, "192.0.2.7:56324"},
		{"2", []string{proxy2TCP4 + request}, "192.0.2.7:56324"},
		{"cut", []string{line[:9], line[9:], request}, "192.0.2.7:56324"},
		{"local", []string{proxy2Local, request}, "127.0.0.1"},
		{"none", []string{request}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := dialHalf(t, trusting, []byte(tt.send[0]))
			for _, s := range tt.send[1:] {
				if _, err := conn.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.want == "" {
				if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
					t.Errorf("got %d bytes, %v, want the end", n, err)
				}
				return
			}
			if got := <-addrs; !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestProxied(t *testing.T) {
	l := newListener(Listener{ProxyFrom: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"),
	}})
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "2001:db8::1": true, "2001:db9::1": false,
	} {
		if got := l.proxied(&net.TCPAddr{IP: net.ParseIP(addr)}); got != want {
			t.Errorf("%s: got %t, want %t", addr, got, want)
		}
	}
}
