package pubsub

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// backlogMax is how many bytes may wait on a shard before its loop goes on
// delivering without turning to anything else, and before publishers elsewhere
// have to wait.
const backlogMax = 4 << 20

// portion is how many members one audience is served before the next has its
// turn, so that a small channel does not wait for a large one.
const portion = 256

// A Sink takes what a shard delivers. The loop that owns the shard is one.
type Sink interface {
	// Deliver gives a run to the members ids, in order, and returns how many it
	// has served: at least one, fewer than all if its slice of time is used up.
	// Called on the loop only; it must not change any subscription.
	Deliver(ids []uint64, run *delivery.Run) int

	// Wake makes the loop call Work soon. Any goroutine.
	Wake()
}

// State is what is left to do after Work.
type State int

const (
	Idle  State = iota // nothing is left to do
	More               // call again soon: the slice of time is used up
	Ahead              // wait a little, then call again: another shard has to catch up
)

// A Shard is the part of all hubs that lives on one loop.
type Shard struct {
	sink    Sink
	seats   [formsMax]seat
	backlog atomic.Int64 // bytes of frames that no walk has begun with

	mu    sync.Mutex
	inbox []*audience // have frames and are not active; guarded by mu

	// The loop's own.
	active  queue[audience] // in the order in which they are served
	current *audience       // that is being served
	spare   []*audience     // the inbox's other array
	ahead   *Shard          // a shard that this loop has published too much to
	buffers [][]byte        // for joined runs, empty
	stats   Stats
	catchup catchup

	// When the runs were published whose walks have ended since Written was
	// called last.
	walked []time.Duration

	// Clock, if it is set, is read in Written, and Stats.Delivery is measured
	// from Message.At to then. Set it before anything is published. Loop only.
	Clock func() time.Duration
}

// Stats is what a shard holds, and has measured since it began.
type Stats struct {
	Subscriptions int

	// Behind is how many of them read the log, or wait for it: the subscriber was
	// away, is slow, or has just joined.
	Behind int

	// Delivery is how long it took from the publishing of the first message of a
	// run until its walk on this loop had ended and all that was delivered in the
	// same turn had been written, if there is a Clock.
	Delivery measure.Histogram
}

// Stats returns a copy. Loop only.
func (s *Shard) Stats() Stats { return s.stats }

// delivered notes the end of the walk with a run that was published then.
func (s *Shard) delivered(since time.Duration) {
	if s.Clock != nil {
		s.walked = append(s.walked, since)
	}
}

// Written measures the deliveries that the last calls of Work have ended. It is to
// be called when the Sink has sent them. Loop only.
func (s *Shard) Written() {
	if len(s.walked) == 0 {
		return
	}
	now := s.Clock()
	for _, since := range s.walked {
		s.stats.Delivery.Observe(now - since)
	}
	s.walked = s.walked[:0]
}

// NewShard returns a shard that delivers to sink.
func NewShard(sink Sink) *Shard {
	s := &Shard{sink: sink}
	s.catchup.pace, _ = sink.(Replayer)
	if s.catchup.pace == nil {
		s.catchup.pace = unpaced{}
	}
	for f := range s.seats {
		s.seats[f] = seat{s, Form(f)}
	}
	return s
}

// enqueue adds an audience that was idle. Any goroutine.
func (s *Shard) enqueue(a *audience) {
	s.mu.Lock()
	first := len(s.inbox) == 0
	s.inbox = append(s.inbox, a)
	s.mu.Unlock()
	if first {
		s.sink.Wake()
	}
}

func (s *Shard) overloaded() bool { return s.backlog.Load() > backlogMax }

// Work delivers what has been published, until there is nothing left or the
// Sink's slice of time is used up. Loop only.
func (s *Shard) Work() State {
	defer s.giveUp()
	s.take()
	alone := s.active.len() == 1 && s.catchup.queue.len() == 0
	for s.active.len() > 0 {
		a := s.active.pop()
		if len(a.run.Items) == 0 && !a.load() {
			continue
		}
		s.current = a
		inTime := s.walk(a, alone)
		s.current = nil
		if len(a.run.Items) > 0 || a.load() {
			s.active.push(a)
		}
		if !inTime && !s.overloaded() {
			s.replayOne()
			return More
		}
	}
	s.replayAll()
	state := s.waiting()
	if state == Idle && s.catchup.queue.len() > 0 {
		return More
	}
	return state
}

// walk serves the next portion of an audience, and reports whether all of it was
// served within the slice of time.
func (s *Shard) walk(a *audience, alone bool) bool {
	if a.behind > 0 {
		s.admit(a)
	}
	next := a.next()
	served := 0
	if len(next) > 0 {
		a.joinFrames()
		a.run.Alone = alone
		served = s.sink.Deliver(next, &a.run)
	}
	a.cursor += served
	if a.cursor == a.end() {
		a.finish()
	}
	return served == len(next)
}

// giveUp ends a walk in which the Sink panics, at once, so that the positions of
// members are right afterwards. Which members have got the run is not known, and none
// may get it twice; those that may have missed it are told.
func (s *Shard) giveUp() {
	a := s.current
	if a == nil {
		return
	}
	s.current = nil
	missed, lost := slices.Clone(a.ids[a.cursor:a.end()]), a.missed()
	a.finish()
	s.active.push(a)
	s.admitLate(a)
	for _, id := range missed {
		for _, l := range lost {
			s.catchup.pace.Lost(id&^delivery.Several, l)
		}
	}
}

// take moves what the inbox holds behind the active audiences.
func (s *Shard) take() {
	s.mu.Lock()
	fresh := s.inbox
	s.inbox = s.spare
	s.mu.Unlock()
	for i, a := range fresh {
		s.active.push(a)
		fresh[i] = nil
	}
	s.spare = fresh[:0]
}

// waiting reports whether this loop must let another one catch up.
func (s *Shard) waiting() State {
	if s.ahead == nil {
		return Idle
	}
	if s.ahead.overloaded() {
		return Ahead
	}
	s.ahead = nil
	return Idle
}

func (s *Shard) getBuffer() []byte {
	if n := len(s.buffers); n > 0 {
		b := s.buffers[n-1]
		s.buffers = s.buffers[:n-1]
		return b
	}
	return make([]byte, 0, runMax)
}

// buffersMax is how many buffers a shard keeps. A burst on many large channels
// needs more; they are for the garbage collector.
const buffersMax = 16

func (s *Shard) putBuffer(b []byte) {
	if len(s.buffers) < buffersMax {
		s.buffers = append(s.buffers, b[:0])
	}
}
