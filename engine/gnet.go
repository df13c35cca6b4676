package engine

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// handler takes gnet's events.
type handler struct {
	gnet.BuiltinEventEngine
	e *Engine
}

func (h *handler) OnBoot(events gnet.Engine) gnet.Action {
	h.e.events = events
	return gnet.None
}

// OnShutdown is called before the loops end. From then on no turn may be
// scheduled: gnet would write to a file descriptor that it has closed.
func (h *handler) OnShutdown(gnet.Engine) {
	h.e.ports.forget()
	for _, l := range h.e.loops {
		l.events.Store(nil)
	}
}

// OnTick is the clock. gnet calls it first when the loops have begun.
func (h *handler) OnTick() (time.Duration, gnet.Action) {
	if h.e.clock.Add(1) == 1 {
		h.e.life.booted <- h.e.boot()
	}
	h.e.watchLoops(h.e.clock.Load())
	h.e.acceptAgain()
	h.e.watchMemory(memoryInUse())
	if h.e.memoryShort.Load() {
		h.e.cleaner.look(h.e.clock.Load(), collections())
	}
	if h.e.life.draining.Load() {
		h.e.closePorts()
	}
	for _, l := range h.e.loops {
		l.Wake()
	}
	h.e.tlsHandshakes.advance()
	return tick, gnet.None
}

func (h *handler) OnOpen(socket gnet.Conn) ([]byte, gnet.Action) {
	l := h.e.loopOf(socket.EventLoop())
	var in *listener
	var pipe *piped
	switch from := socket.Context().(type) {
	case *pump:
		l.pump = from
		l.epoll = h.e.epollOf(socket.Fd())
		return nil, gnet.None
	case *listener:
		in = from
	case *piped:
		in, pipe = pipes, from
	default:
		in = l.listenerOf(socket.LocalAddr())
	}
	c := &Conn{socket: socket, fd: int32(socket.Fd())}
	switch {
	case pipe != nil:
		c.transport = pipe.transportOf(c)
	case in != nil:
		c.transport = newTransport(c, in)
	}
	socket.SetContext(c)
	l.add(c)
	if in == nil { // not served: it might lack the TLS that its address requires
		h.e.conns.Add(1)
		h.e.admitted.Add(1)
		h.e.log().Error("connection to an unknown local address closed", "address", socket.LocalAddr().String())
		return nil, gnet.Close
	}
	if !h.e.admit(c) {
		return nil, gnet.Close
	}
	return nil, gnet.None
}

// OnTraffic is called with input of a connection, or of the loop's pump. For
// the pump a turn is scheduled after this round of events rather than taken at
// once: a turn closes connections, and gnet may have events of them in this
// round.
func (h *handler) OnTraffic(socket gnet.Conn) gnet.Action {
	b, _ := socket.Next(-1)
	if c, ok := socket.Context().(*Conn); ok {
		c.feed(b)
		if c.loop.giveAway() {
			return gnet.Close
		}
	} else {
		h.e.loopOf(socket.EventLoop()).schedule()
	}
	return gnet.None
}

func (h *handler) OnClose(socket gnet.Conn, err error) gnet.Action {
	c, ok := socket.Context().(*Conn)
	if !ok {
		return gnet.None
	}
	if errors.Is(err, io.EOF) && c.outlives() {
		return gnet.None
	}
	c.socketClosed(err)
	h.e.uncount(c)
	return gnet.None
}

// gnetLog passes gnet's warnings and errors on to the engine's log.
type gnetLog struct{ e *Engine }

func (g gnetLog) Debugf(string, ...any) {}

func (g gnetLog) Infof(string, ...any) {}

func (g gnetLog) Warnf(format string, args ...any) {
	g.e.log().Warn("event loops", "detail", fmt.Sprintf(format, args...))
}

func (g gnetLog) Errorf(format string, args ...any) {
	if !g.e.handleLog(format, args) {
		g.e.log().Error("event loops", "detail", fmt.Sprintf(format, args...))
	}
}

func (g gnetLog) Fatalf(format string, args ...any) {
	g.e.log().Error("event loops", "detail", fmt.Sprintf(format, args...))
}
