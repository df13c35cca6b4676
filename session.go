package webrocket

import (
	"errors"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// session is what one connection may do and hears. It belongs to the
// connection's loop.
type session struct {
	access     auth.Access
	subscriber pubsub.Subscriber
}

// protocol is the native protocol of one hub.
type protocol struct{ *HubHandler }

// OnOpen begins a session that may do nothing yet.
func (p protocol) OnOpen(c *Conn) {
	s := new(session)
	s.subscriber.Init(c.Loop().Worker().(worker).Shard, c.ID())
	c.SetValue(s)
}

// OnClose ends the session.
func (p protocol) OnClose(c *Conn, reason error) {
	c.Value().(*session).subscriber.Leave()
	p.Log.Debug("a connection has ended", "reason", reason)
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
	var cmd codec.Command
	if err := p.Codec.ParseCommand(message, &cmd); err != nil {
		p.reply(c, codeInvalidData, cmd.ID)
		return
	}
	p.reply(c, p.obey(c, c.Value().(*session), &cmd), cmd.ID)
	if cmd.Kind == codec.Disconnect {
		c.Close(codec.StatusNormal, "")
	}
}

// obey returns the error code of the reply, "" for success.
func (p protocol) obey(c *Conn, s *session, cmd *codec.Command) string {
	switch cmd.Kind {
	case codec.Auth:
		return p.login(s, cmd)
	case codec.Subscribe:
		return p.subscribe(s, cmd)
	case codec.Unsubscribe:
		p.hub.Unsubscribe(&s.subscriber, cmd.Channel)
	case codec.Publish:
		return p.publishFor(c, s, cmd)
	case codec.Logout:
		s.access = auth.None
		s.subscriber.Leave()
	}
	return ""
}

// login grants access. One that fails ends an earlier login.
func (p protocol) login(s *session, cmd *codec.Command) string {
	access := auth.Codes[cmd.Access]
	if !p.Secrets.Allow(access, cmd.Secret) {
		s.access = auth.None
		s.subscriber.Leave()
		p.Log.Debug("a login was refused", "access", cmd.Access)
		return codeInvalidCredentials
	}
	s.access = access
	return ""
}

func (p protocol) subscribe(s *session, cmd *codec.Command) string {
	switch {
	case s.access < auth.ReadOnly:
		return codeAccessDenied
	case !codec.ValidChannelName(cmd.Channel):
		return codeInvalidChannelName
	case s.subscriber.Len() >= p.MaxSubscriptions && !p.hub.Subscribed(&s.subscriber, cmd.Channel):
		return codeLimitExceeded
	}
	p.hub.Subscribe(&s.subscriber, cmd.Channel)
	return ""
}

func (p protocol) publishFor(c *Conn, s *session, cmd *codec.Command) string {
	if s.access < auth.ReadWrite {
		return codeAccessDenied
	}
	shard := c.Loop().Worker().(worker).Shard
	err := p.publish(shard, cmd.Channel, cmd.Event, cmd.Data)
	if errors.Is(err, ErrInvalidChannel) {
		return codeInvalidChannel
	}
	return ""
}

// replies are the encoded frames of the replies without an id, by error code.
// Nobody writes to them.
type replies map[string][]byte

func encodeReplies(c Codec) replies {
	r := replies{}
	for _, code := range []string{
		"", codeInvalidData, codeInvalidCredentials, codeInvalidChannelName,
		codeInvalidChannel, codeAccessDenied, codeLimitExceeded,
	} {
		r[code] = codec.AppendFrame(nil, c.Opcode(), c.AppendReply(nil, code, nil))
	}
	return r
}

// reply answers a command. The id is what the client sent, or nil.
func (p protocol) reply(c *Conn, code string, id []byte) {
	if id == nil {
		c.SendFrame(p.replies[code])
		return
	}
	c.Send(p.Codec.Opcode(), p.Codec.AppendReply(nil, code, id))
}

// frameHeaderMax is the room for a header of an unmasked frame.
const frameHeaderMax = 10

// eventFrame encodes the frame that the subscribers get.
func eventFrame(c Codec, event, channel, data []byte) []byte {
	const members = `{"event":"","channel":"","data":}`
	b := make([]byte, frameHeaderMax, frameHeaderMax+len(members)+len(event)+len(channel)+len(data))
	b = c.AppendEvent(b, event, channel, data)
	payload := len(b) - frameHeaderMax
	var head [frameHeaderMax]byte
	header := codec.AppendHeader(head[:0], c.Opcode(), payload)
	frame := b[frameHeaderMax-len(header):]
	copy(frame, header)
	return frame
}
