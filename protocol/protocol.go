// Package protocol answers the question: how do a connection and a hub meet?
//
// The packages below it are protocols, native the first of them. A protocol gets
// the events of connections from engine, opens a session of its hub for each with
// Open, and calls the session's methods with what the client asks for. What the
// session hears reaches the connection by itself: engine.Loop is the sink that
// the hub delivers to.
//
// # Ownership
//
// Everything here is called on the event loop of the connection.
package protocol

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Protocol gets the events of connections, each of which is a session of one
// hub: the value of each connection has a hub.Session, itself or by embedding it.
type Protocol interface {
	engine.Protocol
	Hub() *hub.Hub
}

// A Noticer is a Protocol that can tell clients what they have not asked for.
type Noticer interface {
	Notice(c *engine.Conn, n hub.Notice)
}

// An Ender is a Protocol with a way of its own to close a connection whose time in the
// hub is over (hub.CloseExpired).
type Ender interface {
	End(c *engine.Conn, code uint16, reason string)
}

// NewWorker makes what works for the hubs on a loop.
func NewWorker(l *engine.Loop) *hub.Worker {
	return hub.NewWorker(out{l}, measure.Now)
}

// WorkerOf returns what NewWorker has made for the loop of a connection.
func WorkerOf(l *engine.Loop) *hub.Worker { return l.Worker().(*hub.Worker) }

// Open begins the session s of a connection, for OnOpen to call. If the connection
// has no value yet, s becomes its value; otherwise the value must embed s. form is
// the form in which the session gets events, from Hub.AddForm; r is what OnOpen was
// given.
//
// An error says that the hub's OnConnect refuses the client. It is a
// *codec.CloseError: the protocol closes the connection with that code and reason,
// or with its own. OnClose must call s.Close in any case.
func Open(c *engine.Conn, s *hub.Session, h *hub.Hub, form pubsub.Form, r *codec.Request) error {
	if c.Value() == nil {
		c.SetValue(s)
	}
	l := c.Loop()
	return s.Open(l.Time(), WorkerOf(l), h, c.ID(), form, r, c)
}

// SessionOf returns the session of a connection, nil if it has none.
func SessionOf(c *engine.Conn) *hub.Session {
	if v, ok := c.Value().(interface{ HubSession() *hub.Session }); ok {
		return v.HubSession()
	}
	return nil
}

// Name returns the ID of a connection in logs and the admin API: its loop, its
// number there, by which it is found and which is used again after it, its
// serial number, which is not used again, and its address for the reader.
func Name(c *engine.Conn) string {
	return fmt.Sprintf("%d-%x-%d@%s", c.Loop().Index(), c.ID(), c.Serial(), Address(c.RemoteAddr()))
}

// clients makes the ids of clients.
var clients = maphash.MakeSeed()

// ClientID returns what names a connection to others: to the backend of its client,
// and to those that see who is present. It is another one for each connection, also
// after a restart.
func ClientID(c *engine.Conn) string {
	var b [8]byte
	who := struct {
		loop   *engine.Loop
		serial uint64
	}{c.Loop(), c.Serial()}
	binary.BigEndian.PutUint64(b[:], maphash.Comparable(clients, who))
	var text [11]byte
	base64.RawURLEncoding.Encode(text[:], b[:])
	return string(text[:])
}

// Address returns an address as text, "" if it is not known any more.
func Address(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// out is what a hub.Worker needs of its loop.
type out struct{ *engine.Loop }

// Close closes a connection that is open.
func (o out) Close(id uint64, code uint16, reason string) {
	c := o.Conn(id)
	if c == nil {
		return
	}
	if p, ok := c.Protocol().(Ender); ok {
		p.End(c, code, reason)
		return
	}
	c.Close(code, reason)
}

// Notice tells the client of a connection something, if its protocol can.
func (o out) Notice(id uint64, n hub.Notice) {
	if c := o.Conn(id); c != nil {
		if p, ok := c.Protocol().(Noticer); ok {
			p.Notice(c, n)
		}
	}
}

// Session returns the session of a connection, nil if it has none.
func (o out) Session(id uint64) *hub.Session {
	if c := o.Conn(id); c != nil {
		return SessionOf(c)
	}
	return nil
}

// ClientID returns how others than the operator name a connection.
func (o out) ClientID(id uint64) string {
	if c := o.Conn(id); c != nil {
		return ClientID(c)
	}
	return ""
}

// Name returns how logs name a connection.
func (o out) Name(id uint64) string {
	if c := o.Conn(id); c != nil {
		return Name(c)
	}
	return ""
}
