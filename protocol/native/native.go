// Package native answers the question: how does a client say it in Rocket's own
// protocol?
//
// docs/protocol.md is the protocol as clients see it. A Protocol turns the
// messages of connections into calls of their hub.Session, and the results into
// replies; a codec.Codec is the encoding of both.
//
// The main path: OnMessage decodes one command with the codec, obey calls the
// session's method for it, and reply answers (native.go), or does so later where that needs
// other nodes (later.go). Events reach the
// subscribers without this package, in the forms that forms.go has registered
// with the hub.
//
// # Ownership
//
// A Protocol does not change after New; it serves all event loops at the same
// time.
package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Protocol serves a hub in the native protocol, in one encoding.
type Protocol struct {
	// Version is what the replies to auth call the server, "" for nothing. It is set
	// before the first connection.
	Version string

	hub     *hub.Hub
	codec   codec.Codec
	forms   *forms
	replies [hub.Codes][]byte // the frames of the replies without an id; not modified
}

// New returns the native protocol of a hub, or an error if the hub has no room for
// the forms of another encoding. Those of encodings that are not used any more count
// too; equal values of a Codec are one encoding.
func New(h *hub.Hub, c codec.Codec) (*Protocol, error) {
	p := &Protocol{hub: h, codec: c, forms: formsOf(h, c)}
	if p.forms == nil {
		return nil, fmt.Errorf("the hub %s has no room for another encoding; use the same value of each Codec again", h.Name())
	}
	for code := range p.replies {
		reply := codec.Reply{Err: hub.Code(code).String()}
		p.replies[code] = codec.AppendFrame(nil, c.Opcode(), c.AppendReply(nil, reply))
	}
	return p, nil
}

// Hub makes Protocol a protocol.Protocol.
func (p *Protocol) Hub() *hub.Hub { return p.hub }

// OnOpen begins a session without access.
func (p *Protocol) OnOpen(c *engine.Conn, r *codec.Request) {
	form := p.forms.plain
	if c.HearsDeflated() {
		form = p.forms.deflated
	}
	if err := protocol.Open(c, new(hub.Session), p.hub, form, r); err != nil {
		refuse(c, err)
	}
}

// refuse closes the connection of a client that the hub's OnConnect does not admit.
func refuse(c *engine.Conn, err error) {
	var refused *codec.CloseError
	if errors.As(err, &refused) {
		c.Close(refused.Code, refused.Reason)
	}
}

// OnClose ends the session.
func (p *Protocol) OnClose(c *engine.Conn, reason error) {
	c.Value().(*hub.Session).Close()
	if log := p.hub.Log(); log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug("a connection has ended", "address", protocol.Address(c.RemoteAddr()), "reason", loggable(reason))
	}
}

// loggable returns why a connection has ended, without the reason that the
// client sent.
func loggable(reason error) error {
	var closed *codec.CloseError
	if errors.As(reason, &closed) && closed.ByPeer {
		return fmt.Errorf("the client closed with %d", closed.Code)
	}
	return reason
}

// Unfinished is the Endpoint.Unfinished of the protocol.
var Unfinished = &codec.CloseError{Code: hub.CloseUnfinished, Reason: "a message did not arrive in time"}

var errOpcode = codec.CloseError{
	Code: codec.StatusUnsupportedData, Reason: "this hub speaks the other kind of message",
}

// OnMessage obeys one command and replies.
func (p *Protocol) OnMessage(c *engine.Conn, op codec.Opcode, message []byte) {
	if op != p.codec.Opcode() {
		c.Close(errOpcode.Code, errOpcode.Reason)
		return
	}
	s := c.Value().(*hub.Session)
	if s.Waits() > 0 && p.mustWait(s, message) {
		message = bytes.Clone(message)
		s.Defer(func() {
			c.Guarded(func() { p.obeyMessage(c, s, message, true) })
			unthrottle(c, s)
		})
		throttle(c, s)
		return
	}
	p.obeyMessage(c, s, message, false)
}

