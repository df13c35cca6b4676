package webrocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// session is what one connection may do and hears. It belongs to the
// connection's loop.
type session struct {
	access     auth.Access
	writer     bool   // logged in with the read-write secret, for whichever access
	failed     uint8  // logins
	limited    uint8  // commands in a row
	generation uint32 // of the rules that access was granted by
	subscriber pubsub.Subscriber
}

// protocol is the native protocol of one hub.
type protocol struct{ *HubHandler }

// OnOpen begins a session that may do nothing yet.
func (p protocol) OnOpen(c *Conn) {
	s := new(session)
	w := c.Loop().Worker().(*worker)
	s.subscriber.Init(w.Shard, c.ID())
	if c.HearsDeflated() {
		s.subscriber.SetKind(pubsub.Deflated)
	}
	w.countsOf(p.HubHandler).connections++
	c.SetValue(s)
}

// OnClose ends the session.
func (p protocol) OnClose(c *Conn, reason error) {
	s, w := c.Value().(*session), c.Loop().Worker().(*worker)
	s.subscriber.Leave()
	delete(w.meters, s)
	w.countsOf(p.HubHandler).connections--
	if log := p.rules.Load().log; log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug("a connection has ended", "address", address(c), "reason", loggable(reason))
	}
}

// loggable is why a connection has ended, without what the client says of that.
func loggable(reason error) error {
	var closed *codec.CloseError
	if errors.As(reason, &closed) && closed.ByPeer {
		return fmt.Errorf("the client closed with %d", closed.Code)
	}
	return reason
}

var errOpcode = codec.CloseError{
	Code: codec.StatusUnsupportedData, Reason: "this hub speaks the other kind of message",
}

// OnMessage obeys one command and replies.
func (p protocol) OnMessage(c *Conn, op Opcode, message []byte) {
	if op != p.Codec.Opcode() {
		c.Close(errOpcode.Code, errOpcode.Reason)
		return
	}
	s, r := c.Value().(*session), p.rules.Load()
	w := c.Loop().Worker().(*worker)
	if r.metered() && p.tooFast(c, s, r, message) {
		return
	}
	cmd := &w.command
	result := invalidData
	err := p.Codec.ParseCommand(message, cmd)
	if err == nil {
		result = p.obey(c, s, r, cmd)
	}
	w.countsOf(p.HubHandler).commands[cmd.Kind][result]++
	if w.watch != nil {
		w.look(p.HubHandler, c, cmd, result, len(message))
	}
	p.reply(c, result, reason(result, err, cmd, r), cmd.ID)
	switch {
	case cmd.Kind == codec.Disconnect:
		c.Close(codec.StatusNormal, "")
	case int(s.failed) >= r.maxFailedLogins:
		c.Close(codec.StatusPolicyViolation, "too many logins have failed")
	}
}

// limitedMax is how many commands in a row may come too fast.
const limitedMax = 10

// tooFast tells whether a message comes faster than it may, and closes the
// connection if that happens again and again. The client is told why.
func (p protocol) tooFast(c *Conn, s *session, r *rules, message []byte) bool {
	w := c.Loop().Worker().(*worker)
	if c.Loop().Within(w.meter(s), len(message), r.commandRate, r.byteRate) {
		s.limited = 0
		return false
	}
	_ = p.Codec.ParseCommand(message, &w.command) // for the id
	w.countsOf(p.HubHandler).commands[w.command.Kind][rateLimited]++
	if w.watch != nil {
		w.look(p.HubHandler, c, &w.command, rateLimited, len(message))
	}
	p.reply(c, rateLimited, "", w.command.ID)
	if s.limited++; s.limited >= limitedMax {
		c.Close(codec.StatusPolicyViolation, "too many commands in a second")
	}
	return true
}

// obey returns the code of the reply.
func (p protocol) obey(c *Conn, s *session, r *rules, cmd *codec.Command) code {
	switch cmd.Kind {
	case codec.Auth:
		return p.login(c, s, r, cmd)
	case codec.Subscribe:
		return p.subscribe(s, r, cmd)
	case codec.Unsubscribe:
		r.hub.Unsubscribe(&s.subscriber, cmd.Channel)
	case codec.Publish:
		return p.publishFor(c, s, cmd)
	case codec.Logout:
		s.logout()
	}
	return success
}

