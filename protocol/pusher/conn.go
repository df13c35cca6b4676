package pusher

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/rate"
)

// A conn is what the protocol keeps for a connection. It belongs to the connection's
// loop.
//
// There may be millions: a field added here is paid for each of them.
type conn struct {
	hub.Session
	more    *more // nil until there is something to keep
	low     uint32
	high    uint16 // with low the number of the connection
	state   state
	invalid uint8 // messages that were none
}

// A state is what has become of a connection: a set of the bits below.
type state uint8

const (
	admitted   state = 1 << iota // it counts for the quota, and has a socket id
	authorized                   // it has signed in, or subscribed to a private channel
)

// is reports whether a state has a bit.
func (s state) is(bit state) bool { return s&bit != 0 }

// number returns what setNumber has set: numberOf the connection.
func (s *conn) number() uint64 { return uint64(s.high)<<32 | uint64(s.low) }

func (s *conn) setNumber(n uint64) { s.low, s.high = uint32(n), uint16(n>>32) }

// more is what few connections have.
type more struct {
	members map[string]string // ids of the user in presence channels, by channel
	user    string            // that has signed in, "" for none
	info    []byte            // of that user, JSON, nil for none
	events  rate.Bucket       // client events
}

// rest returns what few connections have, and makes it if need be.
func (s *conn) rest() *more {
	if s.more == nil {
		s.more = new(more)
	}
	return s.more
}

// user returns who has signed in, "" if nobody has.
func (s *conn) user() string {
	if s.more == nil {
		return ""
	}
	return s.more.user
}

// versions of the protocol that are spoken. Between them clients see no difference.
const (
	oldest = 5
	newest = 7
)

// OnOpen begins a connection. What is wrong with it is told after the handshake, by a
// close code: a page cannot see the status of a refused handshake, and would try again
// for ever.
func (a *App) OnOpen(c *engine.Conn, r *codec.Request) {
	s := new(conn)
	c.SetValue(s)
	form := a.forms.plain
	if c.HearsDeflated() {
		form = a.forms.deflated
	}
	var refused *codec.CloseError
	if err := protocol.Open(c, &s.Session, a.hub, form, r); errors.As(err, &refused) {
		c.Close(refused.Code, refused.Reason)
		return
	}
	rules := a.settings.Load()
	if code, why := a.refusal(rules, c, r); code != 0 {
		turnAway(c, code, why)
		return
	}
	if n := a.open.Add(1); rules.MaxConnections > 0 && n > int64(rules.MaxConnections) {
		a.open.Add(-1)
		code := uint16(codeOverCapacity)
		if rules.RefuseForGood {
			code = codeOverQuota
		}
		turnAway(c, code, "the application has as many connections as it may")
		return
	}
	s.state |= admitted
	s.setNumber(numberOf(c))
	s.Grant(auth.ReadWrite) // what it may is decided by names and signatures
	a.conns.add(s)
	send(c, a.established(s.number(), int(rules.ActivityTimeout/time.Second)))
	if rules.AuthorizedOnly {
		a.expectAuthorization(c, rules.AuthorizeTimeout)
	}
}

// refusal returns why a connection is turned away, 0 if it is not.
func (a *App) refusal(rules *settings, c *engine.Conn, r *codec.Request) (code uint16, why string) {
	if find(rules.keys, r.LastSegment()) == nil {
		return codeNoApp, "there is no application with this key"
	}
	if rules.TLSOnly && c.TLS() == nil && !(c.Forwarded() && r.Header("X-Forwarded-Proto") == "https") {
		return codeTLSOnly, "the application takes connections with TLS only"
	}
	if code, why := checkVersion(r.Param("protocol")); code != 0 {
		return code, why
	}
	if !rules.allows(r.Origin) {
		return codeUnauthorized, "pages of this origin may not connect"
	}
	return 0, ""
}

// checkVersion returns why a version of the protocol is not spoken, 0 if it is.
func checkVersion(version string) (code uint16, why string) {
	if version == "" {
		return codeNoVersion, "the version of the protocol is missing: ?protocol=7"
	}
	n, err := strconv.Atoi(version)
	switch {
	case err != nil:
		return codeBadVersion, "the version of the protocol is not a number"
	case n < oldest || n > newest:
		return codeOtherVersion, fmt.Sprintf("the version of the protocol must be %d to %d", oldest, newest)
	}
	return 0, ""
}

// turnAway closes a connection for a reason that old clients read in an error.
func turnAway(c *engine.Conn, code uint16, why string) {
	send(c, errorMessage(clientError{message: why, code: int(code)}))
	c.Close(code, why)
}

