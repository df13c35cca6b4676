package pubsub

import (
	"sync"
	"time"
)

// sweepMax is how many logs are looked at while a stripe is locked: some tens of
// microseconds.
const sweepMax = 256

// sweepRound is within which time Sweep looks at all logs once.
const sweepRound = time.Minute

// sweepPause is how much later the next step of Sweep comes at the earliest.
const sweepPause = 250 * time.Millisecond

// A hand goes round over the logs of all stripes that keep something.
type hand struct {
	mu     sync.Mutex
	stripe int
	log    int           // in the stripe
	last   time.Duration // when the last step of a sweep was made
}

// visit calls look with the next logs, at most n and at most sweepMax, while their
// stripe is locked, and goes on to the next stripe behind the last. look may change
// the log and end the channel, no other one. It ends the visit by returning false.
func (d *hand) visit(h *Hub, n int, look func(ch *channel) bool) (seen int) {
	st := &h.stripes[d.stripe]
	st.mu.Lock()
	defer st.mu.Unlock()
	for st.kept != nil && d.log < len(st.kept.logs) && seen < min(n, sweepMax) {
		ch := st.kept.logs[d.log]
		seen++
		again := look(ch)
		if d.log < len(st.kept.logs) && st.kept.logs[d.log] == ch {
			d.log++ // else another has its place now
		}
		if !again {
			return seen
		}
	}
	if st.kept == nil || d.log >= len(st.kept.logs) {
		d.stripe, d.log = (d.stripe+1)%stripeCount, 0
	}
	return seen
}

// Sweep drops messages that are older than their channels keep them, ends channels
// that kept nothing else, and forgets keys that are out of date. A call makes one
// step, some times in a second, of a round that takes a minute; other calls return at
// once. It only frees memory: a reader never gets what is too old, swept or not. Any
// goroutine.
func (h *Hub) Sweep(now time.Duration) {
	d := &h.history.sweep
	if !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	passed := now - d.last
	if passed < sweepPause {
		return
	}
	d.last = now
	all := h.history.logs.Load() + stripeCount
	for left := int(all*int64(min(passed, sweepRound))/int64(sweepRound)) + 1; left > 0; {
		at := d.stripe
		left -= d.visit(h, left, func(ch *channel) bool {
			ch.refresh(now)
			return true
		})
		if d.stripe != at {
			left--
			h.keys.sweep(&h.stripes[at], now)
		}
	}
}

// evict makes room where all logs together have more bytes than they may. A hand
// goes round: a log that is not smaller than the mean loses the oldest quarter of
// its messages. So a channel that is published much to pays for itself, and one with
// a single message keeps it. After each sweepMax logs that were too small, half of
// the size is enough.
func (h *Hub) evict() {
	all := &h.history
	over := func() bool { return all.bytes.Load() > all.byteMax.Load() }
	if !over() || !all.evict.mu.TryLock() {
		return // another publisher makes room
	}
	defer all.evict.mu.Unlock()
	for over() {
		enough := all.bytes.Load() / max(all.logs.Load(), 1)
		for found, seen := false, 0; !found && over(); {
			seen += all.evict.visit(h, sweepMax, func(ch *channel) bool {
				if int64(ch.log.bytes) < enough {
					return true
				}
				all.evicted.Add(uint64(ch.loseQuarter()))
				found = true
				return false
			})
			if seen >= sweepMax {
				enough, seen = enough/2, 0
			}
		}
	}
}

// loseQuarter drops the oldest quarter of a channel's messages, at least one, and
// returns how many. The stripe is locked.
func (ch *channel) loseQuarter() int {
	l, was := ch.log, ch.log.bytes
	n := (l.n + 3) / 4
	for range n {
		l.drop()
	}
	ch.logChanged(was)
	ch.endIfUnused()
	return int(n)
}
