package pusher

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/rate"
)

// Defaults of Config, and of Webhook.
const (
	DefaultActivityTimeout   = 120 * time.Second
	DefaultAuthWindow        = 600 * time.Second
	DefaultAuthorizeTimeout  = 30 * time.Second
	DefaultCacheTTL          = 30 * time.Minute
	DefaultMaxCacheBytes     = 64 << 20
	DefaultMaxChannelName    = 200
	DefaultMaxEventName      = 200
	DefaultMaxEventData      = 10 << 10
	DefaultMaxEventChannels  = 100
	DefaultMaxBatch          = 10
	DefaultMaxMembers        = 100
	DefaultMaxMemberInfo     = 1 << 10
	DefaultMaxUserID         = 128
	DefaultMaxWatchlist      = 100
	DefaultMaxListedChannels = 10_000
	DefaultClientEventRate   = 10
	DefaultMaxInvalid        = 10
)

// Config holds the settings of an application. ID and Keys must be set; the zero
// value of all else works.
type Config struct {
	// ID is in the paths of the HTTP API.
	ID string

	// Keys are the keys of the application, with their secrets, the oldest first. Each
	// opens all of it, so that one may take the place of another without a pause. The
	// first of them signs webhooks.
	Keys []Key

	// TLSOnly closes connections without TLS with 4000, which makes pusher-js come back
	// with TLS. A connection through a proxy of ForwardedFrom has TLS if the proxy says
	// so: X-Forwarded-Proto: https.
	TLSOnly bool

	// Origins are the origins of pages that may connect, as in engine.Endpoint; others
	// are closed with 4009. If empty, any.
	Origins []string

	// MaxConnections limits the connections of the application; one more is closed with
	// 4100, and comes back in a second. If zero, any number.
	MaxConnections int

	// RefuseForGood closes connections over MaxConnections with 4004 instead: a page
	// that gets that does not try again until it is loaded anew.
	RefuseForGood bool

	// ClientEvents lets clients send events to the other members of a private or
	// presence channel. ClientEventRate is how many one connection may send in a
	// second. If zero, 10.
	ClientEvents    bool
	ClientEventRate int

	// SubscriptionCounts tells the subscribers of a channel how many they are.
	SubscriptionCounts bool

	// Watchlist tells users which of those whom they watch are signed in.
	Watchlist bool

	// AuthorizedOnly closes a connection with 4009 that has neither signed in nor
	// subscribed to a private channel in AuthorizeTimeout. If that is zero, 30 s.
	AuthorizedOnly   bool
	AuthorizeTimeout time.Duration

	// Webhooks are told what happens.
	Webhooks []Webhook

	// ActivityTimeout is the silence after which a client looks whether the server is
	// there. If zero, 120 s; it is a whole number of seconds, at least one.
	ActivityTimeout time.Duration

	// AuthWindow is how far the time in a request of the HTTP API may be from that of
	// the server. If zero, 600 s.
	AuthWindow time.Duration

	// RefuseRepeats refuses a request of the HTTP API that publishes or terminates if this
	// process has taken one with the same signature: nobody who has overheard it can send it
	// again. Two equal events in one second have the same signature, too.
	RefuseRepeats bool

	// RequestRate is how many requests the HTTP API takes in a second; one more gets 429.
	// If zero, any number.
	RequestRate int

	// CacheTTL is how long the last event of a cache channel is kept, and MaxCacheBytes
	// the memory for all of them. If zero, 30 minutes and 64 MiB.
	CacheTTL      time.Duration
	MaxCacheBytes int

	// Limits. Sizes are bytes. If zero: names of channels and events 200, the data of an
	// event 10 KiB, channels of one event 100, events of one batch 10, members of a
	// presence channel 100, what is told of a member 1 KiB, the id of a user 128, the ids
	// of a watchlist 100, channels in one answer of the HTTP API 10,000.
	MaxChannelName, MaxEventName, MaxEventData int
	MaxEventChannels, MaxBatch                 int
	MaxMembers, MaxMemberInfo, MaxUserID       int
	MaxWatchlist, MaxListedChannels            int

	// MaxInvalid is how many messages of a connection may be none of this protocol; the
	// last of them closes it with 1008. If zero, 10.
	MaxInvalid int

	// CompressionThreshold is the shortest event that is compressed for clients that have
	// agreed to compression, in bytes. If zero, 512.
	CompressionThreshold int

	// Log receives what an operator should know. If nil, the log of the hub.
	Log *slog.Logger
}

