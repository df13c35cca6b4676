package webrocket

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/pubsub"
)

// Stats is what a server has counted since it started, and what it holds now.
type Stats struct {
	Loops []LoopStats
	Hubs  []HubStats // by path
}

// LoopStats is the part of one event loop.
type LoopStats struct {
	engine.Stats
	Shard pubsub.Stats
	Stale bool // the loop did not answer in time; the numbers are older

	hubs []hubCounts
}

// HubStats is the part of one hub.
type HubStats struct {
	Path        string
	Connections int
	Channels    int
	Published   uint64 // events from Go, those of clients are Commands
	Commands    []CommandStats
}

// CommandStats counts commands of one kind with one result.
type CommandStats struct {
	Kind   string // as in the protocol; "none" for what is no command
	Result string // the error code, "ok" for success
	Count  uint64
}

// kinds is how many kinds of commands there are, with none.
const kinds = codec.Disconnect + 1

// hubCounts is what a loop counts for a hub.
type hubCounts struct {
	connections int
	commands    [kinds][codes]uint64
}

func (c *hubCounts) add(o *hubCounts) {
	c.connections += o.connections
	for kind := range o.commands {
		for result, n := range o.commands[kind] {
			c.commands[kind][result] += n
		}
	}
}

// commandStats returns the commands that have come.
func (c *hubCounts) commandStats() []CommandStats {
	var all []CommandStats
	for kind := range c.commands {
		for result, n := range c.commands[kind] {
			if n > 0 {
				all = append(all, CommandStats{codec.Kind(kind).String(), cmp.Or(code(result).String(), "ok"), n})
			}
		}
	}
	return all
}

// countsOf returns what the loop counts for a hub.
func (w *worker) countsOf(h *HubHandler) *hubCounts {
	for len(w.hubs) <= h.index {
		w.hubs = append(w.hubs, hubCounts{})
	}
	return &w.hubs[h.index]
}

// nextHub returns the index of a further hub.
func (s *Server) nextHub() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indices++
	return s.indices - 1
}

// statsCache has what each loop has answered last, so that counters go on where
// one does not answer.
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
		w := l.Worker().(*worker)
		fresh[l.Index()] = &LoopStats{Stats: l.Stats(), Shard: w.Stats(), hubs: slices.Clone(w.hubs)}
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]HubStats, 0, len(s.hubs))
	for path, h := range s.hubs {
		var sum hubCounts
		for i := range loops {
			if h.index < len(loops[i].hubs) {
				sum.add(&loops[i].hubs[h.index])
			}
		}
		all = append(all, HubStats{
			Path: path, Connections: sum.connections, Channels: h.rules.Load().hub.Len(),
			Published: h.published.Load(), Commands: sum.commandStats(),
		})
	}
	slices.SortFunc(all, func(a, b HubStats) int { return strings.Compare(a.Path, b.Path) })
	return all
}
