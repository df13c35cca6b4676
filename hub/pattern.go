package hub

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// whyNoPattern returns why something is not a pattern that a session can hear, "" if it
// is one.
func (s *settings) whyNoPattern(pattern []byte) string {
	switch {
	case len(pattern) > s.MaxChannelName || !codec.ValidChannelName(pattern):
		return fmt.Sprintf("pattern must have 1 to %d bytes without control characters", s.MaxChannelName)
	case !pubsub.ValidPattern(pattern):
		return fmt.Sprintf(`pattern must be * or end in ":*", with at most %d ":"`, pubsub.PatternDepth)
	}
	return ""
}

// SubscribePattern makes the session hear every channel that a pattern matches, "*" or
// a prefix that ends in ":" with a "*" behind it, whether the channel exists or not. It
// needs Config.Patterns and the right to subscribe to each such channel. Nothing that
// was published before is replayed. A session that hears such a channel already, or
// another pattern that matches some of them, gets Overlapping: it would hear events
// twice. The pattern is not kept.
func (s *Session) SubscribePattern(pattern []byte) Result {
	h := s.desk.hub
	rules := h.settings.Load()
	switch {
	case !rules.Patterns:
		return Result{Code: NotAvailable}
	case !pubsub.ValidPattern(pattern) || rules.whyNoPattern(pattern) != "":
		return Result{Code: InvalidData, Reason: rules.whyNoPattern(pattern)}
	case !s.mayAll(rules, string(pattern)):
		return Result{Code: AccessDenied}
	case s.HearsPattern(pattern):
		return Result{}
	case s.subscriber.Len() >= rules.MaxSubscriptions || len(s.subscriber.Patterns()) >= rules.MaxPatterns:
		return Result{Code: LimitExceeded}
	}
	if rules.OnSubscribePattern != nil {
		if r := refusal(rules.OnSubscribePattern(s, string(pattern))); !r.OK() {
			return r
		}
	} else if rules.OnSubscribe != nil {
		return Result{Code: AccessDenied} // it decides about channels, of which it cannot be asked one by one
	}
	_, err := h.table.SubscribePattern(&s.subscriber, pattern)
	if errors.Is(err, pubsub.ErrOverlapping) {
		return Result{Code: Overlapping}
	}
	return Result{}
}

// UnsubscribePattern ends what SubscribePattern began, if anything.
func (s *Session) UnsubscribePattern(pattern []byte) {
	s.desk.hub.table.UnsubscribePattern(&s.subscriber, pattern)
}

// HearsPattern reports whether the session hears a pattern.
func (s *Session) HearsPattern(pattern []byte) bool {
	return s.desk.hub.table.SubscribedPattern(&s.subscriber, pattern)
}

// mayAll reports whether the session may subscribe to every channel that a pattern
// matches. Each rule that can match one of them before a rule matches all of them must
// allow it.
func (s *Session) mayAll(rules *settings, pattern string) bool {
	// Some of the channels may be reserved, and those a secret does not open.
	granted := s.access >= auth.ReadOnly && s.desk.hub.reserved.Load() == nil
	if t := s.token(); t != nil && t.grant.MayAll(auth.Subscribe, pattern) {
		granted = true
	}
	prefix := strings.TrimSuffix(pattern, "*")
	for i := range rules.rules {
		rule := &rules.rules[i]
		if !rule.pattern.meets(prefix) {
			continue
		}
		if !rule.right(subscribing).allows(granted, "", s.user()) {
			return false
		}
		if rule.pattern.holds(prefix) {
			return true
		}
	}
	return granted
}

// dropPatterns ends the patterns that the session may not hear any more, and passes the
// notice of each to tell.
func (s *Session) dropPatterns(rules *settings, why string, tell func(Notice)) {
	for _, pattern := range s.subscriber.Patterns() {
		if !rules.Patterns || !s.mayAll(rules, pattern) {
			s.UnsubscribePattern([]byte(pattern))
			tell(Notice{Unsubscribed: why, Pattern: pattern})
		}
	}
}

// holds reports whether the pattern of a rule matches every name with a prefix: it ends
// in "**", and what stands before that matches a beginning of the prefix.
func (p *pattern) holds(prefix string) bool {
	if p.parts[len(p.parts)-1].kind != '+' {
		return false
	}
	_, ok := p.match(prefix) // "**" matches the rest of the prefix as it matches all that follows
	return ok
}

// PatternCount returns how many patterns are heard.
func (h *Hub) PatternCount() int { return h.table.Patterns() }

// Patterns returns the first n patterns that begin with prefix and that somebody hears,
// in that order, and how many such there are.
func (h *Hub) Patterns(prefix string, order pubsub.Order, n int) (first []pubsub.ChannelStats, total int) {
	return h.table.ListPatterns(prefix, order, n)
}

// SubscribePattern is Subscribe for every channel that a pattern matches, "*" or a prefix
// that ends in ":" with a "*" behind it, whether the channel exists or not. Config.Patterns
// does not matter. The Lost of an Event counts events of all of them; its Channel is the
// pattern. Any goroutine.
func (h *Hub) SubscribePattern(pattern string, f func(Event)) (*Subscription, error) {
	if why := h.settings.Load().whyNoPattern([]byte(pattern)); why != "" {
		return nil, fmt.Errorf("webrocket: subscribe to %q: %s", pattern, why)
	}
	s := newSubscription(f)
	s.listener = h.table.ListenPattern([]byte(pattern), s.take)
	go s.run()
	return s, nil
}
