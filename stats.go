package webrocket

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/pubsub"
)

// Stats is what a server has counted since it started, and what it holds now.
type Stats struct {
	Loops []LoopStats
	Hubs  []HubStats // by name
}

// LoopStats is the part of one event loop.
type LoopStats struct {
	engine.Stats
	Shard pubsub.Stats
	Stale bool // the loop did not answer in time; the numbers are older

	hubs map[*Hub]hub.Counts
}

// HubStats is the part of one hub.
type HubStats struct {
	Name        string // the path, unless NewHub was given another
	Connections int
	Channels    int
	Patterns    int    // that somebody hears
	Published   uint64 // events from Go, those of clients are Commands
	Commands    []CommandStats
	Tokens      []TokenStats // of hubs with tokens

	Kept       pubsub.HistoryStats // by the channels that have a history
	Recoveries []RecoveryStats     // one for each result that there can be
	Presence   hub.PresenceStats
	Duplicates uint64 // publishes that were not obeyed because their key had been used
}

// RecoveryStats counts subscriptions from a position with one result: "recovered", or
// the reason of the protocol why not.
type RecoveryStats struct {
	Result string
	Count  uint64
}

// recoveryStats returns what came of the subscriptions from a position.
func recoveryStats(c *hub.Counts) []RecoveryStats {
	var all []RecoveryStats
	for i, n := range c.Recoveries {
		all = append(all, RecoveryStats{hub.RecoveryResults[i], n})
	}
	return all
}

// TokenStats counts tokens and signatures by what came of them.
type TokenStats struct {
	Reason string // "accepted", or why the token was refused
	Count  uint64
}

// tokenStats returns the tokens that have come to a hub.
func tokenStats(h *Hub, c *hub.Counts) []TokenStats {
	if h.Config().Tokens == nil {
		return nil
	}
	var all []TokenStats
	for reason, n := range c.Tokens {
		all = append(all, TokenStats{auth.Reason(reason).String(), n})
	}
	return all
}

// CommandStats counts commands of one kind with one result.
type CommandStats struct {
	Kind   string // as in the protocol; "none" for what is no command
	Result string // the error code, "ok" for success
	Count  uint64
}

// commandStats returns the commands that have come.
func commandStats(c *hub.Counts) []CommandStats {
	var all []CommandStats
	for kind := range c.Commands {
		for result, n := range c.Commands[kind] {
			if n > 0 {
				all = append(all, CommandStats{codec.Kind(kind).String(), cmp.Or(hub.Code(result).String(), "ok"), n})
			}
		}
	}
	return all
}

// statsCache has the last answer of each loop, so that counters do not fall
// when a loop does not answer.
type statsCache struct {
	mu    sync.Mutex
	loops []LoopStats // guarded by mu
}

// Stats asks each loop for its numbers and waits for them. Of a loop that has
// not answered when ctx is done it returns those that came last. Any goroutine
// but a loop's.
func (s *Server) Stats(ctx context.Context) Stats {
	e := s.running()
	if e == nil {
		return Stats{Hubs: s.hubStats(nil)}
	}
	fresh := make([]*LoopStats, len(e.Loops()))
	// The error says that some are missing, as fresh does.
	_ = e.Each(ctx, func(l *engine.Loop) {
		w, hubs := protocol.WorkerOf(l), make(map[*Hub]hub.Counts)
		w.Counts(func(h *Hub, c *hub.Counts) { hubs[h] = *c })
		fresh[l.Index()] = &LoopStats{Stats: l.Stats(), Shard: w.Stats(), hubs: hubs}
	})
	loops := s.stats.update(fresh)
	return Stats{Loops: loops, Hubs: s.hubStats(loops)}
}

// update replaces what is known of those loops that have answered.
func (c *statsCache) update(fresh []*LoopStats) []LoopStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loops == nil {
		c.loops = make([]LoopStats, len(fresh))
	}
	for i, l := range fresh {
		if l != nil {
			c.loops[i] = *l
		}
		c.loops[i].Stale = l == nil
	}
	return slices.Clone(c.loops)
}

// hubStats sums up what the loops have counted for each hub.
func (s *Server) hubStats(loops []LoopStats) []HubStats {
	var all []HubStats
	for _, h := range s.hubs() {
		var sum hub.Counts
		for i := range loops {
			counts := loops[i].hubs[h]
			sum.Add(&counts)
		}
		all = append(all, HubStats{
			Name: h.Name(), Connections: sum.Sessions, Channels: h.Len(), Patterns: h.PatternCount(),
			Published: h.Published(), Commands: commandStats(&sum), Tokens: tokenStats(h, &sum),
			Kept: h.HistoryStats(), Presence: h.PresenceStats(), Recoveries: recoveryStats(&sum), Duplicates: h.Duplicates() + sum.Duplicates,
		})
	}
	return all
}
