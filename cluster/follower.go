package cluster

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/pubsub"
)

// A logWorld is what a follower needs of its process and of the network. Its methods do not
// call the follower.
type logWorld interface {
	// read asks for the messages of the log from this one on; the answer goes to filled. It
	// may never come.
	read(from uint64)

	// look asks how far the log goes; the answer goes to looked.
	look()

	// found asks for a message to be the first behind the message last, or not at all.
	found(message []byte, last uint64)

	// place gives subscribers an event; silently: it is only kept. at is when it was
	// published, by the clock of the log in nanoseconds.
	place(p *placed, except *pubsub.Subscriber, at int64, silently bool)

	// pass says that all up to an offset has been placed, forget that what is up to it is
	// behind a gap, and begin in which epoch that is, for subscribers to be told. Positions
	// of the epochs that have ended are good up to these.
	pass(offset uint64)
	forget(offset uint64)
	begin(epoch string, ended []pubsub.Position)

	// broke says that the log has lost what was stored, or may have, and how that is known.
	broke(why string)
}

// A message is one of a log.
type message struct {
	seq  uint64
	at   int64 // time of the log, in nanoseconds
	data []byte
}

// A logState is how far a log goes, as its leader knows it.
type logState struct {
	first, last uint64 // last is 0 where there has never been a message
}

// stage is what a follower is doing.
type stage byte

const (
	starting  stage = iota // it does not know how far the log goes
	replaying              // it reads what was there before it
	resuming               // it has read all, and asks whether that is all that there ever was
	following              // it applies what comes
	broken                 // the log has no epoch, or has lost what was stored: a new epoch must begin
)

// A follower follows one log: it applies each message once and in order. What comes by the
// feed may be lost, late or twice; a gap is read from the log. A read begins with the last
// message that was applied: if that is another one by now, the log has lost what was stored,
// and a new epoch begins.
//
// A follower that has just begun cannot find that. It asks, through the log, who has
// followed it for longer: an answer says that nothing is missing before the question. Without one all nodes
// were away, and the log may have been put back to an earlier state meanwhile. Then an epoch
// begins that goes on from the one before: positions of that are good as far as the log went,
// and no others.
//
// A follower knows no network and no clock. Its methods may be called from any goroutine, and
// block while subscribers cannot be served as fast as events come.
type follower struct {
	world    logWorld
	appender *appender
	window   func() (keys time.Duration, most int)
	newEpoch func() uint64 // an id
	wait     time.Duration // for an answer of those that have followed the log for longer
	copies   time.Duration // within which a batch may be stored twice

	live atomic.Bool // the log is followed

	mu       sync.Mutex
	stage    stage
	ledger   ledger
	void     epoch             // that has ended, or none
	ended    []pubsub.Position // up to which epochs that have ended are good
	sure     bool              // nothing that was stored is missing, as far as nodes know
	question uint64            // number of the message that asked for that, 0: it has not come back
	since    time.Duration     // when it came back
	passed   uint64
	gap      bool               // what is applied does not follow what has been placed, and is not placed
	held     map[uint64]message // that came by the feed after a gap
	size     int                // bytes of held
	top      uint64             // the highest number that is known
	verify   bool               // the last message must be read again before the next is applied
	asked    time.Duration      // when world was asked last
	asking   bool
	short    time.Duration // since when the log is said to be shorter than what was applied, 0: it is not
	beyond   time.Duration // since when something is held that the log is said not to have, 0: nothing is
	gapped   time.Duration // when a gap began that nothing has mended, 0: none
	progress time.Duration // when a message was applied
	counts   followed
	seen     atomic.Pointer[LogStats] // the counts as they were lately
}

// followed is what a follower has counted.
type followed struct {
	gaps, filled, breaks, unreadable, events, jumps uint64
}

// counted sets what the follower has counted, unless it is busy: then as it was before.
func (f *follower) counted(l *LogStats) {
	if f.mu.TryLock() {
		c := &f.counts
		now := LogStats{Gaps: c.gaps, Filled: c.filled, Breaks: c.breaks, Events: c.events, Forgotten: c.jumps}
		now.Sequence = max(f.ledger.next, 1) - 1
		now.Lag = max(f.top, now.Sequence) - now.Sequence
		f.mu.Unlock()
		f.seen.Store(&now)
	}
	if s := f.seen.Load(); s != nil {
		l.Sequence, l.Lag, l.Events = s.Sequence, s.Lag, s.Events
		l.Gaps, l.Filled, l.Breaks, l.Forgotten = s.Gaps, s.Filled, s.Breaks, s.Forgotten
	}
}

