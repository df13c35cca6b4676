package pusher

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
)

// A denial is why a subscription is refused.
type denial struct {
	kind   string // "AuthError", "LimitReached" or "InvalidChannel"
	why    string
	status int
	result hub.Code
}

func unauthorized(why string) *denial { return &denial{"AuthError", why, 401, hub.AccessDenied} }
func tooMuch(why string) *denial      { return &denial{"LimitReached", why, 413, hub.LimitExceeded} }

// subscribe obeys pusher:subscribe. The answer goes out before anything else of the
// channel: events that are published from now on are delivered later in the turn.
func (a *App) subscribe(c *engine.Conn, s *conn, channel string, args arguments) hub.Code {
	kind := KindOf(channel)
	who, denied := a.admit(c, s, channel, kind, args)
	if denied == nil {
		denied = a.join(c, s, channel, kind, who)
	}
	if denied == nil {
		if kind.is(Private | OfUser) {
			s.state |= authorized
		}
		return hub.Success
	}
	send(c, subscriptionError(channel, denied.kind, denied.why, denied.status))
	e := clientError{message: denied.why}
	if denied.kind == "AuthError" {
		e.code = codeUnauthorized // of the error; the connection stays
	}
	send(c, errorMessage(e))
	return denied.result
}

// admit returns who subscribes to a presence channel, and why a subscription is
// refused, nil if it is not.
func (a *App) admit(c *engine.Conn, s *conn, channel string, kind Kind, args arguments) (who person, denied *denial) {
	rules := a.settings.Load()
	if !validChannel(channel, rules.MaxChannelName) {
		return person{}, &denial{"InvalidChannel", fmt.Sprintf("the channel's name must be 1 to %d letters, digits and _-=@,.;", rules.MaxChannelName), 400, hub.InvalidChannelName}
	}
	if kind.is(OfUser) {
		if user := s.user(); user == "" || channel != userPrefix+user {
			return person{}, unauthorized("the channel is of another user; sign in first")
		}
		return person{}, nil
	}
	if !kind.is(Private) {
		return person{}, nil
	}
	auth, _ := textOf(args.auth)
	data, _ := textOf(args.channelData)
	if !kind.is(Presence) {
		data = nil
	}
	if !rules.keys.verify(auth, func(dst []byte) []byte {
		return appendChannelText(a.appendSocketID(dst, s.number()), channel, data)
	}) {
		return person{}, unauthorized("the signature in auth is not that of this connection and channel")
	}
	if !kind.is(Presence) {
		return person{}, nil
	}
	if len(data) == 0 {
		return s.signedIn()
	}
	return personOf(rules, data)
}

// A person is a member of a presence channel.
type person struct {
	id   string
	info []byte // JSON, nil for none; valid as long as the message
}

// personOf returns who it is by channel_data. An id may be a number, which is the
// same as a string with its digits.
func personOf(rules *settings, data []byte) (person, *denial) {
	o, err := parseObject(nil, data)
	if err != nil {
		return person{}, unauthorized("channel_data is not a JSON object")
	}
	id, ok := o.string("user_id")
	if !ok {
		var number json.Number
		if json.Unmarshal(o.get("user_id"), &number) == nil {
			id = number.String()
		}
	}
	info := o.get("user_info")
	switch {
	case id == "":
		return person{}, unauthorized("channel_data has no user_id")
	case !validUser(id, rules.MaxUserID):
		return person{}, tooMuch(fmt.Sprintf("user_id has control characters, or more than %d bytes", rules.MaxUserID))
	case len(info) > rules.MaxMemberInfo:
		return person{}, tooMuch(fmt.Sprintf("user_info has more than %d bytes", rules.MaxMemberInfo))
	}
	return person{id, info}, nil
}

// signedIn returns who it is by pusher:signin.
func (s *conn) signedIn() (person, *denial) {
	if s.user() == "" {
		return person{}, unauthorized("channel_data is missing, and nobody has signed in")
	}
	return person{s.more.user, s.more.info}, nil
}

// join makes a connection hear a channel, and answers.
func (a *App) join(c *engine.Conn, s *conn, channel string, kind Kind, who person) *denial {
	if s.Hears([]byte(channel)) {
		send(c, internal("pusher_internal:subscription_succeeded", channel, a.channels.snapshot(channel, kind)))
		return nil
	}
	if !kind.is(Cached) {
		return a.enter(c, s, channel, kind, who)
	}
	// What is published from here on is live, what was before is in the cache.
	a.cache.mu.Lock()
	denied := a.enter(c, s, channel, kind, who)
	var last *cached
	if denied == nil {
		last = a.cache.get(time.Now(), channel)
	}
	a.cache.mu.Unlock()
	switch {
	case denied != nil:
		return denied
	case last == nil:
		send(c, internal("pusher:cache_miss", channel, "{}"))
		if a.cache.misses.note(channel) {
			a.hooks.cacheMiss(channel)
		}
	default:
		send(c, eventMessage([]byte(last.event), []byte(channel), last.data, ""))
	}
	return nil
}