// Check returns what is wrong with the settings, nil if they can be obeyed.
func (c *Config) Check() error {
	if c.ID == "" || !validSegment(c.ID) {
		return fmt.Errorf("%q cannot be the ID of an application: want letters, digits, - and _", c.ID)
	}
	if len(c.Keys) == 0 {
		return errors.New("an application needs a key")
	}
	for i, k := range c.Keys {
		if !validSegment(k.Key) {
			return fmt.Errorf("%q cannot be a key: want letters, digits, - and _", k.Key)
		}
		if k.Secret == "" {
			return fmt.Errorf("the key %s has no secret", k.Key)
		}
		if slices.ContainsFunc(c.Keys[:i], func(o Key) bool { return o.Key == k.Key }) {
			return fmt.Errorf("the key %s is there twice", k.Key)
		}
	}
	for _, o := range c.Origins {
		if _, err := codec.ParseOrigin(o); err != nil {
			return fmt.Errorf("origin %q: %w", o, err)
		}
	}
	if c.MaxChannelName > codec.MaxChannelName {
		return fmt.Errorf("MaxChannelName is %d; want at most %d", c.MaxChannelName, codec.MaxChannelName)
	}
	for i := range c.Webhooks {
		if err := c.Webhooks[i].Check(); err != nil {
			return fmt.Errorf("webhook %d: %w", i+1, err)
		}
	}
	return nil
}

// validSegment reports whether a text can be a segment of a URL's path as it is.
func validSegment(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return text != ""
}

// settings are a Config with the defaults filled in. They are not modified.
type settings struct {
	Config
	keys    keyring
	origins []string // as browsers spell them
}

func (c Config) withDefaults() *settings {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.ClientEventRate, DefaultClientEventRate},
		{&c.MaxCacheBytes, DefaultMaxCacheBytes},
		{&c.MaxChannelName, DefaultMaxChannelName},
		{&c.MaxEventName, DefaultMaxEventName},
		{&c.MaxEventData, DefaultMaxEventData},
		{&c.MaxEventChannels, DefaultMaxEventChannels},
		{&c.MaxBatch, DefaultMaxBatch},
		{&c.MaxMembers, DefaultMaxMembers},
		{&c.MaxMemberInfo, DefaultMaxMemberInfo},
		{&c.MaxUserID, DefaultMaxUserID},
		{&c.MaxWatchlist, DefaultMaxWatchlist},
		{&c.MaxListedChannels, DefaultMaxListedChannels},
		{&c.MaxInvalid, DefaultMaxInvalid},
		{&c.CompressionThreshold, engine.DefaultCompressionThreshold},
	} {
		*d.field = cmp.Or(*d.field, d.value)
	}
	c.ClientEventRate = min(c.ClientEventRate, rate.Max)
	c.RequestRate = min(c.RequestRate, rate.Max)
	c.AuthorizeTimeout = cmp.Or(c.AuthorizeTimeout, DefaultAuthorizeTimeout)
	c.ActivityTimeout = max(cmp.Or(c.ActivityTimeout, DefaultActivityTimeout).Truncate(time.Second), time.Second)
	c.AuthWindow = cmp.Or(c.AuthWindow, DefaultAuthWindow)
	c.CacheTTL = cmp.Or(c.CacheTTL, DefaultCacheTTL)
	s := &settings{Config: c, keys: ringOf(c.Keys...)}
	for _, o := range c.Origins {
		if o, err := codec.ParseOrigin(o); err == nil {
			s.origins = append(s.origins, o)
		}
	}
	return s
}

// allows reports whether a page of that origin may connect. No origin is no page.
func (s *settings) allows(origin []byte) bool {
	if len(s.origins) == 0 || origin == nil {
		return true
	}
	return slices.ContainsFunc(s.origins, func(allowed string) bool { return codec.MatchOrigin(allowed, origin) })
}