// Limits and times of a follower.
const (
	logHeldMax   = 16 << 20 // bytes that are held after a gap; beyond them all is read
	askAgain     = time.Second
	shortFor     = 2 * time.Second // a leader that is none any more knows that by then
	lookEvery    = 300 * time.Millisecond
	tailAfter    = 50 * time.Millisecond // what is known to be in the log should have come by then
	suspectAfter = 1500 * time.Millisecond
	offsetStep   = 1 << 32         // how far a new epoch begins above all known offsets
	endedMax     = 100             // epochs that have ended whose positions may be good
	aloneAfter   = 2 * time.Second // without an answer a node that has begun is the first one
)

// take takes a message from the feed.
func (f *follower) take(now time.Duration, m message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.top = max(f.top, m.seq)
	switch {
	case f.stage == broken:
		f.adopt(now, m)
	case f.stage == starting:
		f.hold(m)
	case m.seq < f.ledger.next:
		f.again(now, m)
	case f.follows() && m.seq == f.ledger.next && !f.suspicious(now) && !f.foreign(m):
		f.apply(now, m)
		if f.applyHeld(now); len(f.held) > 0 {
			f.ask(now)
		}
	default:
		if f.follows() && !f.asking && m.seq > f.ledger.next {
			f.counts.gaps++
		}
		f.hold(m)
		f.ask(now)
	}
}

// suspicious reports whether the log may have been interrupted, so that the last message is
// to be read again: there has been none for some time.
func (f *follower) suspicious(now time.Duration) bool {
	f.verify = f.verify || now-f.progress > suspectAfter
	return f.verify
}

// again looks at a message whose number has been applied.
func (f *follower) again(now time.Duration, m message) {
	if !f.follows() || f.ledger.has(m.seq, m.at) {
		return
	}
	f.rupture(now, f.ledger.epoch, "a number has come again with another message")
	f.adopt(now, m)
}

// foreign reports whether a message of the feed is of another epoch, and does not begin one. It may
// be late, and not in the log any more: what is there is read.
func (f *follower) foreign(m message) bool {
	h, _, err := parseLogHead(m.data)
	return err == nil && f.ledger.epoch.id != 0 && h.epoch.id != f.ledger.epoch.id && h.epoch.seq != m.seq
}

// hold keeps a message that cannot be applied yet, if there is room. Of two with one number neither
// is kept: which one is in the log is read.
func (f *follower) hold(m message) {
	switch before, ok := f.held[m.seq]; {
	case ok && before.at != m.at:
		f.drop(before)
		return
	case ok, f.size+len(m.data) > logHeldMax, f.foreign(m):
		return
	case f.held == nil:
		f.held = make(map[uint64]message)
	}
	f.size += len(m.data)
	m.data = append([]byte(nil), m.data...)
	f.held[m.seq] = m
}

// applyHeld applies what is held and follows.
func (f *follower) applyHeld(now time.Duration) {
	for f.follows() && !f.verify {
		m, ok := f.held[f.ledger.next]
		if !ok {
			break
		}
		if f.drop(m); f.foreign(m) {
			break
		}
		f.apply(now, m)
	}
	for seq, m := range f.held {
		if seq < f.ledger.next {
			f.drop(m)
		}
	}
}

// drop drops a message that is held.
func (f *follower) drop(m message) {
	delete(f.held, m.seq)
	f.size -= len(m.data)
}

// ask asks for what follows.
func (f *follower) ask(now time.Duration) {
	if f.asking && now-f.asked < askAgain {
		return
	}
	f.asking, f.asked = true, now
	f.world.read(f.from())
}

// from is the number that a read begins with: that of the last message applied, if there is
// one.
func (f *follower) from() uint64 {
	if f.ledger.first == 0 {
		return f.ledger.next
	}
	return f.ledger.next - 1
}

