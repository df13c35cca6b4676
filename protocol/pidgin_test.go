package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/pubsub"
)

// pidgin is a second protocol for a hub: the secret is in the query (?key=…), and
// a message is a line
//
//	+channel       subscribe
//	-channel       unsubscribe
//	channel text   publish to all others
//
// An event is a line such as "channel: text", an error one such as "! access_denied".
type pidgin struct {
	hub  *webrocket.Hub
	form pubsub.Form
}

// A hub has room for 8 forms: pidgin shares one among all paths that serve the hub.
func newPidgin(h *webrocket.Hub) *pidgin {
	type key struct{}
	form := h.Share(key{}, func() any {
		return h.AddForm(pubsub.Encoding{Base: pubsub.Itself, Encode: encode})
	})
	return &pidgin{h, form.(pubsub.Form)}
}

// encode makes the frame of an event. Its data is JSON, whatever the protocol of
// the publisher; what is no string is shown as it is.
func encode(m pubsub.Message, _ []byte) []byte {
	var text string
	if json.Unmarshal(m.Data, &text) != nil {
		text = string(m.Data)
	}
	line := string(m.Channel) + ": " + text
	return codec.AppendFrame(nil, codec.OpText, []byte(line))
}

// Register makes pidgin a webrocket.Handler, with close codes of its own.
func (p *pidgin) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{
		Protocol:       p,
		MaxQueuedBytes: 1000,
		GoingAway:      &codec.CloseError{Code: 4200, Reason: "come back"},
		SlowReader:     &codec.CloseError{Code: 4100, Reason: "too slow"},
		Silent:         &codec.CloseError{Code: 4201, Reason: "too quiet"},
	}, nil
}

// Hub makes pidgin a protocol.Protocol.
func (p *pidgin) Hub() *webrocket.Hub { return p.hub }

// guest is what pidgin keeps for a connection.
type guest struct {
	webrocket.Session
	room string // of /pidgin/{room}
}

func (p *pidgin) OnOpen(c *webrocket.Conn, r *webrocket.Request) {
	g := &guest{room: r.LastSegment()}
	c.SetValue(g)
	var refused *codec.CloseError
	if err := protocol.Open(c, &g.Session, p.hub, p.form, r); errors.As(err, &refused) {
		c.Close(refused.Code, refused.Reason)
		return
	}
	if !g.Login(auth.ReadWrite, r.Param("key")).OK() {
		c.Close(4001, "no such key")
		return
	}
	if result := g.Subscribe([]byte(g.room)); !result.OK() {
		c.Close(4003, result.Code.String())
	}
}

func (p *pidgin) OnMessage(c *webrocket.Conn, _ webrocket.Opcode, line []byte) {
	g := c.Value().(*guest)
	cmd := codec.Command{}
	var result hub.Result
	switch tooFast, last := g.TooFast(c.Loop().Time(), len(line)); {
	case last:
		c.Close(4002, "too fast")
		return
	case tooFast:
		result.Code = hub.RateLimited
	case bytes.HasPrefix(line, []byte("+")):
		cmd.Kind, cmd.Channel = codec.Subscribe, line[1:]
		result = g.Subscribe(cmd.Channel)
	case bytes.HasPrefix(line, []byte("-")):
		cmd.Kind, cmd.Channel = codec.Unsubscribe, line[1:]
		g.Unsubscribe(cmd.Channel)
	default:
		channel, text, _ := bytes.Cut(line, []byte(" "))
		cmd.Kind, cmd.Channel, cmd.Event = codec.Publish, channel, []byte("line")
		data, _ := json.Marshal(string(text)) // no string is an error
		result = g.Publish(hub.Publication{
			Channel: channel, Event: cmd.Event, Data: data, At: c.Loop().Began(), ExceptSelf: true,
		})
	}
	g.Note(c.Loop().Began(), &cmd, result.Code, len(line))
	if !result.OK() {
		c.Send(webrocket.Text, []byte("! "+result.Code.String()))
	}
}

func (p *pidgin) OnClose(c *webrocket.Conn, _ error) { c.Value().(*guest).Close() }
