package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Rule says what holds for the channels whose names it matches. Of a hub's
// rules the first that matches counts, and it alone. A channel that none matches
// is as in a hub without rules.
type Rule struct {
	// Match is a pattern of names. "*" stands for any characters but ":", "**", at
	// the end only, for any characters, and "{user}" for the same as "*": what it
	// stands for is the owner of the channel.
	Match string

	// History is what is kept of the channel. The zero value is nothing.
	History History

	// Rewind is how many events a subscriber that does not ask for any, or whose
	// position is not recovered, gets at once, as far as they are kept. If zero, none.
	Rewind int

	// Force subscribes each user who logs in to the one channel that Match with the
	// name of the user is. Match has {user} then, and no other wildcard.
	Force bool

	// Presence says whether subscribers can see who else is there.
	Presence Presence

	// Subscribe, Publish, ReadHistory and ReadPresence say who may do that. The last
	// two are as Subscribe if they are ByDefault.
	Subscribe, Publish, ReadHistory, ReadPresence Right
}

// History says how many events of a channel are kept, and for how long. Nothing is
// kept unless both are set.
type History struct {
	Size int           // events; at most 100,000
	TTL  time.Duration // from 1 s to 24 h

	// Bytes limits the memory of what is kept, frames and all. If zero, 1 MiB.
	Bytes int64
}

// Limits and defaults of History.
const (
	MaxHistorySize      = 100_000
	MaxHistoryTTL       = 24 * time.Hour
	DefaultHistoryBytes = 1 << 20
)

// A Right says who may do something with a channel.
type Right uint8

const (
	// ByDefault is Granted, or for ReadHistory and ReadPresence what Subscribe is.
	ByDefault Right = iota

	// Granted is for sessions whose login gives that access.
	Granted

	// Owner is for those, and for the user that {user} in the rule's Match
	// stands for.
	Owner

	// Users is for those, and for every session that has a user.
	Users

	// Nobody is for no session: only the program itself and the admin API.
	Nobody
)

// Rights are the names of the rights in configurations.
var Rights = map[string]Right{"grant": Granted, "owner": Owner, "user": Users, "nobody": Nobody}

// right returns who may do something with the rule's channels.
func (r *Rule) right(what action) Right {
	switch {
	case what == publishing:
		return r.Publish
	case what == readingHistory && r.ReadHistory != ByDefault:
		return r.ReadHistory
	case what == readingPresence && r.ReadPresence != ByDefault:
		return r.ReadPresence
	}
	return r.Subscribe
}

// keeps is the rule's history as pubsub has it.
func (h History) keeps() pubsub.History {
	if h.Size <= 0 || h.TTL <= 0 {
		return pubsub.History{}
	}
	bytes := h.Bytes
	if bytes <= 0 {
		bytes = DefaultHistoryBytes
	}
	return pubsub.History{Size: h.Size, TTL: h.TTL, Bytes: bytes}
}

// Check returns what is wrong with the rule, nil if it can be obeyed.
func (r *Rule) Check() error {
	switch h := r.History; {
	case (h.Size > 0) != (h.TTL > 0):
		return errors.New("History needs both Size and TTL; with one of them nothing would be kept")
	case h.Size < 0 || h.Size > MaxHistorySize:
		return fmt.Errorf("History.Size is %d; want 1 to %d", h.Size, MaxHistorySize)
	case h.TTL < 0 || h.TTL > 0 && h.TTL < time.Second || h.TTL > MaxHistoryTTL:
		return fmt.Errorf("History.TTL is %v; want 1s to %v", h.TTL, MaxHistoryTTL)
	case r.Rewind < 0 || r.Rewind > 0 && h.Size == 0:
		return errors.New("Rewind needs a History to take the events from")
	}
	if err := r.Presence.Check(); err != nil {
		return err
	}
	if slices.Contains([]Right{r.Subscribe, r.Publish, r.ReadHistory, r.ReadPresence}, Owner) && !strings.Contains(r.Match, "{user}") {
		return errors.New(`"owner" needs {user} in Match: it says whose the channel is`)
	}
	p, err := compile(r.Match)
	if err == nil && r.Force && p.of("1") == "" {
		err = errors.New("Force needs {user} in Match, and no other wildcard: it says which channel is whose")
	}
	return err
}

// CheckMatch returns what is wrong with the Match of a rule, nil if it is a pattern.
func CheckMatch(match string) error {
	_, err := compile(match)
	return err
}

// A pattern is a Match, taken apart.
type pattern struct {
	parts []part
}

// A part of a pattern is literal text, or stands for other text.
type part struct {
	literal string
	kind    byte // 0: literal; '*': any but ':'; 'u': the same, and it is the user; '+': any
	often   bool // one place of a name may be tried many times: see findOften
}

// compile takes a Match apart.
func compile(match string) (*pattern, error) {
	p := new(pattern)
	users := 0
	for rest := match; rest != ""; {
		i := strings.IndexAny(rest, "*{}")
		if i != 0 {
			if i < 0 {
				i = len(rest)
			}
			p.parts = append(p.parts, part{literal: rest[:i]})
			rest = rest[i:]
			continue
		}
		switch {
		case rest == "**":
			p.parts = append(p.parts, part{kind: '+'})
			rest = ""
		case strings.HasPrefix(rest, "**"):
			return nil, fmt.Errorf("%q: ** stands at the end only", match)
		case rest[0] == '*':
			p.parts = append(p.parts, part{kind: '*'})
			rest = rest[1:]
		case strings.HasPrefix(rest, "{user}"):
			users++
			p.parts = append(p.parts, part{kind: 'u'})
			rest = rest[len("{user}"):]
		default:
			return nil, fmt.Errorf("%q: want {user} where there is a brace", match)
		}
	}
	switch {
	case match == "":
		return nil, errors.New(`Match is missing; write a pattern such as "chat:*"`)
	case users > 1:
		return nil, fmt.Errorf("%q: {user} stands there twice", match)
	}
	for i := 1; i < len(p.parts); i++ {
		if p.parts[i].kind != 0 && p.parts[i-1].kind != 0 {
			return nil, fmt.Errorf("%q: two wildcards in a row; put text between them", match)
		}
	}
	p.findOften()
	return p, nil
}

