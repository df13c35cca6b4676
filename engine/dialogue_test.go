package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// A testLoop is a loop whose sockets are wires and whose turns are taken by the
// test.
type testLoop struct {
	*Loop
	t      testing.TB
	dials  map[*Conn]*testConn
	byFd   map[int32]*testConn // connections that are not closed
	script script
	work   func() time.Duration
	keeper *keeper // that gives events again, nil for none
}

// script is what the Protocol of a test does beside taking notes.
type script struct {
	onOpen    func(*Conn)
	onMessage func(*Conn, codec.Opcode, []byte)
	onClose   func(*Conn, error)
	written   func()
}

// newTestLoop returns a loop with the endpoint at "/".
func newTestLoop(t testing.TB, config Config, endpoint Endpoint) *testLoop {
	t.Helper()
	tl := &testLoop{t: t, dials: make(map[*Conn]*testConn), byFd: make(map[int32]*testConn)}
	if config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	config.Worker = func(*Loop) Worker { return tl }
	endpoint.Protocol = tl
	other := endpoint
	other.Subprotocols = []string{"other"}
	e := New(config, map[string]Endpoint{"/": endpoint, "/other": other})
	tl.Loop = newLoop(e, 0, wires{tl})
	tl.batch.widen(ringEntries)
	return tl
}

func (tl *testLoop) Work(time.Duration) time.Duration {
	if tl.work == nil {
		return -1
	}
	return tl.work()
}

func (*testLoop) Resume(uint64) {}

func (tl *testLoop) FallBehind(id uint64, channel string, offset uint64) {
	if tl.keeper != nil {
		tl.keeper.fallBehind(id, channel, offset)
	}
}

func (tl *testLoop) Written() {
	if tl.script.written != nil {
		tl.script.written()
	}
}

func (tl *testLoop) OnOpen(c *Conn, _ *codec.Request) {
	tl.dials[c].note("open")
	if tl.script.onOpen != nil {
		tl.script.onOpen(c)
	}
}

func (tl *testLoop) OnMessage(c *Conn, op codec.Opcode, payload []byte) {
	tl.dials[c].note(fmt.Sprintf("%d %s", op, payload))
	if tl.script.onMessage != nil {
		tl.script.onMessage(c, op, payload)
	}
}

func (tl *testLoop) OnClose(c *Conn, reason error) {
	tl.dials[c].note("close: " + reason.Error())
	if tl.script.onClose != nil {
		tl.script.onClose(c, reason)
	}
}

// advance lets time pass, a tick at a time.
func (tl *testLoop) advance(d time.Duration) {
	for range inTicks(d) {
		tl.engine.clock.Add(1)
		tl.turn()
	}
}

// testConn is a connection with its client's end.
type testConn struct {
	*Conn
	tl     *testLoop
	events []string // what the Protocol was told and the test has not asked for

	// The wire.
	room     int    // bytes that it takes
	broken   error  // of the next write
	got      []byte // what the client has read and the test has not asked for
	writes   int    // how many writes that was
	watched  bool   // the loop wants to learn of more room
	finished bool   // the client has read the end
	closed   bool

	abandoned bool // the kernel has been told not to try for long
}

// unlimited is the room on a wire whose client reads everything.
const unlimited = 1 << 40

// wires are the sockets of a testLoop.
type wires struct{ tl *testLoop }

func (w wires) write(fd int32, b []byte) (int, error) {
	tc := w.tl.byFd[fd]
	if tc == nil {
		w.tl.t.Errorf("write to the closed socket %d: %q", fd, b)
		return 0, unix.EBADF
	}
	if tc.broken != nil {
		return 0, tc.broken
	}
	if tc.finished {
		w.tl.t.Errorf("write after the end: %q", b)
	}
	n := min(len(b), tc.room)
	if n == 0 && len(b) > 0 {
		return 0, unix.EAGAIN
	}
	tc.room -= n
	tc.writes++
	tc.got = append(tc.got, b[:n]...)
	return n, nil
}

