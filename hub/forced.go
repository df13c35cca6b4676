package hub

import (
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket/pubsub"
)

// force begins the subscriptions that the session's token and the rules name, each from
// the position in since if there is one that the session may read from. One that a limit
// or OnSubscribe refuses does not begin, nor one to a channel that a pattern matches which
// the session hears. What has begun is among the Notices.
func (s *Session) force(rules *settings, since map[string]pubsub.Position) {
	if t := s.token(); t != nil && t.grant != nil {
		for _, channel := range t.grant.Forced {
			s.begin(rules, channel, ByToken, since[channel])
		}
	}
	if user := s.user(); user != "" {
		for _, rule := range rules.forcing {
			if channel := rule.pattern.of(user); rules.owned(rule, channel, user) {
				s.begin(rules, channel, ByRule, since[channel])
			}
		}
	}
}

// begin subscribes to a channel that the client has not asked for, unless the session hears
// it already.
func (s *Session) begin(rules *settings, channel, by string, since pubsub.Position) {
	name := []byte(channel)
	if s.Hears(name) {
		return
	}
	start := Start{Start: pubsub.Start{Since: since, Now: s.desk.worker.Clock()}}
	if !s.may(rules, readingHistory, name) {
		start.Since = pubsub.Position{}
	}
	r := s.SubscribeFrom(name, start)
	if !r.OK() {
		s.desk.hub.Log().Debug("a subscription at login was refused", "by", by, "code", r.Code.String())
		return
	}
	s.tellBehind(Notice{Subscribed: by, Channel: channel, Begun: r.Begun, Reason: r.Reason})
}

// Give subscribes the session to a channel, whatever its rights, and tells the client. The
// client may end it, and so do a logout and Take. The limits hold, and OnSubscribe is asked.
// Subscribing to what the session hears already changes nothing but that.
func (s *Session) Give(channel string) Result {
	name, t := []byte(channel), s.bear()
	heard := s.Hears(name)
	_, given := t.given[channel]
	if t.given == nil {
		t.given = make(map[string]struct{})
	}
	t.given[channel] = struct{}{}
	r := s.SubscribeFrom(name, Start{Start: pubsub.Start{Now: s.desk.worker.Clock()}})
	switch {
	case !r.OK() && !given:
		delete(t.given, channel)
	case r.OK() && !heard:
		s.tell(Notice{Subscribed: ByServer, Channel: channel, Begun: r.Begun})
	}
	return r
}

// Take ends the session's subscription to a channel, whoever began it, and tells the
// client. It reports whether there was one. A client that may subscribe can do so again.
func (s *Session) Take(channel string) bool {
	if !s.Hears([]byte(channel)) {
		return false
	}
	s.endTold(channel, EndedByServer)
	return true
}

// endTold ends a subscription outside of a command, and tells the client.
func (s *Session) endTold(channel, why string) {
	s.Unsubscribe([]byte(channel))
	s.tell(Notice{Unsubscribed: why, Channel: channel})
}

// DropForbidden ends the subscriptions that the rules in force do not allow, and tells the
// client of each. It is for after Hub.Obey with other rules. If a client reads too slowly for
// that, its connection ends, and with it the rest, as at the end of any.
func (s *Session) DropForbidden() {
	rules := s.desk.hub.settings.Load()
	for _, channel := range s.subscriber.Channels() {
		if s.desk.worker.out.Session(s.subscriber.ID()) == nil {
			return // the protocol would not be told
		}
		if !s.may(rules, subscribing, []byte(channel)) {
			s.endTold(channel, EndedByRule)
		}
	}
	s.dropPatterns(rules, EndedByRule, s.tell)
}

// dropForbidden ends the subscriptions that the session has no right for any more. They are
// among the Notices.
func (s *Session) dropForbidden(rules *settings, why string) {
	t := s.token()
	for _, channel := range s.subscriber.Channels() {
		if !s.may(rules, subscribing, []byte(channel)) {
			s.Unsubscribe([]byte(channel))
			t.notices = append(t.notices, Notice{Unsubscribed: why, Channel: channel})
		}
	}
	s.dropPatterns(rules, why, s.tellBehind)
	slices.SortFunc(t.notices, func(a, b Notice) int { return strings.Compare(a.Channel, b.Channel) })
}
