package hub

import "fmt"

// A Ruling is what the rules of a hub say of one channel.
type Ruling struct {
	// Rule is the index in Config.Rules of the rule that counts, -1 if none
	// matches.
	Rule int

	// Owner is what {user} in the rule's Match stands for, "" for nothing.
	Owner string

	// History is what is kept of the channel, with the defaults filled in, and
	// Rewind what a subscriber gets at once that does not ask for any.
	History History
	Rewind  int

	// Presence is who others can see there, with the defaults filled in.
	Presence Presence

	// Who may do what.
	Subscribe, Publish, ReadHistory, ReadPresence Verdict
}

// A Verdict says who may do something with a channel.
type Verdict struct {
	Right Right // Granted, Owner, Users or Nobody

	// Allowed reports whether the user that was asked for may do it without a login.
	Allowed bool
}

// Ruling returns what the rules say of a channel and of a user, "" for a session
// that has none.
func (c *Config) Ruling(channel, user string) Ruling {
	s := settings{rules: compileRules(c.Rules)}
	rule, owner := s.rule(channel)
	if rule == nil {
		granted := Verdict{Right: Granted}
		return Ruling{Rule: -1, Subscribe: granted, Publish: granted, ReadHistory: granted, ReadPresence: granted}
	}
	r := Ruling{Owner: owner, History: rule.History, Rewind: rule.Rewind, Presence: rule.Presence.WithDefaults()}
	for i := range s.rules {
		if &s.rules[i] == rule {
			r.Rule = i
		}
	}
	if kept := rule.History.keeps(); kept.Size > 0 {
		r.History.Bytes = kept.Bytes
	}
	for what, verdict := range map[action]*Verdict{
		subscribing: &r.Subscribe, publishing: &r.Publish, readingHistory: &r.ReadHistory, readingPresence: &r.ReadPresence,
	} {
		right := max(rule.right(what), Granted)
		*verdict = Verdict{right, right.allows(false, owner, user)}
	}
	return r
}

// NeedsLogin reports whether nobody may publish, whatever the channel, without a secret, a
// token or an identity, or without a program being asked. Any goroutine.
func (h *Hub) NeedsLogin() bool { return h.settings.Load().needsLogin() }

func (s *settings) needsLogin() bool {
	return s.Secrets.ReadWrite != "" || s.Tokens != nil || s.OnConnect != nil || s.OnPublish != nil
}

// EverybodyMayPublish reports whether a client of the native protocol may publish to a
// channel without a secret, a token or an identity, and without being asked about by a
// program. Any goroutine.
func (h *Hub) EverybodyMayPublish(channel string) bool {
	s := h.settings.Load()
	if s.needsLogin() {
		return false
	}
	granted := !h.Reserved([]byte(channel))
	rule, owner := s.rule(channel)
	if rule == nil {
		return granted
	}
	return rule.right(publishing).allows(granted, owner, "")
}

// allows reports whether a right is that of a session: granted says whether its login
// gives the access, user is its user, and owner that of the channel.
func (r Right) allows(granted bool, owner, user string) bool {
	switch r {
	case Nobody:
		return false
	case Owner:
		return granted || owner != "" && owner == user
	case Users:
		return granted || user != ""
	}
	return granted
}

// String returns the name of the right in configurations; that of ByDefault is "".
func (r Right) String() string {
	for name, right := range Rights {
		if right == r {
			return name
		}
	}
	if r == ByDefault {
		return ""
	}
	return fmt.Sprintf("Right(%d)", uint8(r))
}
