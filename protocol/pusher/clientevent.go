package pusher

import (
	"bytes"
	"fmt"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
)

// clientEvent obeys an event that a client sends to the other members of a channel.
// What they get is made anew: nothing of the message reaches them but the name, the
// channel and the data, and who has sent it is what its subscription was signed for.
func (a *App) clientEvent(c *engine.Conn, s *conn, m *message) hub.Code {
	rules := a.settings.Load()
	channel := string(m.channel)
	kind := KindOf(channel)
	why, code := "", hub.AccessDenied
	switch {
	case !rules.ClientEvents:
		why = "the application takes no client events"
	case !bytes.HasPrefix(m.event, []byte("client-")):
		why = "the name of a client event begins with client-"
	case !validText(string(m.event), rules.MaxEventName):
		why, code = fmt.Sprintf("the event's name has control characters, or more than %d bytes", rules.MaxEventName), hub.InvalidData
	case dataSize(m.data) > rules.MaxEventData:
		why, code = fmt.Sprintf("the data has more than %d bytes", rules.MaxEventData), hub.LimitExceeded
	case !kind.is(Private):
		why = "client events are for private and presence channels"
	case !s.Hears(m.channel):
		why = "the connection does not subscribe to the channel"
	case !s.rest().events.Take(c.Loop().Time(), 1, rules.ClientEventRate):
		why, code = fmt.Sprintf("more than %d client events in a second", rules.ClientEventRate), hub.RateLimited
	}
	if why == "" {
		why, code = a.forward(c, s, m, channel)
	}
	if why != "" {
		send(c, errorMessage(clientError{why, codeClientEvent, channel}))
	}
	return code
}

// forward sends a client event to the others.
func (a *App) forward(c *engine.Conn, s *conn, m *message, channel string) (why string, code hub.Code) {
	user := s.more.members[channel] // "" where the channel is not one of presence
	var data []byte
	if m.data != nil {
		data = toHub(m.data)
	}
	result := s.Publish(hub.Publication{
		Channel: m.channel, Event: m.event, Data: data,
		At: c.Loop().Began(), ExceptSelf: true, User: user,
	})
	switch {
	case result.Later != nil: // other nodes store it
		kept := message{bytes.Clone(m.event), nil, bytes.Clone(m.data)}
		result.Later.Then(func(result hub.Result) {
			if !result.OK() {
				send(c, errorMessage(clientError{"the event could not be stored", codeClientEvent, channel}))
				return
			}
			a.hooks.clientEvent(&kept, channel, a.socketID(s.number()), user)
		})
		return "", hub.Success
	case !result.OK():
		return "the hub does not allow it", result.Code
	}
	a.hooks.clientEvent(m, channel, a.socketID(s.number()), user)
	return "", hub.Success
}