// writeAll has the kernel's order: one after the other.
func (w wires) writeAll(batch []sending) bool {
	seen := make(map[int32]bool)
	for i := range batch {
		s := &batch[i]
		if seen[s.fd] {
			w.tl.t.Errorf("socket %d is in a batch twice", s.fd)
		}
		seen[s.fd] = true
		s.n, s.err = w.write(s.fd, s.bytes)
	}
	return true
}

func (w wires) watch(c *Conn) error {
	w.tl.dials[c].watched = true
	return nil
}

func (w wires) abandon(fd int32) { w.tl.byFd[fd].abandoned = true }

func (w wires) finish(fd int32) { w.tl.byFd[fd].finished = true }

// close tells the connection at once, as gnet does.
func (w wires) close(c *Conn) {
	tc := w.tl.dials[c]
	if tc.closed {
		w.tl.t.Errorf("socket %d is closed twice", c.fd)
		return
	}
	tc.hangUp(nil)
}

// unplugged is the socket of a connection without one: its client has an
// address.
type unplugged struct{ gnet.Conn }

func (unplugged) RemoteAddr() net.Addr { return from("192.0.2.1") }

// dial connects a client that has not said anything.
func (tl *testLoop) dial() *testConn {
	fd := int32(3)
	for tl.byFd[fd] != nil {
		fd++ // the lowest that is free, as the kernel does
	}
	tc := &testConn{Conn: &Conn{fd: fd, socket: unplugged{}}, tl: tl, room: unlimited}
	tl.dials[tc.Conn] = tc
	tl.byFd[fd] = tc
	tl.add(tc.Conn)
	return tc
}

// open connects a client that has been welcomed at "/".
func (tl *testLoop) open() *testConn {
	tl.t.Helper()
	tc := tl.dial()
	tc.write(request)
	if !bytes.HasPrefix(tc.got, []byte("HTTP/1.1 101 ")) || !bytes.HasSuffix(tc.got, []byte("\r\n\r\n")) {
		tl.t.Fatalf("handshake: got %q", tc.got)
	}
	tc.got, tc.writes = nil, 0
	tc.wantEvents("open")
	return tc
}

// newTestConn opens a connection on a loop of its own.
func newTestConn(t testing.TB) *testConn {
	t.Helper()
	return newTestLoop(t, Config{}, Endpoint{}).open()
}

func (tc *testConn) note(event string) { tc.events = append(tc.events, event) }

// send makes the connection take bytes; no turn follows.
func (tc *testConn) send(parts ...any) {
	if !tc.closed {
		tc.feed(draw(parts...))
	}
}

// write sends bytes and lets the loop take its turn.
func (tc *testConn) write(parts ...any) {
	tc.send(parts...)
	tc.tl.turn()
}

// advance lets time pass.
func (tc *testConn) advance(d time.Duration) { tc.tl.advance(d) }

// hangUp closes the socket from outside of the engine. No turn follows.
func (tc *testConn) hangUp(reason error) {
	tc.closed = true
	tc.Conn.socketClosed(reason)
	delete(tc.tl.byFd, tc.fd) // gnet closes it only then
}

// read is the client making room for n more bytes.
func (tc *testConn) read(n int) {
	tc.room += n
	if tc.watched && !tc.closed {
		tc.watched = false
		tc.tl.writable(tc.slot)
	}
	tc.tl.turn()
}

// want fails unless the client got these bytes next.
func (tc *testConn) want(b []byte) {
	tc.tl.t.Helper()
	if !bytes.HasPrefix(tc.got, b) {
		tc.tl.t.Fatalf("client got %q, want %q", tc.got, b)
	}
	tc.got = tc.got[len(b):]
}

// wantFrame fails unless the client got this frame, or part of one, next.
func (tc *testConn) wantFrame(parts ...any) {
	tc.tl.t.Helper()
	tc.want(draw(parts...))
}

// wantText fails unless the client got this text message next.
func (tc *testConn) wantText(s string) {
	tc.tl.t.Helper()
	tc.want(codec.AppendFrame(nil, codec.OpText, []byte(s)))
}