// filled takes the answer to world.read: messages of the log from this number on, without a
// gap, and how far the log goes, nil if that is not known. It need not be if there are
// several and they begin with that number.
func (f *follower) filled(now time.Duration, from uint64, list []message, state *logState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stage == broken && len(list) > 0 {
		last := list[len(list)-1]
		if f.adopt(now, last); f.stage == broken {
			f.proclaim(last.seq)
		}
		return
	}
	if !f.asking || !f.reads() || from != f.from() {
		return
	}
	f.asking = false
	if state != nil {
		f.judgeHeld(now, state.last)
	}
	if !f.goesOn(now, from, list, state) {
		return
	}
	had := f.ledger.next
	for _, m := range list {
		f.top = max(f.top, m.seq)
		if m.seq == f.ledger.next && f.reads() {
			f.counts.filled++
			f.apply(now, m)
		}
	}
	if f.stage == replaying && f.ledger.next > f.top {
		f.replayed()
	}
	f.applyHeld(now)
	if f.reads() && f.ledger.next > had && f.ledger.next <= f.top {
		f.ask(now) // else a replica lags: tick asks again
	}
}

// judgeHeld drops what is held and not in the log, which goes to last: it was there before the log
// lost it, perhaps. Where it is on its way to those who say how far the log goes, it is read again.
func (f *follower) judgeHeld(now time.Duration, last uint64) {
	f.top = last
	for seq, m := range f.held {
		if seq > last && (m.at < f.ledger.clock || f.beyond != 0 && now-f.beyond >= shortFor) {
			f.drop(m)
		} else {
			f.top = max(f.top, seq)
		}
	}
	switch {
	case f.top == last:
		f.beyond = 0
	case f.beyond == 0:
		f.beyond = now
	}
}

// reads reports whether messages are applied.
func (f *follower) reads() bool { return f.follows() || f.stage == replaying }

// follows reports whether messages are applied as they come.
func (f *follower) follows() bool { return f.stage == following || f.stage == resuming }

// goesOn reports whether what was read is what follows here.
func (f *follower) goesOn(now time.Duration, from uint64, list []message, state *logState) bool {
	known := f.ledger.first > 0
	switch {
	case state != nil && f.ledger.epoch.id == 0 && state.last < f.ledger.next: // there was another log
		f.stage, f.ledger = starting, ledger{}
		return false
	case state != nil && state.last+1 < f.ledger.next: // the log is shorter than it was
		f.shorter(now, known && len(list) > 0 && list[0].seq == from && f.ledger.has(from, list[0].at))
		return false
	case len(list) > 0 && list[0].seq == from:
		if known && !f.ledger.has(from, list[0].at) {
			f.rupture(now, f.ledger.epoch, "the last message is another one")
			return false
		}
	case state == nil:
		return false // a replica that lags
	case state.first > f.ledger.next:
		f.jump(now, state.first)
		return false
	case state.first < f.ledger.next:
		return false
	}
	f.verify, f.short = false, 0
	return true
}

// shorter takes in that the log is said to be shorter than what was applied. A node that was
// cut off may say so, as it takes itself for the leader until it hears the others. So it does
// not count where a replica has the last message that was applied, nor before it has been
// said for some time.
func (f *follower) shorter(now time.Duration, has bool) {
	switch {
	case has:
		f.short = 0
	case f.short == 0:
		f.short = now
	case now-f.short >= shortFor:
		f.rupture(now, f.ledger.epoch, "the log is shorter than it was")
	}
}

// jump goes on behind messages that the log does not keep any more.
func (f *follower) jump(now time.Duration, next uint64) {
	if f.stage == following {
		f.counts.jumps++
		f.live.Store(false)
	}
	f.stage, f.gap = replaying, true
	f.ledger.next, f.ledger.first = next, 0
	f.ask(now)
}

// looked takes the answer to world.look.
func (f *follower) looked(now time.Duration, s logState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.top = max(f.top, s.last)
	switch {
	case f.stage == broken && s.first <= s.last && s.last > 0:
		f.world.read(s.last) // another node may have proclaimed an epoch
	case f.stage == broken:
		f.proclaim(s.last)
	case f.stage != starting:
	case s.first > s.last || s.last == 0: // it is empty
		f.stage, f.void = broken, f.ledger.epoch
		f.proclaim(s.last)
	default:
		f.stage, f.gap, f.asking = replaying, true, false
		if f.ledger.next == 0 {
			f.ledger.next = s.first
		}
		f.ask(now)
	}
}

