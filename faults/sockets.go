package faults

import (
	"os"
	"strconv"
	"strings"
)

// socket is a connection as the kernel sees it.
type socket struct {
	state  string
	port   int // of this side
	other  int // port of the other side
	unread int // bytes that have come and were not read
}

// States of connections in /proc/net/tcp.
const (
	established = "01"
	finWait     = "04" // closed on this side; the other one has not acknowledged everything
)

// readSockets returns all connections over IPv4 of the namespace. Where others come and go meanwhile, the kernel may leave
// some out, or name them twice.
func readSockets() (sockets, error) {
	b, err := os.ReadFile("/proc/net/tcp")
	return parseSockets(string(b)), err
}

// sockets are many of them.
type sockets []socket

// parseSockets reads lines such as "  0: 0100007F:1F90 0100007F:C350 01 00000000:00000012 …", with a headline: number,
// address and port of this side and of the other, state, and bytes to send and to read, all in hexadecimal digits.
func parseSockets(table string) sockets {
	var all sockets
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 5 || f[3] != established && f[3] != finWait {
			continue
		}
		_, port, _ := strings.Cut(f[1], ":")
		_, other, _ := strings.Cut(f[2], ":")
		_, unread, _ := strings.Cut(f[4], ":")
		all = append(all, socket{state: f[3], port: fromHex(port), other: fromHex(other), unread: fromHex(unread)})
	}
	return all
}

func fromHex(s string) int {
	n, _ := strconv.ParseInt(s, 16, 64) // the kernel writes nothing else
	return int(n)
}

// unread adds to found the connections at a port of this side for which something waits to be read, by the other side's
// port.
func (all sockets) unread(port int, found map[int]bool) {
	for _, s := range all {
		if s.port == port && s.state == established && s.unread > 0 {
			found[s.other] = true
		}
	}
}

// abandoned is how many connections at a port of this side are closed here, and still wait for the other side.
func (all sockets) abandoned(port int) (n int) {
	for _, s := range all {
		if s.port == port && s.state == finWait {
			n++
		}
	}
	return n
}
