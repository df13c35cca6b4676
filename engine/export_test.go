package engine

import (
	"reflect"
	"unsafe"

	"golang.org/x/sys/unix"
)

// firstWire is a file descriptor that the kernel never gives.
const firstWire = 1 << 30

// Wires are connections without sockets, on a loop that runs and that has
// connections with sockets too. Everything else is the engine's own: states,
// tables, turns. Its methods are for the loop only.
type Wires struct {
	sockets // for those that have one
	loop    *Loop
	conns   []*Conn
	writes  int // until done
	done    chan struct{}
	request []byte
}

// NewWires puts wires beside the sockets of a loop.
func NewWires(l *Loop) *Wires {
	w := &Wires{sockets: l.sockets, loop: l}
	l.sockets = w
	return w
}

// Add connects one client and returns its number.
func (w *Wires) Add() int {
	c := &Conn{fd: int32(firstWire + len(w.conns))}
	w.conns = append(w.conns, c)
	w.loop.add(c)
	return len(w.conns) - 1
}

// Feed makes client i say something, which is not modified.
func (w *Wires) Feed(i int, b []byte) {
	w.request = append(w.request[:0], b...)
	w.conns[i].feed(w.request)
}

// Ping sends client i a ping, as after a silence.
func (w *Wires) Ping(i int) { w.conns[i].expire() }

// Pinged tells whether client i owes a pong.
func (w *Wires) Pinged(i int) bool { return w.conns[i].pinged }

// Tick lets the loop look for deadlines that have passed.
func (w *Wires) Tick() { w.loop.advance(w.loop.beat.Load()) }

// Await returns a channel that is closed after so many writes.
func (w *Wires) Await(writes int) <-chan struct{} {
	w.writes, w.done = writes, make(chan struct{})
	return w.done
}

// HangUp ends all connections.
func (w *Wires) HangUp() {
	for _, c := range w.conns {
		c.socketClosed(nil)
	}
	w.conns = nil
}

func (w *Wires) write(fd int32, b []byte) (int, error) {
	if fd < firstWire {
		return w.sockets.write(fd, b)
	}
	if w.writes--; w.writes == 0 {
		close(w.done)
	}
	return len(b), nil
}

func (w *Wires) writeAll(batch []sending) bool {
	return writeEach(w, batch)
}

// GnetBytes returns how many bytes gnet allocates for a connection with a
// socket over IPv4.
func GnetBytes(c *Conn) float64 {
	const (
		callback = 16                 // the method value that its poller calls
		entry    = (8 + 8 + 1) / 0.66 // of its map: key, value, control byte; two thirds are full on average
	)
	conn, remote := reflect.TypeOf(c.socket).Elem(), reflect.TypeOf(c.RemoteAddr()).Elem()
	sockaddr := unsafe.Sizeof(unix.SockaddrInet4{})
	return callback + entry + float64(allocated(conn.Size())+allocated(remote.Size())+allocated(sockaddr))
}

// allocated returns what an object of some size takes.
func allocated(size uintptr) int { return cap(append([]byte(nil), make([]byte, size)...)) }