// End closes a connection whose time in the hub is over. What that means to native
// clients, 4001, is another thing here; this client comes back a second later, and the
// hub looks at it anew. It makes App a protocol.Ender.
func (a *App) End(c *engine.Conn, _ uint16, reason string) {
	turnAway(c, codeOverCapacity, reason)
}

// expectAuthorization closes the connection if it is not authorized in time.
func (a *App) expectAuthorization(c *engine.Conn, timeout time.Duration) {
	l, id, serial := c.Loop(), c.ID(), c.Serial()
	time.AfterFunc(timeout, func() {
		l.Post(func() {
			late := l.Conn(id)
			if late == nil || late.Serial() != serial {
				return
			}
			if s, ok := late.Value().(*conn); ok && !s.state.is(authorized) {
				turnAway(late, codeUnauthorized, "the connection has not been authorized in time")
			}
		})
	})
}

// OnClose ends the connection's subscriptions and its user's presence.
func (a *App) OnClose(c *engine.Conn, _ error) {
	s := c.Value().(*conn)
	for _, channel := range s.Channels() {
		a.leave(s, channel)
	}
	if user := s.user(); user != "" {
		a.signOut(s, user)
	}
	if s.state.is(admitted) {
		a.open.Add(-1)
		a.conns.remove(s)
	}
	s.Close()
}

var pong = finish(append(begin(0), `{"event":"pusher:pong","data":"{}"}`...))

// OnMessage obeys one message.
func (a *App) OnMessage(c *engine.Conn, op codec.Opcode, payload []byte) {
	s := c.Value().(*conn)
	if op != codec.OpText {
		c.Close(codec.StatusUnsupportedData, "this protocol has text messages only")
		return
	}
	if tooFast, last := s.TooFast(c.Loop().Time(), len(payload)); tooFast {
		send(c, errorMessage(clientError{message: "messages come too fast", code: codeClientEvent}))
		a.note(c, s, codec.Command{}, hub.RateLimited, len(payload))
		if last {
			c.Close(codeOverCapacity, "messages come too fast")
		}
		return
	}
	m, err := parseMessage(payload)
	if err == nil {
		err = a.handle(c, s, &m, len(payload))
	}
	if err != nil {
		a.note(c, s, codec.Command{}, hub.InvalidData, len(payload))
		a.invalid(c, s, err)
	}
}

// invalid answers a message that is none.
func (a *App) invalid(c *engine.Conn, s *conn, err error) {
	send(c, errorMessage(clientError{message: "invalid message: " + err.Error()}))
	s.invalid = max(s.invalid, s.invalid+1)
	if int(s.invalid) >= a.settings.Load().MaxInvalid {
		c.Close(codec.StatusPolicyViolation, "too many invalid messages")
	}
}

// note counts what a client has asked for.
func (a *App) note(c *engine.Conn, s *conn, cmd codec.Command, code hub.Code, size int) {
	s.Note(c.Loop().Began(), &cmd, code, size)
}

// handle does what a message asks for. An error says that it cannot be read.
func (a *App) handle(c *engine.Conn, s *conn, m *message, size int) error {
	switch string(m.event) {
	case "pusher:ping":
		c.SendFrame(pong)
		return nil
	case "pusher:pong":
		return nil
	case "pusher:subscribe", "pusher:unsubscribe", "pusher:signin":
		return a.command(c, s, m, size)
	}
	switch {
	case bytes.HasPrefix(m.event, []byte("pusher_internal:")):
		// A client has nothing to say there.
	case bytes.HasPrefix(m.event, []byte("pusher:")):
		send(c, errorMessage(clientError{message: "this server does not know the event " + string(m.event)}))
	default:
		result := a.clientEvent(c, s, m)
		a.note(c, s, codec.Command{Kind: codec.Publish, Channel: m.channel, Event: m.event}, result, size)
	}
	return nil
}

var errNoChannel = errors.New("data has no channel")

// command obeys one of the protocol's own events with arguments.
func (a *App) command(c *engine.Conn, s *conn, m *message, size int) error {
	args, err := m.arguments()
	if err != nil {
		return err
	}
	if string(m.event) == "pusher:signin" {
		a.note(c, s, codec.Command{Kind: codec.Auth}, a.signIn(c, s, args), size)
		return nil
	}
	channel, ok := textOf(args.channel)
	if !ok {
		return errNoChannel
	}
	cmd, result := codec.Command{Kind: codec.Subscribe, Channel: channel}, hub.Success
	if string(m.event) == "pusher:subscribe" {
		result = a.subscribe(c, s, string(channel), args)
	} else {
		cmd.Kind = codec.Unsubscribe
		a.leave(s, string(channel))
	}
	a.note(c, s, cmd, result, size)
	return nil
}
