package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// What a header of the PROXY protocol looks like: version 1 is a line, version
// 2 is binary. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
const (
	proxyLine       = "PROXY "
	proxyLineMax    = 107
	proxySignature  = "\r\n\r\n\x00\r\nQUIT\n"
	proxyHeaderSize = 16
	proxyHeaderMax  = 4 << 10 // with its options
)

var errProxy = errors.New("engine: not a header of the PROXY protocol")

// parseProxy reads a PROXY header from b. It returns the client's address, nil
// if the balancer speaks for itself, and the header's length in bytes, 0 if b
// is too short.
func parseProxy(b []byte) (client net.Addr, n int, err error) {
	switch {
	case begins(b, proxySignature):
		return parseProxy2(b)
	case begins(b, proxyLine):
		return parseProxy1(b)
	}
	return nil, 0, errProxy
}

// begins reports whether b begins with s, or is itself the beginning of s.
func begins(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

// parseProxy1 reads "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".
func parseProxy1(b []byte) (client net.Addr, n int, err error) {
	line, _, found := bytes.Cut(b[:min(len(b), proxyLineMax)], []byte("\r\n"))
	if !found {
		if len(b) >= proxyLineMax {
			return nil, 0, errProxy
		}
		return nil, 0, nil
	}
	n = len(line) + 2
	fields := strings.Split(string(line), " ")
	if fields[1] == "UNKNOWN" {
		return nil, n, nil
	}
	if len(fields) != 6 {
		return nil, 0, errProxy
	}
	source, err1 := netip.ParseAddr(fields[2])
	target, err2 := netip.ParseAddr(fields[3])
	port, err3 := strconv.ParseUint(fields[4], 10, 16)
	_, err4 := strconv.ParseUint(fields[5], 10, 16)
	if errors.Join(err1, err2, err3, err4) != nil || source.Zone() != "" ||
		fields[1] != familyOf(source) || fields[1] != familyOf(target) {
		return nil, 0, errProxy
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, uint16(port))), n, nil
}

func familyOf(addr netip.Addr) string {
	if addr.Is4() {
		return "TCP4"
	}
	return "TCP6"
}

// parseProxy2 reads the binary header: signature, version and command, family
// and protocol, length, addresses, options.
func parseProxy2(b []byte) (client net.Addr, n int, err error) {
	if len(b) < proxyHeaderSize {
		return nil, 0, nil
	}
	command, family := b[12], b[13]
	n = proxyHeaderSize + int(binary.BigEndian.Uint16(b[14:]))
	if command>>4 != 2 || command&15 > 1 || n > proxyHeaderMax {
		return nil, 0, errProxy
	}
	if len(b) < n {
		return nil, 0, nil
	}
	if command&15 == 0 { // LOCAL: a health check, say
		return nil, n, nil
	}
	addresses := b[proxyHeaderSize:n]
	switch family {
	case 0x11: // TCP over IPv4
		return proxyAddr(addresses, 4, n)
	case 0x21: // TCP over IPv6
		return proxyAddr(addresses, 16, n)
	}
	return nil, n, nil // "the receiver should ignore address information"
}

// proxyAddr reads source and target, each of so many bytes, and their ports.
func proxyAddr(b []byte, size, n int) (net.Addr, int, error) {
	if len(b) < 2*size+4 {
		return nil, 0, errProxy
	}
	return &net.TCPAddr{
		IP:   bytes.Clone(b[:size]),
		Port: int(binary.BigEndian.Uint16(b[2*size:])),
	}, n, nil
}
