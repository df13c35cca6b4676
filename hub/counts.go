package hub

import (
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// kinds is how many kinds of commands there are, with none.
const kinds = codec.Kinds

// Counts is what one event loop has counted for one hub.
type Counts struct {
	Sessions int
	Commands [kinds][Codes]uint64    // by kind and result
	Tokens   [auth.NumReasons]uint64 // and signatures, by what came of them

	// Recoveries counts subscriptions from a position, by index of RecoveryResults,
	// Duplicates publishes whose key had been used before.
	Recoveries [len(RecoveryResults)]uint64
	Duplicates uint64
}

// RecoveryResults are what can come of a subscription from a position: it went on
// there, or why it did not.
var RecoveryResults = [...]string{
	"recovered",
	string(pubsub.ReasonEpoch), string(pubsub.ReasonExpired), string(pubsub.ReasonAhead), string(pubsub.ReasonNoHistory),
}

// recoveryOf returns the index in RecoveryResults of what came of a subscription.
func recoveryOf(b pubsub.Begun) int {
	return max(slices.Index(RecoveryResults[:], string(b.Reason)), 0)
}

// Add counts what o has counted.
func (c *Counts) Add(o *Counts) {
	c.Sessions += o.Sessions
	for kind := range o.Commands {
		for result, n := range o.Commands[kind] {
			c.Commands[kind][result] += n
		}
	}
	for result, n := range o.Recoveries {
		c.Recoveries[result] += n
	}
	c.Duplicates += o.Duplicates
	for reason, n := range o.Tokens {
		c.Tokens[reason] += n
	}
}

// Counts calls f with what the loop has counted for each hub. The counts are
// valid until f returns.
func (w *Worker) Counts(f func(*Hub, *Counts)) {
	for _, d := range w.desks {
		f(d.hub, &d.counts)
	}
}

// Note counts a command and what came of it, and logs it if it is watched. size
// is the length of its message in bytes; now is the current time by the clock of
// measure.Now.
func (s *Session) Note(now time.Duration, cmd *codec.Command, result Code, size int) {
	s.desk.counts.Commands[cmd.Kind][result]++
	if s.desk.worker.watch != nil {
		s.desk.worker.look(now, s, cmd, result, size)
	}
}