// proclaim begins an epoch behind the last message of the log, unless another node is faster.
func (f *follower) proclaim(last uint64) {
	e := epoch{id: f.newEpoch(), seq: last + 1}
	if f.passed > 0 {
		if least := f.passed + offsetStep; e.offset(e.seq, 0) < least {
			e.shift = least - e.offset(e.seq, 0)
		}
	}
	f.world.found(emptyMessage(logHead{batchHead: batchHead{from: e.id, number: 1}, epoch: e}), last)
}

// adopt goes on with an epoch that has begun after the last one was void.
func (f *follower) adopt(now time.Duration, m message) {
	h, _, err := parseLogHead(m.data)
	e := h.epoch
	if err != nil || e.id == 0 || e.id == f.void.id || e.seq == 0 || e.seq > m.seq {
		return
	}
	if e.offset(m.seq, 0) <= f.passed {
		f.void = e // another one must begin, with offsets that grow
		return
	}
	if f.void.id == 0 && (m.seq > e.seq || h.after != 0) { // there was more than this node has seen
		f.stage, f.ledger, f.held, f.size = starting, ledger{}, nil, 0
		f.world.look()
		f.asked = now
		return
	}
	f.ledger, f.ended, f.sure = ledger{next: e.seq}, nil, true
	f.stage, f.gap = following, false
	f.held, f.size, f.asking, f.verify, f.top = nil, 0, false, false, m.seq
	if m.seq == e.seq {
		f.apply(now, m)
		return
	}
	f.stage, f.gap = replaying, true
	f.hold(m)
	f.ask(now)
}

// rupture notes that an epoch is void: what was stored is not there any more.
func (f *follower) rupture(now time.Duration, of epoch, why string) {
	f.world.broke(why)
	f.counts.breaks++
	f.stage, f.void, f.short = broken, of, 0
	f.held, f.size, f.asking = nil, 0, false
	f.live.Store(false)
	f.appender.use(epoch{})
	f.world.look()
	f.asked = now
}

// replayed ends the replay.
func (f *follower) replayed() {
	switch {
	case f.ledger.epoch.id == 0:
		f.stage, f.held, f.size = broken, nil, 0 // the log says nothing of an epoch
	case f.sure:
		f.goLive()
	default:
		f.stage, f.question = resuming, 0
		f.appender.ask(f.ledger.epoch)
	}
}

// heard takes in what a batch says to a node that asks who has followed the log for longer.
func (f *follower) heard(now time.Duration, m message, a *applied, b *appliedBatch) {
	e := f.ledger.epoch
	switch {
	case b.asks() && b.from == f.appender.id:
		if f.question == 0 {
			f.question, f.since = m.seq, now
		}
	case f.question == 0: // the message may be older than this node
	case b.answers == f.appender.id && a.epoch.id == e.id, e.seq == m.seq:
		f.sure = true
		f.goLive()
	}
}

// resume begins an epoch that goes on from the present one, behind the last message, unless
// another node is faster: nobody knows whether that was the last one.
func (f *follower) resume() {
	e := epoch{id: f.newEpoch(), seq: f.ledger.next, shift: f.ledger.epoch.shift}
	f.world.found(emptyMessage(logHead{batchHead: batchHead{from: e.id, number: 1}, epoch: e, after: f.ledger.epoch.id}), e.seq-1)
}

// goLive begins to deliver what comes.
func (f *follower) goLive() {
	f.stage = following
	if f.gap {
		f.mend(f.passed)
	}
	f.ledger.sure = 0 // what the log has forgotten is older than keys get
	f.begin()
}

// begin makes the epoch known.
func (f *follower) begin() {
	f.live.Store(true)
	f.world.begin(f.ledger.epoch.String(), f.ended)
	f.appender.use(f.ledger.epoch)
}

