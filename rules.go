package webrocket

import (
	"cmp"
	"log/slog"
	"math"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/pubsub"
)

// rules are what the fields of a HubHandler say, with the defaults filled in.
// Nobody modifies them: Server.Reload replaces them.
type rules struct {
	hub              *pubsub.Hub // the same for all that come after one another
	generation       uint32      // one more than those before
	secrets          Credentials
	log              *slog.Logger
	channels         []string
	lost             func(channel string, n int) []byte
	conflate         bool
	maxSubscriptions int
	maxMessageSize   int
	maxChannels      int
	maxChannelName   int
	maxFailedLogins  int
	commandRate      int
	byteRate         int

	compression          bool
	compressionThreshold int
}

func (h *HubHandler) rulesFor(s *Server, id any, lost func(string, int) []byte) *rules {
	log := h.Log
	if log == nil {
		log = s.log()
	}
	return &rules{
		secrets:          h.Secrets,
		log:              log.With("hub", id),
		channels:         h.Channels,
		lost:             lost,
		conflate:         h.SlowReaders == Conflate,
		maxSubscriptions: limitOf(h.MaxSubscriptions, DefaultMaxSubscriptions),
		maxMessageSize:   min(cmp.Or(h.MaxMessageSize, engine.DefaultMaxMessageSize), engine.MessageMax),
		maxChannels:      limitOf(h.MaxChannels, math.MaxInt),
		maxChannelName:   min(cmp.Or(h.MaxChannelName, codec.MaxChannelName), codec.MaxChannelName),
		maxFailedLogins:  limitOf(h.MaxFailedLogins, DefaultMaxFailedLogins),
		commandRate:      min(max(h.CommandRate, 0), engine.BucketMax),
		byteRate:         min(max(h.ByteRate, 0), engine.BucketMax),

		compression:          h.Compression,
		compressionThreshold: cmp.Or(h.CompressionThreshold, engine.DefaultCompressionThreshold),
	}
}

// limitOf returns the limit that a field stands for.
func limitOf(field, zero int) int {
	switch {
	case field == 0:
		return zero
	case field < 0:
		return math.MaxInt
	}
	return field
}

// metered tells whether commands are counted.
func (r *rules) metered() bool { return r.commandRate > 0 || r.byteRate > 0 }

// holds reports whether a session that logged in by the old rules may stay: the
// secret it used opens its access by these rules too.
func (r *rules) holds(s *session, old *rules) bool {
	secret := old.secrets.ReadOnly
	if s.writer || s.access == auth.ReadWrite {
		secret = old.secrets.ReadWrite
	}
	return s.access == auth.None || r.secrets.Allow(s.access, secret)
}
