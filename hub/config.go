package hub

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/rate"
)

// Defaults of Config.
const (
	DefaultMaxFailedLogins  = 10
	DefaultMaxSubscriptions = 128
	DefaultMaxHistoryReply  = 1000
	DefaultMaxPatterns      = 8
)

// Config holds the settings of a hub. The zero value works. A limit that is
// negative is no limit.
type Config struct {
	// Secrets are what clients log in with.
	Secrets auth.Credentials

	// Tokens verifies the tokens that clients log in with. If nil, every token is
	// refused. If it is set, an empty secret opens nothing.
	Tokens *auth.Tokens

	// Log receives what concerns this hub: refused logins, and why connections
	// ended, both at level debug. If nil, the server's log.
	Log *slog.Logger

	// Channels are names of channels that exist without a subscriber.
	Channels []string

	// MaxSubscriptions limits the channels of one connection; a further
	// subscription gets limit_exceeded. If zero, 128. Each command searches the
	// list of the connection's channels, so without a limit a client can make
	// its commands slow.
	MaxSubscriptions int

	// MaxChannels limits the channels of the hub; a subscription that would make
	// a further one gets limit_exceeded. If zero, no limit.
	MaxChannels int

	// MaxChannelName limits the length of a channel's name, in bytes. If zero,
	// negative or more than that, 255.
	MaxChannelName int

	// MaxFailedLogins is how many logins of one connection may fail; the last of
	// them closes it. If zero, 10. More than 255: no limit.
	MaxFailedLogins int

	// CommandRate and ByteRate limit the commands, and the bytes of their
	// messages, of one connection in a second; a second's worth may come at once.
	// A command above it gets rate_limited and is not obeyed; the tenth in a row
	// closes the connection. If zero, no limit.
	CommandRate, ByteRate int

	// Rules say what holds for which channels, in this order: the first that
	// matches a channel's name counts. A channel that none matches keeps no
	// history, and secrets alone decide who may use it.
	Rules []Rule

	// MaxHistoryBytes limits the memory of the events that all channels keep. Above
	// it the channels that keep most lose their oldest events first. If zero,
	// 64 MiB.
	MaxHistoryBytes int64

	// MaxHistoryReply limits the events in a reply to the command history, which has
	// 256 KiB of them at most. If zero, 1,000. The reply counts for CommandRate as
	// one command for each 100 events.
	MaxHistoryReply int

	// IdempotencyWindow is how long the key of a publish is remembered at least,
	// and MaxIdempotencyKeys how many keys are. If zero, 2 minutes and 100,000.
	IdempotencyWindow  time.Duration
	MaxIdempotencyKeys int

	// Patterns lets clients subscribe to patterns of channels, and MaxPatterns limits
	// those of one connection, which count for MaxSubscriptions too. If zero, 8.
	Patterns    bool
	MaxPatterns int

	// OnConnect, if it is set, is called for each connection to the hub, once
	// its opening handshake is done. It returns the user of the connection, or
	// nil if it has none. If it returns an error, the connection is closed with
	// 1008 and the text of the error, or with the code and reason of a
	// *codec.CloseError. It is called on the connection's loop and must not
	// block.
	OnConnect func(r *Request) (*Identity, error)

	// OnSubscribe, if it is set, is called before a session that may subscribe
	// becomes a subscriber of a channel or is given what the channel has kept.
	// If it returns an error, the client
	// gets access_denied with the text of the error as the reason. It is called
	// on the session's loop and must not block.
	OnSubscribe func(s *Session, channel string) error

	// OnSubscribePattern is the same for a pattern, with which a session hears all
	// channels that it matches. If it is nil and OnSubscribe is set, no session may
	// subscribe to patterns.
	OnSubscribePattern func(s *Session, pattern string) error

	// OnPublish is the same for an event of a session that may publish. It is
	// not called for events that the program itself publishes.
	OnPublish func(s *Session, e Event) error
}

// Check returns what is wrong with the settings, nil if they can be obeyed.
func (c *Config) Check() error {
	for _, name := range c.Channels {
		if !codec.ValidChannelName([]byte(name)) {
			return fmt.Errorf("%q cannot name a channel: 1 to %d bytes without control characters", name, codec.MaxChannelName)
		}
	}
	for i := range c.Rules {
		if err := c.Rules[i].Check(); err != nil {
			return fmt.Errorf("rule %d, for %q: %w", i+1, c.Rules[i].Match, err)
		}
	}
	return nil
}

// Warnings returns what is allowed in the settings but seldom meant.
func (c *Config) Warnings() []string {
	var all []string
	for i := range c.Rules {
		if j := shadowed(c.Rules, i); j >= 0 {
			all = append(all, fmt.Sprintf("rule %d, for %q, never counts: rule %d, for %q, matches all of that before it",
				i+1, c.Rules[i].Match, j+1, c.Rules[j].Match))
		}
	}
	return all
}

// settings are a Config with the defaults filled in. They are not modified.
type settings struct {
	Config
	generation uint32 // one more than those before
	rules      []compiled
	forcing    []*compiled // those of the rules that have Force
	presence   bool        // a rule has presence
}

// withDefaults returns settings in which every limit is a number to compare with.
func (c Config) withDefaults() *settings {
	c.MaxSubscriptions = limit(c.MaxSubscriptions, DefaultMaxSubscriptions)
	c.MaxPatterns = limit(c.MaxPatterns, DefaultMaxPatterns)
	c.MaxChannels = limit(c.MaxChannels, math.MaxInt)
	c.MaxChannelName = min(limit(c.MaxChannelName, codec.MaxChannelName), codec.MaxChannelName)
	c.MaxFailedLogins = limit(c.MaxFailedLogins, DefaultMaxFailedLogins)
	c.MaxHistoryReply = limit(c.MaxHistoryReply, DefaultMaxHistoryReply)
	c.CommandRate = min(max(c.CommandRate, 0), rate.Max)
	c.ByteRate = min(max(c.ByteRate, 0), rate.Max)
	rules := compileRules(c.Rules)
	present := slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Presence.Mode != PresenceOff })
	return &settings{Config: c, rules: rules, forcing: forcing(rules), presence: present}
}

// allow reports whether a secret gives access. Where there are tokens, an access without
// a secret is for tokens alone.
func (s *settings) allow(access auth.Access, secret string) bool {
	if s.Tokens != nil && access == auth.ReadOnly && s.Secrets.ReadOnly == "" {
		return s.Secrets.Writer(secret)
	}
	if s.Tokens != nil && access == auth.ReadWrite && s.Secrets.ReadWrite == "" {
		return false
	}
	return s.Secrets.Allow(access, secret)
}

// limit returns the limit that a field stands for.
func limit(field, zero int) int {
	switch {
	case field == 0:
		return zero
	case field < 0:
		return math.MaxInt
	}
	return field
}

// whyInvalid returns why a channel cannot have that name.
func (s *settings) whyInvalid(channel []byte) string {
	switch {
	case len(channel) == 0:
		return "channel is empty"
	case len(channel) > s.MaxChannelName:
		return fmt.Sprintf("channel has %d bytes, more than %d", len(channel), s.MaxChannelName)
	}
	return "channel has a control character"
}

// metered reports whether commands are counted.
func (s *settings) metered() bool { return s.CommandRate > 0 || s.ByteRate > 0 }