// logout ends access and all subscriptions.
func (s *session) logout() {
	s.access = auth.None
	s.subscriber.Leave()
}

// login grants access. One that fails ends an earlier login.
func (p protocol) login(c *Conn, s *session, r *rules, cmd *codec.Command) code {
	access := auth.Codes[cmd.Access]
	if !r.secrets.Allow(access, cmd.Secret) {
		s.logout()
		s.failed = max(s.failed, s.failed+1)
		r.log.Debug("a login was refused", "address", address(c), "access", cmd.Access)
		return invalidCredentials
	}
	s.access, s.writer, s.generation = access, r.secrets.Writer(cmd.Secret), r.generation
	return success
}

func (p protocol) subscribe(s *session, r *rules, cmd *codec.Command) code {
	switch {
	case s.access < auth.ReadOnly:
		return accessDenied
	case len(cmd.Channel) > r.maxChannelName || !codec.ValidChannelName(cmd.Channel):
		return invalidChannelName
	case s.subscriber.Len() >= r.maxSubscriptions && !r.hub.Subscribed(&s.subscriber, cmd.Channel):
		return limitExceeded
	}
	if _, err := r.hub.SubscribeWithin(r.maxChannels, &s.subscriber, cmd.Channel); err != nil {
		return limitExceeded
	}
	return success
}

func (p protocol) publishFor(c *Conn, s *session, cmd *codec.Command) code {
	if s.access < auth.ReadWrite {
		return accessDenied
	}
	shard := c.Loop().Worker().(*worker).Shard
	err := p.publish(shard, cmd.Channel, cmd.Event, cmd.Data)
	if errors.Is(err, ErrInvalidChannel) {
		return invalidChannel
	}
	return success
}

// replies are the encoded frames of the replies without an id. Nobody writes to
// them.
type replies [codes][]byte

func encodeReplies(c Codec) *replies {
	r := new(replies)
	for i := range r {
		r[i] = codec.AppendFrame(nil, c.Opcode(), c.AppendReply(nil, code(i).String(), nil))
	}
	return r
}

// reason tells the client's developer why a command is malformed, "" if there is
// nothing to tell.
func reason(result code, err error, cmd *codec.Command, r *rules) string {
	switch result {
	case invalidData:
		var invalid *codec.InvalidDataError
		if errors.As(err, &invalid) {
			return invalid.Reason
		}
	case invalidChannelName:
		switch {
		case len(cmd.Channel) == 0:
			return cmd.Kind.String() + ": channel is empty"
		case len(cmd.Channel) > r.maxChannelName:
			return fmt.Sprintf("%v: channel has %d bytes, more than %d", cmd.Kind, len(cmd.Channel), r.maxChannelName)
		}
		return cmd.Kind.String() + ": channel has a control character"
	}
	return ""
}

// reply answers a command. The id is what the client sent, or nil.
func (p protocol) reply(c *Conn, result code, reason string, id []byte) {
	if reason != "" {
		r, ok := p.Codec.(interface {
			AppendReason(dst []byte, errCode, reason string, id []byte) []byte
		})
		if ok {
			c.Send(p.Codec.Opcode(), r.AppendReason(nil, result.String(), reason, id))
			return
		}
	}
	if id == nil {
		c.SendFrame(p.replies[result])
		return
	}
	c.Send(p.Codec.Opcode(), p.Codec.AppendReply(nil, result.String(), id))
}

// frameHeaderMax is the room for a header of an unmasked frame.
const frameHeaderMax = 10

// eventFrame encodes the frame that the subscribers get. The payload is a part of it.
func eventFrame(c Codec, event, channel, data []byte) (frame, payload []byte) {
	const members = `{"event":"","channel":"","data":}`
	b := make([]byte, frameHeaderMax, frameHeaderMax+len(members)+len(event)+len(channel)+len(data))
	b = c.AppendEvent(b, event, channel, data)
	payload = b[frameHeaderMax:]
	var head [frameHeaderMax]byte
	header := codec.AppendHeader(head[:0], c.Opcode(), len(payload))
	frame = b[frameHeaderMax-len(header):]
	copy(frame, header)
	return frame, payload
}