// obeyMessage obeys a command and replies. again says that the command has waited.
func (p *Protocol) obeyMessage(c *engine.Conn, s *hub.Session, message []byte, again bool) {
	cmd := protocol.WorkerOf(c.Loop()).Command()
	err := p.codec.ParseCommand(message, cmd)
	if err == nil && !again && p.waits(c, s, cmd, message) {
		return
	}
	tooFast, last := s.TooFast(c.Loop().Time(), len(message))
	var result hub.Result
	var each []codec.Reply
	switch {
	case tooFast: // the command is known for its id and its kind
		result.Code = hub.RateLimited
	case err != nil:
		result = malformed(err)
	case cmd.Channels != nil:
		each = p.subscribeEach(c, s, cmd.Channels, len(message))
	default:
		result = p.obey(c, s, cmd)
	}
	if result.Later != nil {
		p.replyLater(c, s, cmd, result.Later, len(message))
		return
	}
	if each == nil {
		s.Note(c.Loop().Began(), cmd, result.Code, len(message))
	}
	p.replyInTurn(c, s, cmd, result, each)
	for _, n := range s.Notices() {
		p.Notice(c, n)
	}
	switch {
	case last:
		c.Close(hub.CloseTooFast, "too many commands in a second")
	case tooFast:
	case cmd.Kind == codec.Disconnect:
		c.Close(codec.StatusNormal, "")
	case s.Exhausted():
		c.Close(codec.StatusPolicyViolation, "too many logins have failed")
	}
}

// malformed returns the result for a message that is not a command.
func malformed(err error) hub.Result {
	result := hub.Result{Code: hub.InvalidData}
	var why *codec.InvalidDataError
	if errors.As(err, &why) {
		result.Reason = why.Reason
	}
	return result
}

// obey does what a command asks for.
func (p *Protocol) obey(c *engine.Conn, s *hub.Session, cmd *codec.Command) hub.Result {
	switch cmd.Kind {
	case codec.Auth:
		return p.login(c, s, cmd)
	case codec.Subscribe:
		if cmd.Pattern != nil {
			return s.SubscribePattern(cmd.Pattern)
		}
		return explain(cmd, p.subscribe(c, s, cmd))
	case codec.History:
		return s.History(cmd.Channel, pubsub.Query{
			Since: pubsub.Position(cmd.Since), Until: pubsub.Position(cmd.Until), Limit: cmd.Limit, Bytes: pageMax(c),
			Now: c.Loop().Began(),
		})
	case codec.Presence:
		return s.Presence(cmd.Channel, cmd.After, cmd.Limit, pageMax(c))
	case codec.Unsubscribe:
		if cmd.Pattern != nil {
			s.UnsubscribePattern(cmd.Pattern)
		} else {
			s.Unsubscribe(cmd.Channel)
		}
	case codec.Publish:
		return s.Publish(hub.Publication{
			Channel: cmd.Channel, Event: cmd.Event, Data: cmd.Data, Key: cmd.Key, At: c.Loop().Began(),
		})
	case codec.Logout:
		s.Logout()
	}
	return hub.Result{}
}

// pageMax returns how many bytes of what was asked for a page has, beside the first part: a
// client that asks for the next one before it has read this must not be closed for that.
func pageMax(c *engine.Conn) int { return max(c.QueueLimit()/4, 1) }

// subscribeEach subscribes to each channel of a list, as a command of its own would. If so
// many tokens in the list are refused that the connection is to be closed, the rest is not
// tried. size is the length of the message in bytes.
func (p *Protocol) subscribeEach(c *engine.Conn, s *hub.Session, list []codec.Command, size int) []codec.Reply {
	replies := make([]codec.Reply, 0, len(list))
	for i := range list {
		if s.Exhausted() {
			break
		}
		one := &list[i]
		result := p.obey(c, s, one)
		s.Note(c.Loop().Began(), one, result.Code, size)
		reply := replyOf(result, nil)
		reply.Channel = one.Channel
		replies = append(replies, reply)
	}
	return replies
}

