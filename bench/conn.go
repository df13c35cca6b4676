package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

type connState uint8

const (
	connIdle       connState = iota // has no socket
	connConnecting                  // connect(2) is under way
	connSecuring                    // the TLS handshake is under way
	connUpgrading                   // the opening handshake was sent
	connSetup                       // hello and subscribe were sent
	connReady                       // everything was answered
	connLeaving                     // unsubscribe was sent
)

// conn is one connection. It belongs to its worker.
type conn struct {
	fd      int
	gen     int32 // of the socket; events of an earlier one are void
	state   connState
	role    role
	group   uint8
	armed   bool // EPOLLOUT is asked for
	dirty   bool // is in the worker's list of those with something to send
	pending uint8

	local    int32 // its number at its worker
	plan     int32 // its number in the plan
	channel  string
	base     uint32  // first stream of its channel
	streams  uint32  // streams of its channel; 0 while it is not subscribed
	cell     uint32  // verifier cell of stream base
	acks     []asked // publishes that are not answered, oldest first
	ackHead  int     // of those, how many were answered since
	in       []byte  // start of a frame that is not complete
	part     []byte  // start of a message that is not complete (stream dialects)
	out      []byte  // what the socket did not take yet; with TLS, what is not encrypted yet
	secured  *secured
	openedAt int64    // when it was due to connect
	position Position // in its channel; it stays when the connection ends
}

// asked is a publish that waits for its answer: its stream, and when it was due.
type asked struct {
	stream int32
	at     int64
}

// errClosed is wrapped by all errors that say that a server ended a connection.
var errClosed = errors.New("the server closed the connection")

// stalledBuffer is the receive buffer of readers that stall: a phone's, not that of a machine which has megabytes to
// spare for each.
const stalledBuffer = 16 << 10

// open starts to connect.
func (w *worker) open(i int32, now int64) error {
	c := &w.conns[i]
	fd, err := unix.Socket(w.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	if err := w.bind(fd, c.plan); err != nil {
		unix.Close(fd)
		return err
	}
	if c.role == stalled {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, stalledBuffer) // a larger one stalls too, later
	}
	err = unix.Connect(fd, w.addressOf(c))
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return fmt.Errorf("connect to %s: %w", w.run.target.Host, err)
	}
	if err := noDelay(fd); err != nil {
		unix.Close(fd)
		return err
	}
	c.fd, c.gen, c.openedAt = fd, c.gen+1, now
	c.state, c.armed, c.pending = connConnecting, true, 0
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT, Fd: i, Pad: c.gen}
	if err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	w.handshaking++
	return nil
}

// addressOf is where a connection goes.
func (w *worker) addressOf(c *conn) unix.Sockaddr {
	in := w.subscribers
	if c.channel == "" {
		in = w.publishers
	}
	if len(in) == 0 {
		return w.address
	}
	return in[int(c.plan)%len(in)]
}

// bind gives the socket one of the source addresses.
func (w *worker) bind(fd int, n int32) error {
	if len(w.sources) == 0 {
		return nil
	}
	return bindSource(fd, w.sources[int(n)%len(w.sources)])
}

// bindSource leaves the port open: connect(2) finds one that is free for the pair of addresses.
func bindSource(fd int, source unix.Sockaddr) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.Bind(fd, source); err != nil {
		return fmt.Errorf("bind a source address: %w", err)
	}
	return nil
}

// shut closes the socket at once. Nothing is left in TIME_WAIT, so that thousands can come back.
func (w *worker) shut(c *conn) {
	if c.state == connIdle {
		return
	}
	if c.state < connReady {
		w.handshaking--
	}
	if c.state == connReady {
		w.ready.Add(-1)
	}
	reset(c.fd)
	if c.secured != nil {
		c.secured.end()
		c.secured = nil
	}
	c.state, c.streams = connIdle, 0
	c.in, c.part, c.out = c.in[:0], c.part[:0], c.out[:0]
	w.Unanswered += int64(len(c.acks) - c.ackHead)
	c.acks, c.ackHead = c.acks[:0], 0
}