// wantNothing fails if the client got anything else.
func (tc *testConn) wantNothing() {
	tc.tl.t.Helper()
	if len(tc.got) > 0 {
		tc.tl.t.Fatalf("client got %q, want nothing", tc.got)
	}
}

// wantClose fails unless a Close frame with that code is the last that the
// client got.
func (tc *testConn) wantClose(code uint16) {
	tc.tl.t.Helper()
	if len(tc.got) < 2 || tc.got[0] != 0x88 || int(tc.got[1]) != len(tc.got)-2 {
		tc.tl.t.Fatalf("client got %q, want only a Close frame with %d", tc.got, code)
	}
	got := uint16(codec.StatusNoStatus)
	if len(tc.got) > 2 {
		got = binary.BigEndian.Uint16(tc.got[2:])
	}
	if got != code {
		tc.tl.t.Fatalf("client got a Close frame %q, want code %d", tc.got, code)
	}
	tc.got = nil
}

// wantMessage fails unless the Protocol was given this text message next.
func (tc *testConn) wantMessage(s string) {
	tc.tl.t.Helper()
	tc.wantEvents("1 " + s)
}

// wantEvents fails unless this is what the Protocol was told.
func (tc *testConn) wantEvents(want ...string) {
	tc.tl.t.Helper()
	if fmt.Sprintf("%q", tc.events) != fmt.Sprintf("%q", want) {
		tc.tl.t.Fatalf("Protocol was told %q, want %q", tc.events, want)
	}
	tc.events = nil
}

// wantOnClose fails unless the Protocol was last told of this close.
func (tc *testConn) wantOnClose(code uint16, reason string) {
	tc.tl.t.Helper()
	tc.wantEvents("close: " + (&codec.CloseError{Code: code, Reason: reason}).Error())
}

// wantState fails unless the client sees the connection open, at its end, or
// closed.
func (tc *testConn) wantState(finished, closed bool) {
	tc.tl.t.Helper()
	if tc.finished != finished || tc.closed != closed {
		tc.tl.t.Fatalf("finished %t, closed %t, want %t, %t", tc.finished, tc.closed, finished, closed)
	}
}

func (tc *testConn) wantOpen()     { tc.tl.t.Helper(); tc.wantState(false, false) }
func (tc *testConn) wantFinished() { tc.tl.t.Helper(); tc.wantState(true, false) }
func (tc *testConn) wantClosed()   { tc.tl.t.Helper(); tc.wantState(false, true) }

var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// draw makes bytes of drawn bits, of text and of raw bytes:
//
//	draw("1 000 0001 1 0000101", mask, "hello")
//
// A string of zeros, ones and spaces is bits; every other string stands for
// itself. What follows a mask, up to the next bits, is masked with it.
func draw(parts ...any) (b []byte) {
	var key [4]byte
	masked := 0
	payload := func(p []byte) {
		start := len(b)
		b = append(b, p...)
		codec.Mask(b[start:], key, masked)
		masked += len(p)
	}
	for _, part := range parts {
		switch p := part.(type) {
		case [4]byte:
			b = append(b, p[:]...)
			key, masked = p, 0
		case []byte:
			payload(p)
		case string:
			if strings.Trim(p, "01 ") != "" {
				payload([]byte(p))
				continue
			}
			key, masked = [4]byte{}, 0
			bits := strings.ReplaceAll(p, " ", "")
			for ; bits != ""; bits = bits[8:] {
				var c byte
				if _, err := fmt.Sscanf(bits[:8], "%b", &c); err != nil {
					panic(err)
				}
				b = append(b, c)
			}
		}
	}
	return b
}

// masked is a whole frame of a client.
func masked(op codec.Opcode, payload string) []byte {
	return codec.AppendMaskedFrame(nil, op, []byte(payload), mask)
}

// closeFrame is a Close frame of a client.
func closeFrame(code uint16, reason string) []byte {
	return masked(codec.OpClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// cut returns b in pieces of n bytes.
func cut(b []byte, n int) (pieces [][]byte) {
	for len(b) > 0 {
		n := min(n, len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

var errReset = errors.New("connection reset by peer")
