package engine

import (
	"context"
	"io"
	"math"
	"net"
	"slices"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// A Simulation runs an Engine without ports, sockets and a clock: connections
// come from Dial, and time passes in Advance. Handshake, framing, limits,
// deadlines and the order of events are the engine's own. There is one loop,
// with a goroutine of its own. Package webrockettest makes clients of it.
//
// Its methods may be called from any goroutine but the loop's.
type Simulation struct {
	engine *Engine
	loop   *Loop
	calls  chan func()   // for the loop's goroutine
	due    chan struct{} // a turn is
	halted chan struct{}

	ends []*End // of open connections, at the index that is their file descriptor; the loop's
}

// An End is the client's end of a connection of a Simulation.
type End struct {
	simulation *Simulation
	conn       *Conn
	receive    func(b []byte, ended bool) []byte

	// The loop's.
	arrived []byte // for receive
	ended   bool   // the server sends nothing more
	told    bool   // receive knows that
	paused  bool   // the client does not read: writes to it fail with EAGAIN
	watched bool   // the loop wants to learn of more room
}

// Simulate is Listen without ports. Shutdown ends it.
func (e *Engine) Simulate() (*Simulation, error) {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	switch {
	case e.life.stopping.Load():
		return nil, ErrStopped
	case e.listeners != nil:
		return nil, errStartedBefore
	}
	e.config.Loops, e.config.ReusePort = 1, false
	caps, err := capsOf(e.config, false)
	if err != nil {
		return nil, err
	}
	e.caps.Store(caps)
	e.maxFiles = math.MaxInt32 // none is used
	e.listeners = []*listener{}
	s := &Simulation{engine: e, calls: make(chan func()), due: make(chan struct{}, 1), halted: make(chan struct{})}
	s.loop = newLoop(e, 0, s)
	e.loops, e.simulation = []*Loop{s.loop}, s
	s.loop.attach(eventLoop{due: s.due})
	go s.run()
	return s, nil
}

// run is the loop's goroutine.
func (s *Simulation) run() {
	for {
		select {
		case f := <-s.calls:
			f()
		case <-s.due:
			s.loop.turn()
			s.settle()
		case <-s.halted:
			s.end()
			return
		}
	}
}

// end is what gnet and Engine.run do when the loops end.
func (s *Simulation) end() {
	e := s.engine
	s.loop.events.Store(nil)
	for _, end := range s.ends {
		if end != nil {
			s.gone(end, nil)
		}
	}
	close(e.life.loopsEnded)
	e.tlsHandshakes.close()
	e.cleaner.working.Wait()
	s.loop.end()
	close(e.life.stopped)
}

// Do calls f on the loop, and returns when nothing is left to do there: turns
// are taken, and clients have got what was written and have answered. It
// returns false, and f is not called, if the engine has stopped.
func (s *Simulation) Do(f func()) bool {
	done := make(chan struct{})
	select {
	case s.calls <- func() {
		defer close(done)
		f()
		s.settle()
	}:
		<-done
		return true
	case <-s.engine.life.stopped:
		return false
	}
}

// Advance lets time pass, a tick of 250 ms at a time. It rounds up.
func (s *Simulation) Advance(d time.Duration) {
	for range inTicks(d) {
		s.Do(func() {
			s.engine.clock.Add(1)
			s.loop.turn()
		})
	}
}

// Dial connects a client whose address is from. receive is called on the loop
// with what the client reads, and returns what it answers; b is empty when
// ended says that the server sends nothing more. It returns nil if the engine
// has stopped, or closes the connection at once because too many are refused.
func (s *Simulation) Dial(from net.Addr, receive func(b []byte, ended bool) []byte) (end *End) {
	s.Do(func() {
		fd := slices.Index(s.ends, nil) // the lowest that is free, as the kernel does
		if fd < 0 {
			fd = len(s.ends)
			s.ends = append(s.ends, nil)
		}
		e := &End{simulation: s, receive: receive, conn: &Conn{socket: plug{remote: from}, fd: int32(fd)}}
		s.ends[fd] = e
		s.loop.add(e.conn)
		if !s.engine.admit(e.conn) {
			s.gone(e, nil)
			return
		}
		end = e
	})
	return end
}

// Write sends bytes to the server, which may be split or joined as on a
// network. They are lost if the connection is closed.
func (e *End) Write(b []byte) {
	e.simulation.Do(func() { e.feed(append([]byte(nil), b...)) })
}

// HangUp ends the connection without a Close frame, as the failure of a network
// does.
func (e *End) HangUp(reason error) {
	e.simulation.Do(func() { e.simulation.gone(e, reason) })
}

// SetPaused stops the client from reading, so that what is sent to it stays
// queued in the server, or lets it read again.
func (e *End) SetPaused(paused bool) {
	e.simulation.Do(func() {
		e.paused = paused
		switch {
		case paused:
		case !e.open():
			e.hear() // that the connection has ended
		case e.watched:
			e.watched = false
			e.simulation.loop.writable(e.conn.slot)
		}
	})
}

func (e *End) open() bool { return e.simulation.ends[e.conn.fd] == e }

func (e *End) feed(b []byte) {
	if e.open() {
		e.conn.feed(b)
	}
}

// settle takes turns and lets clients answer until nothing is left to do.
func (s *Simulation) settle() {
	for again := true; again; {
		again = false
		select {
		case <-s.due:
			s.loop.turn()
			again = true
		default:
		}
		for _, e := range s.ends {
			again = e != nil && e.hear() || again
		}
	}
}

// hear gives the client what has arrived, and reports whether there was
// anything.
func (e *End) hear() bool {
	if e.paused || len(e.arrived) == 0 && (e.told || !e.ended) {
		return false
	}
	b := e.arrived
	e.arrived, e.told = nil, e.ended
	if answer := e.receive(b, e.ended); len(answer) > 0 {
		e.feed(answer)
	}
	if e.ended && e.open() {
		e.simulation.gone(e, io.EOF) // as clients do when the other side has ended
	}
	return true
}

// gone is gnet's OnClose.
func (s *Simulation) gone(e *End, reason error) {
	if !e.open() {
		return
	}
	e.conn.socketClosed(reason)
	s.ends[e.conn.fd] = nil
	s.engine.uncount(e.conn)
	e.ended = true
	e.hear()
}

// The sockets of a Simulation: see sockets.

func (s *Simulation) write(fd int32, b []byte) (int, error) {
	e := s.ends[fd]
	switch {
	case e == nil:
		return 0, unix.EBADF
	case e.paused:
		return 0, unix.EAGAIN
	}
	e.arrived = append(e.arrived, b...)
	return len(b), nil
}

func (s *Simulation) writeAll(batch []sending) bool { return writeEach(s, batch) }

func (s *Simulation) watch(c *Conn) error {
	s.ends[c.fd].watched = true
	return nil
}

func (s *Simulation) abandon(int32) {}

func (s *Simulation) finish(fd int32) { s.ends[fd].ended = true }

func (s *Simulation) close(c *Conn) {
	if e := s.ends[c.fd]; e != nil && e.conn == c {
		s.gone(e, nil)
	}
}

// eventLoop is all that a loop asks of gnet's.
type eventLoop struct {
	gnet.EventLoop
	due chan struct{}
}

func (t eventLoop) Execute(_ context.Context, _ gnet.Runnable) error {
	select {
	case t.due <- struct{}{}:
	default:
	}
	return nil
}

// plug is all that a connection asks of its gnet.Conn.
type plug struct {
	gnet.Conn
	remote net.Addr
}

func (p plug) RemoteAddr() net.Addr { return p.remote }