func (w *worker) connected(c *conn) error {
	errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", w.run.target.Host, err)
	}
	if w.run.tls != nil {
		return w.begin(c)
	}
	return w.upgrade(c)
}

// upgrade sends the opening handshake.
func (w *worker) upgrade(c *conn) error {
	c.state = connUpgrading
	c.out = append(c.out, w.run.requestOf(c)...)
	return w.flush(c)
}

// flush sends what is waiting and asks for EPOLLOUT only if the socket does not take it all.
func (w *worker) flush(c *conn) error {
	out := &c.out
	if c.secured != nil {
		if err := c.secured.seal(c.out); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		c.out = c.out[:0]
		out = &c.secured.sealed
	}
	sent := 0
	for sent < len(*out) {
		n, errno := send(c.fd, (*out)[sent:])
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 {
			return fmt.Errorf("%w (send: %w)", errClosed, errno)
		}
		sent += n
	}
	*out = (*out)[:copy(*out, (*out)[sent:])]
	if wants := len(*out) > 0; wants != c.armed {
		c.armed = wants
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.local, Pad: c.gen}
		if wants {
			ev.Events |= unix.EPOLLOUT
		}
		return unix.EpollCtl(w.ep, unix.EPOLL_CTL_MOD, c.fd, &ev)
	}
	return nil
}

// read takes what the socket has, up to the size of the worker's buffer, and handles all that is complete.
func (w *worker) read(c *conn) error {
	if c.secured != nil {
		n, err := w.receive(c, w.sealed)
		if n == 0 {
			return err
		}
		return w.readSealed(c, n)
	}
	have := copy(w.buf, c.in)
	n, err := w.receive(c, w.buf[have:])
	if n == 0 {
		return err
	}
	return w.takeBytes(c, w.buf[:have+n])
}

// receive returns 0 and no error if there was nothing.
func (w *worker) receive(c *conn, b []byte) (int, error) {
	n, errno := recv(c.fd, b)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, fmt.Errorf("%w (receive: %w)", errClosed, errno)
	case n == 0:
		return 0, errClosed
	}
	w.now = w.run.clock()
	w.reads++
	w.bytes += int64(n)
	return n, nil
}

// takeBytes handles what is complete in b and keeps the rest.
func (w *worker) takeBytes(c *conn, b []byte) error {
	used, err := w.takeAll(c, b)
	if err == nil && c.state != connIdle {
		c.in = append(c.in[:0], b[used:]...)
	}
	w.recordRun(c)
	return err
}

func (w *worker) takeAll(c *conn, b []byte) (used int, err error) {
	if c.state == connUpgrading {
		used, err = w.upgraded(c, b)
		if err != nil || used == 0 {
			return 0, err
		}
	}
	for c.state >= connSetup {
		opcode, start, end, err := parseFrame(b[used:])
		if errors.Is(err, errShort) {
			break
		}
		if err != nil {
			return 0, err
		}
		if err := w.take(c, opcode, b[used+start:used+end]); err != nil {
			return 0, err
		}
		used += end
	}
	return used, nil
}

// take handles one frame.
func (w *worker) take(c *conn, opcode byte, p []byte) error {
	switch opcode {
	case opText, opBinary:
		if w.run.stream && len(c.part) > 0 {
			c.part = append(c.part, p...)
			used, err := w.takeMessages(c, c.part)
			c.part = c.part[:copy(c.part, c.part[used:])]
			return err
		}
		used, err := w.takeMessages(c, p)
		if err == nil {
			c.part = append(c.part, p[used:]...)
		}
		return err
	case opPing:
		w.pings++
		c.out = appendFrame(c.out, opPong, p)
		w.mark(c)
	case opClose:
		if len(p) >= 2 {
			return fmt.Errorf("%w (%d %s)", errClosed, binary.BigEndian.Uint16(p), p[2:])
		}
		return errClosed
	}
	return nil
}