// apply applies the next message.
func (f *follower) apply(now time.Duration, m message) {
	f.progress, f.gapped = now, 0
	had := f.ledger.epoch.id
	window, most := f.window()
	a, err := f.ledger.apply(m.seq, m.at, m.data, window, f.copies, most)
	if err != nil {
		f.counts.unreadable++
		return
	}
	if !f.begins(now, m, &a, had) {
		return
	}
	e := f.ledger.epoch
	if f.gap && !a.unsure {
		f.mend(e.before(m.seq))
	}
	own, mine := -1, []*waiting(nil)
	for i := range a.batches {
		if b := &a.batches[i]; b.from == f.appender.id {
			own, mine = i, f.appender.stored(now, b.number, b.events)
		}
	}
	f.passed = e.before(m.seq + 1)
	if !f.gap {
		for i := range a.batches {
			if i != own {
				f.place(m, a.batches[i].events, nil)
			} else {
				f.place(m, a.batches[i].events, mine)
			}
		}
		f.world.pass(f.passed)
	}
	for i := range a.batches {
		switch b := &a.batches[i]; {
		case f.stage == resuming:
			f.heard(now, m, &a, b)
		case f.stage == following && b.asks() && b.from != f.appender.id:
			f.appender.answer(b.from)
		}
	}
}

// begins takes in that an epoch has begun, if one has. It reports whether the message counts.
// had is the id of the epoch before.
func (f *follower) begins(now time.Duration, m message, a *applied, had uint64) bool {
	e := f.ledger.epoch
	switch {
	case a.ended.id != 0:
		f.ended = append(f.ended, pubsub.Position{Epoch: a.ended.String(), Offset: e.before(m.seq)})
		f.ended = slices.Clone(f.ended[max(len(f.ended)-endedMax, 0):])
		if f.stage == following {
			f.world.broke("all other nodes that follow it were away while this one was cut off")
			f.begin()
		}
	case !a.began:
	case e.offset(m.seq, 0) <= f.passed, a.after != 0 && had == 0 && f.void.id != 0:
		// It does not go on from what this node knows.
		f.rupture(now, e, "it has an epoch that does not go on from what was stored")
		return false
	default:
		f.ended, f.passed = nil, e.before(m.seq)
		f.world.forget(f.passed)
		if f.stage == following {
			f.begin()
			if had != 0 {
				f.counts.breaks++
				f.world.broke("another node has found it")
			}
		}
	}
	return true
}

// place gives subscribers the events of a batch.
func (f *follower) place(m message, events []placed, mine []*waiting) {
	for i := range events {
		p := &events[i]
		if p.duplicate {
			continue
		}
		var except *pubsub.Subscriber
		if i < len(mine) {
			except = mine[i].except
		}
		f.counts.events++
		f.world.place(p, except, m.at, f.stage != following)
	}
}

// mend ends a gap: all behind an offset is known.
func (f *follower) mend(offset uint64) {
	f.gap = false
	f.world.forget(offset)
}

// suspect makes the follower read the last message again before it goes on: it was cut off,
// and what has come before that may have been lost since.
func (f *follower) suspect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.size, f.top = nil, 0, 0
	switch f.stage {
	case following, resuming:
		f.verify = true
	case replaying:
		f.stage = starting // how far the log goes may be another place now
	}
}

// reaches notes that a message is in the log.
func (f *follower) reaches(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.top = max(f.top, seq)
}

// tick is called several times a second.
func (f *follower) tick(now time.Duration) {
	if !f.mu.TryLock() {
		return // it applies a message
	}
	defer f.mu.Unlock()
	switch f.stage {
	case starting, broken:
		if now-f.asked >= lookEvery {
			f.asked = now
			f.world.look()
		}
	case replaying:
		f.ask(now)
	case following, resuming:
		if now-f.progress > cutAfter {
			f.verify = true // not even batches of this node come
		}
		if f.ledger.next > f.top && !f.verify {
			f.gapped = 0
			if f.stage == resuming && f.question > 0 && now-f.since >= f.wait && now-f.asked >= lookEvery {
				f.asked = now
				f.resume()
			}
			return
		}
		if f.gapped == 0 {
			f.gapped = now
		}
		if now-f.gapped >= tailAfter {
			f.ask(now)
		}
	}
}