// subscribe begins to hear a channel, perhaps with a token or a signature for it.
func (p *Protocol) subscribe(c *engine.Conn, s *hub.Session, cmd *codec.Command) hub.Result {
	start := hub.Start{Presence: cmd.Watch}
	start.Start = pubsub.Start{Since: pubsub.Position(cmd.Since), Rewind: cmd.Rewind, Strict: cmd.Strict, Now: c.Loop().Began()}
	if cmd.Token == "" && cmd.Signature.Hex == "" {
		return s.SubscribeFrom(cmd.Channel, start)
	}
	proof := hub.Proof{Token: cmd.Token}
	if sent := cmd.Signature; sent.Hex != "" {
		proof.Signature = auth.Signature{
			Hub: c.Path(), Client: protocol.ClientID(c), Expires: sent.Expires, KeyID: sent.KeyID, Hex: sent.Hex,
		}
	}
	return s.SubscribeProven(c.Loop().Time(), time.Now(), cmd.Channel, proof, start)
}

// login logs in. A failure is logged at level debug.
func (p *Protocol) login(c *engine.Conn, s *hub.Session, cmd *codec.Command) hub.Result {
	if cmd.Token != "" {
		result := s.LoginToken(c.Loop().Time(), time.Now(), cmd.Token, positionsOf(cmd.Positions))
		if !result.OK() {
			p.hub.Log().Debug("a token was refused", "address", protocol.Address(c.RemoteAddr()), "code", result.Code.String())
		}
		return result
	}
	result := s.Login(auth.Codes[cmd.Access], cmd.Secret)
	if !result.OK() {
		p.hub.Log().Debug("a login was refused", "address", protocol.Address(c.RemoteAddr()), "access", cmd.Access)
	}
	return result
}

// explain puts the name of the command before the reason for an invalid
// argument.
func explain(cmd *codec.Command, result hub.Result) hub.Result {
	if result.Code == hub.InvalidChannelName {
		result.Reason = cmd.Kind.String() + ": " + result.Reason
	}
	return result
}

// reply answers a command, with a reply for each channel of a list.
func (p *Protocol) reply(c *engine.Conn, cmd *codec.Command, result hub.Result, each []codec.Reply) {
	if cmd.ID == nil && each == nil && result == (hub.Result{Code: result.Code}) {
		c.SendFrame(p.replies[result.Code])
		return
	}
	reply := replyOf(result, cmd.ID)
	reply.Results = each
	scratch := protocol.WorkerOf(c.Loop()).Scratch()
	if result.LoggedIn {
		scratch.Login = p.welcome(c, result.Expires)
		reply.Login = &scratch.Login
	}
	scratch.Message = p.codec.AppendReply(scratch.Message[:0], reply)
	c.Send(p.codec.Opcode(), scratch.Message) // which copies it
}

// welcome is what a client is told that has logged in.
func (p *Protocol) welcome(c *engine.Conn, expires time.Duration) codec.Login {
	return codec.Login{
		Client: protocol.ClientID(c), User: protocol.SessionOf(c).User(), Expires: seconds(expires),
		Version: p.Version, PingInterval: wholeSeconds(c.Loop().PingInterval()), MaxMessageSize: c.MessageLimit(),
	}
}

// wholeSeconds returns a time in seconds, rounded up.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// A NoticeCodec is a codec that can tell a client about its token, what it hears by it,
// and who comes and goes.
type NoticeCodec interface {
	AppendNotice(dst []byte, n codec.Notice) []byte
}

// Notice tells a client something that it has not asked for, if the codec is a
// NoticeCodec. It makes Protocol a protocol.Noticer.
func (p *Protocol) Notice(c *engine.Conn, n hub.Notice) {
	words, ok := p.codec.(NoticeCodec)
	if !ok {
		return
	}
	notice := codec.Notice{
		Expires: seconds(n.Expires), Subscribed: n.Subscribed, Unsubscribed: n.Unsubscribed, Unwatched: n.Unwatched,
		Channel: []byte(n.Channel), Reason: n.Reason, Begun: begunOf(n.Begun, true),
	}
	if n.Pattern != "" {
		notice.Pattern = []byte(n.Pattern)
	}
	c.Send(p.codec.Opcode(), words.AppendNotice(nil, notice))
}

// seconds returns a time in whole seconds, -1 for a negative one.
func seconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(d.Round(time.Second) / time.Second)
}