// findOften finds the wildcards that may be tried at one place in many ways: those behind
// two others of one segment, since these can share what is before that place.
func (p *pattern) findOften() {
	before := 0 // in the segment
	for i := range p.parts {
		switch part := &p.parts[i]; {
		case part.kind != 0:
			part.often = before >= 2
			before++
		case strings.Contains(part.literal, ":") && before < 2:
			before = 0
		}
	}
}

// match reports whether the pattern matches a name, and which user it is of.
func (p *pattern) match(name string) (user string, ok bool) {
	m := matching{parts: p.parts, name: name}
	ok = m.from(0, 0)
	return m.user, ok
}

// meets reports whether the pattern matches some name with a prefix.
func (p *pattern) meets(prefix string) bool {
	m := matching{parts: p.parts, name: prefix, begins: true}
	return m.from(0, 0)
}

// A matching is an attempt to match a name. Clients choose names, so it must not take
// long for any: what has failed is remembered and not tried again. It takes a time that
// grows with the parts and the square of the name, which codec.MaxChannelName limits.
type matching struct {
	parts  []part
	name   string
	begins bool // the name may go on
	user   string
	failed []bool // parts that are tried often, at places of the name; nil: none has failed
}

// from reports whether the parts from index i on match the name from a place on.
func (m *matching) from(i, at int) bool {
	rest := m.name[at:]
	switch {
	case m.begins && rest == "":
		return true // what is left of the parts matches something
	case i == len(m.parts):
		return rest == ""
	}
	part := &m.parts[i]
	switch part.kind {
	case 0:
		if m.begins && strings.HasPrefix(part.literal, rest) {
			return true
		}
		return strings.HasPrefix(rest, part.literal) && m.from(i+1, at+len(part.literal))
	case '+':
		return true
	}
	memo := i*(len(m.name)+1) + at
	if part.often && m.failed != nil && m.failed[memo] {
		return false
	}
	most := strings.IndexByte(rest, ':')
	if most < 0 {
		most = len(rest)
	}
	least := 1 // it stands for one character at least
	if i+1 == len(m.parts) || m.parts[i+1].literal[0] == ':' {
		least = max(most, 1)
	}
	for n := most; n >= least; n-- {
		if m.from(i+1, at+n) {
			if part.kind == 'u' {
				m.user = rest[:n]
			}
			return true
		}
	}
	if part.often {
		if m.failed == nil {
			m.failed = make([]bool, len(m.parts)*(len(m.name)+1))
		}
		m.failed[memo] = true
	}
	return false
}

// A compiled is a Rule with its pattern.
type compiled struct {
	Rule
	pattern *pattern
}

// of returns the channel of a user by a pattern whose only wildcard is {user}, "" for
// other patterns.
func (p *pattern) of(user string) string {
	var name strings.Builder
	users := 0
	for _, part := range p.parts {
		switch part.kind {
		case 0:
			name.WriteString(part.literal)
		case 'u':
			name.WriteString(user)
			users++
		default:
			return ""
		}
	}
	if users == 0 {
		return ""
	}
	return name.String()
}

// compileRules makes rules ready to match. They have been checked.
func compileRules(rules []Rule) []compiled {
	var all []compiled
	for _, r := range rules {
		p, _ := compile(r.Match)
		all = append(all, compiled{r, p})
	}
	return all
}

// rule returns the rule that counts for a channel, nil if none matches, and the
// channel's owner by that rule. No channel has a name above codec.MaxChannelName, and no
// rule is tried for one.
func (s *settings) rule(channel string) (r *compiled, owner string) {
	if len(channel) > codec.MaxChannelName {
		return nil, ""
	}
	for i := range s.rules {
		if owner, ok := s.rules[i].pattern.match(channel); ok {
			return &s.rules[i], owner
		}
	}
	return nil, ""
}

// forcing returns the rules that have Force.
func forcing(rules []compiled) (all []*compiled) {
	for i := range rules {
		if rules[i].Force {
			all = append(all, &rules[i])
		}
	}
	return all
}

// owned reports whether a rule counts for a channel, and makes a user its owner.
func (s *settings) owned(rule *compiled, channel, user string) bool {
	counts, owner := s.rule(channel)
	return counts == rule && owner == user
}

// shadowed returns the index of an earlier rule that matches every name that rule i
// matches, -1 if there is none that is known to.
func shadowed(rules []Rule, i int) int {
	for j := range i {
		before, err := compile(rules[j].Match)
		if err == nil && covers(before, rules[i].Match) {
			return j
		}
	}
	return -1
}

// covers reports whether a pattern matches all that another Match does. The
// wildcards of the other are tried as names of which each stands for one, and as
// very long ones: that is enough for patterns of literals, "*" and "**".
func covers(p *pattern, match string) bool {
	other, err := compile(match)
	if err != nil {
		return false
	}
	for _, fill := range []string{"\x01", "\x01\x02\x01"} {
		for _, tail := range []string{"", fill, fill + ":" + fill} {
			var name strings.Builder
			for _, part := range other.parts {
				switch part.kind {
				case 0:
					name.WriteString(part.literal)
				case '+':
					name.WriteString(tail)
				default:
					name.WriteString(fill)
				}
			}
			if _, ok := p.match(name.String()); !ok {
				return false
			}
		}
	}
	return true
}
