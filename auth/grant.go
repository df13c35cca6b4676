package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Grant is what a verified token lets a session do. It is immutable, and sessions
// that log in with the same token share it. A nil Grant grants nothing.
type Grant struct {
	User    string          // the claim sub, "" if the token names no user
	ID      string          // the claim jti
	Issued  time.Time       // the claim iat, zero if the token has none
	Expires time.Time       // the claim exp
	End     time.Time       // when a session that holds the grant ends: Expires and the leeway
	Info    json.RawMessage // compact JSON for the presence list, nil if there is none
	Forced  []string        // channels that a login is subscribed to
	Channel string          // of a token for one channel its name, otherwise ""

	entries []Entry // shared by grants with equal claims
	key     *Key    // what the token was signed with
}

// Entry gives rights in one channel, or in all that a pattern matches.
type Entry struct {
	Channel string // a channel, or a pattern: "*", or a prefix that ends in ":" and "*"
	Rights  Right
}

// May reports whether the grant gives every right in want for a channel. It may be
// called from any goroutine and allocates nothing.
func (g *Grant) May(want Right, channel string) bool {
	if g == nil || g.Channel != "" && g.Channel != channel {
		return false
	}
	return g.rightsIn(channel)&want == want
}

// MayAll reports whether the grant gives every right in want for all channels that
// the pattern matches, also those that do not exist yet.
func (g *Grant) MayAll(want Right, pattern string) bool {
	prefix, ok := Pattern(pattern)
	if g == nil || g.Channel != "" || !ok {
		return false
	}
	var have Right
	for _, e := range g.entries {
		if p, ok := Pattern(e.Channel); ok && strings.HasPrefix(prefix, p) {
			have |= e.Rights
		}
	}
	return have&want == want
}

// RenewAt returns when a session that got the grant at now should be told to renew its
// token. That is when 5 to 20 % of the time is left, as r says, which is a random
// number from 0 up to 1, and at least 10 s before the token expires. So the clients
// that logged in together do not all ask for new tokens together.
func (g *Grant) RenewAt(now time.Time, r float64) time.Time {
	left := g.Expires.Sub(now)
	notice := max(time.Duration((0.05+0.15*r)*float64(left)), 10*time.Second)
	return g.Expires.Add(-notice)
}

// Pattern returns the prefix that the names which s matches begin with. ok is false if
// s is not a pattern but the name of a channel: a pattern is "*", or ends in ":*".
func Pattern(s string) (prefix string, ok bool) {
	prefix, ok = strings.CutSuffix(s, "*")
	return prefix, ok && (prefix == "" || strings.HasSuffix(prefix, ":"))
}

// rightsIn returns the rights that the entries give in a channel, all together.
func (g *Grant) rightsIn(channel string) Right {
	var have Right
	for _, e := range g.entries {
		if e.matches(channel) {
			have |= e.Rights
		}
	}
	return have
}

func (e Entry) matches(channel string) bool {
	if prefix, ok := Pattern(e.Channel); ok {
		return strings.HasPrefix(channel, prefix)
	}
	return e.Channel == channel
}

// Entries returns what the grant gives, for an operator to read.
func (g *Grant) Entries() []Entry { return slices.Clone(g.entries) }