func (w *worker) takeMessages(c *conn, p []byte) (used int, err error) {
	for used < len(p) {
		m, n, err := w.run.dialect.Parse(p[used:])
		if err != nil {
			return 0, fmt.Errorf("server sent %.120q: %w", p[used:], err)
		}
		if n == 0 {
			break
		}
		used += n
		if c.role == steady && c.streams > 0 {
			w.toSteady++
		}
		if m.Kind == Delivery {
			if m.Position.Offset > 0 {
				c.position.Offset = m.Position.Offset
			}
			w.deliver(c, &m)
		} else if err := w.answer(c, &m); err != nil {
			return 0, err
		}
	}
	return used, nil
}

// answer handles everything but deliveries.
func (w *worker) answer(c *conn, m *Message) error {
	switch {
	case m.Kind == Ask:
		w.pings++
		c.out = appendFrame(c.out, w.run.dialect.Opcode(), []byte(m.Text))
		w.mark(c)
	case m.Kind == Greeting:
		return w.greeted(c, m.Text)
	case m.Kind == Refusal && c.state != connReady:
		return fmt.Errorf("the server refused: %s", m.Text)
	case m.Kind == Refusal:
		w.Refused++
		w.refusal(m.Text)
		w.acked(c)
	case m.Kind == Reply && c.state == connReady:
		w.acked(c)
	case m.Kind == Reply:
		w.replied(c, m)
		if c.pending--; c.pending == 0 {
			w.settled(c)
		}
	}
	return nil
}

// upgraded takes the answer to the handshake and sends the set-up behind it.
func (w *worker) upgraded(c *conn, b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > 16<<10 {
			return 0, errors.New("the server's answer to the handshake has no end")
		}
		return 0, nil
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
		line, _, _ := bytes.Cut(b, []byte("\r\n"))
		return 0, fmt.Errorf("the server refused the handshake: %q", line)
	}
	if !bytes.Contains(b[:end], []byte(handshakeAccept)) {
		return 0, errors.New("the server's handshake lacks the right Sec-WebSocket-Accept")
	}
	c.state = connSetup
	w.setUp(c)
	return end + 4, nil
}

// setUp sends hello and subscribe in one write.
func (w *worker) setUp(c *conn) {
	d := w.run.dialect
	if w.run.greets {
		c.pending++ // the answer to what the server says first
	}
	if hello := d.AppendHello(nil, w.run.secret); w.run.auth && len(hello) > 0 {
		c.out = appendFrame(c.out, d.Opcode(), hello)
		c.pending++
	}
	if c.channel != "" {
		if subscribe := w.appendSubscribe(c); len(subscribe) > 0 {
			c.out = appendFrame(c.out, d.Opcode(), subscribe)
			c.pending++
		}
		c.streams = w.run.streamsOf(c)
		if c.role == churner {
			for i := range c.streams {
				w.join(c.cell + i)
			}
		}
	}
	w.mark(c)
	if c.pending == 0 {
		w.settled(c)
	}
}

// settled: the set-up, or the leave-taking, is done.
func (w *worker) settled(c *conn) {
	switch c.state {
	case connSetup:
		c.state = connReady
		w.handshaking--
		w.ready.Add(1)
		if w.handshaking == 0 && len(w.opening) == 0 {
			w.run.signal()
		}
		w.joins.record(c.openedAt, w.now, 1)
		if c.role == churner {
			for i := range c.streams {
				w.joined(c.cell+i, w.run.streams[c.base+i].sent.Load())
			}
			w.stayed = append(w.stayed, stay{c.local, w.now + w.run.hold})
		}
	case connLeaving:
		for i := range c.streams {
			w.left(c.cell + i)
		}
		c.state = connReady // shut counts it out
		w.shut(c)
		w.idle = append(w.idle, c.local)
	}
}

// leave ends a churner's stay.
func (w *worker) leave(c *conn) {
	d := w.run.dialect
	c.state, c.pending = connLeaving, 1
	unsubscribe := d.AppendUnsubscribe(nil, c.channel)
	if len(unsubscribe) == 0 {
		w.settled(c)
		return
	}
	c.out = appendFrame(c.out, d.Opcode(), unsubscribe)
	w.mark(c)
}
