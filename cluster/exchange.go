package cluster

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A world is what an exchange needs of its process and of the network.
type world interface {
	// tellAll sends a message to all other nodes, tell to one. Either may be lost.
	tellAll(message []byte)
	tell(node uint64, message []byte)

	// publish gives an event of another node to the subscribers here. It may wait.
	publish(r *record)

	// lose tells subscribers what does not come: r.lost events of a channel; of all
	// channels some, perhaps, if r is nil.
	lose(r *record)
}

// An exchange is the rules by which a node takes what others send. It knows no socket and
// no clock. Its methods may be called from any goroutine; now is a time since a moment that
// does not change.
type exchange struct {
	id    uint64 // of this incarnation of the node
	name  string
	out   *outbox
	world world
	wall  func() int64 // the time in milliseconds since 1970, that others are told

	sending sync.Mutex // held while batches and beats are sent, so that a beat comes behind its batches

	standing atomic.Uint64 // questions that stand and that this node has learned

	turn sync.Mutex // held while a message is taken, or time passes, also while subscribers are waited for

	mu      sync.Mutex       // of what follows; who changes peers holds turn before
	settled bool             // what is heard for the first time from now on has begun, or was missed
	peers   map[uint64]*peer // by incarnation
	counts  inCount
}

// inCount is what an exchange has counted.
type inCount struct {
	events  uint64 // that came from other nodes
	gaps    uint64 // that were seen
	mended  uint64 // batches that came after a gap was seen, and filled it
	told    uint64 // events that subscribers were told of as lost
	toldAll uint64 // times that all subscribers were told that some may be lost
	unknown uint64 // messages that cannot be read
}

func newExchange(id uint64, name string, w world) *exchange {
	return &exchange{
		id: id, name: name, out: newOutbox(id), world: w, peers: make(map[uint64]*peer),
		wall: func() int64 { return time.Now().UnixMilli() },
	}
}

// flush sends what has been put into the outbox.
func (x *exchange) flush() {
	x.sending.Lock()
	defer x.sending.Unlock()
	for _, b := range x.out.take() {
		x.world.tellAll(b)
	}
}

// beat sends what has been put into the outbox, and tells all other nodes how far this one
// has come.
func (x *exchange) beat(flags byte) {
	x.sending.Lock()
	defer x.sending.Unlock()
	for _, b := range x.out.take() {
		x.world.tellAll(b)
	}
	x.world.tellAll(appendBeat(nil, x.id, beat{x.name, x.out.top(), flags, x.standing.Load(), x.wall()}))
}

// settle ends the time in which a node gets to know the others. What they had sent before
// is not missed: nobody has subscribed here.
func (x *exchange) settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settled = true
}

// take takes a message of another node.
func (x *exchange) take(now time.Duration, message []byte) {
	k, from, rest, err := parseHead(message)
	if err == nil && from == x.id {
		return // one's own
	}
	switch {
	case err != nil:
	case k == kindAsk:
		var first, last uint64
		if first, last, err = parseAsk(rest); err == nil {
			for _, m := range x.out.answer(first, last) {
				x.world.tell(from, m)
			}
		}
	case k == kindBeat:
		var b beat
		if b, err = parseBeat(rest); err == nil {
			x.takeBeat(now, from, b)
		}
	case k == kindBatch || k == kindGone:
		var number uint64
		var records []byte
		if number, records, err = parseNumbered(rest); err == nil {
			err = parseRecords(records, func(*record) {})
		}
		if number > numberMax || k == kindBatch && (number == 0 || len(records) == 0) {
			err = errFrame
		}
		if err == nil {
			x.takeNumbered(now, k, from, number, records)
		}
	default:
		err = errFrame
	}
	if err != nil {
		x.unreadable()
	}
}

// unreadable counts a message that cannot be read.
func (x *exchange) unreadable() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts.unknown++
}

// takeBeat notes how far another node has come.
func (x *exchange) takeBeat(now time.Duration, from uint64, b beat) {
	if b.flags&beatHello != 0 {
		x.beat(0)
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.peer(now, from, b.top)
	p.standing = max(p.standing, b.standing)
	p.skew = time.Duration(b.wall-x.wall()) * time.Millisecond
	p.name = cmp.Or(p.name, b.name)
	if p.replaced {
		p.replaced, p.left = false, false // two nodes have one name
	}
	x.replace(now, p)
	x.reaches(now, p, b.top)
	if b.flags&beatBye != 0 {
		p.left = true
	}
}

// takeNumbered takes a batch, or what is said of batches that are gone.
func (x *exchange) takeNumbered(now time.Duration, k kind, from, number uint64, records []byte) {
	x.turn.Lock()
	defer x.turn.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if k == kindGone {
		p := x.peers[from]
		if p == nil || number < p.next {
			return // it is known by now
		}
		if len(records) == 0 {
			x.loseAll()
		} else {
			_ = parseRecords(records, x.lose)
		}
		p.heard, p.progress = now, now
		p.top = max(p.top, number)
		p.skip(number)
		x.applyHeld(now, p)
		return
	}
	p := x.peer(now, from, number-1)
	switch {
	case number < p.next: // it came before
	case number > p.next:
		p.hold(number, records)
		x.reaches(now, p, number)
	default:
		if p.top >= number {
			x.counts.mended++
			p.progress = now
			if p.answered += headSize + 8 + len(records); p.answered >= answerMax {
				p.asked = 0 // the answer was as long as it may be: there is more
			}
		}
		p.top = max(p.top, number)
		x.apply(p, records)
		x.applyHeld(now, p)
	}
}

// peer returns what is known of a node that is heard of. One that is new has come as far as
// top.
func (x *exchange) peer(now time.Duration, from, top uint64) *peer {
	p := x.peers[from]
	if p == nil {
		p = &peer{id: from, next: top + 1, top: top, began: now}
		x.peers[from] = p
		if x.settled && top > 0 {
			x.loseAll() // it has been there for a while, and could not be heard
		}
	}
	p.heard, p.gone = max(p.heard, now), false // who waited for subscribers has an earlier time
	return p
}

// replace takes the earlier incarnations of a node for lost, since it was killed and has begun
// anew: those that were not heard of any more when it began, and those that are gone.
func (x *exchange) replace(now time.Duration, p *peer) {
	for _, old := range x.peers {
		silent := now-old.heard > 2*beatEvery && old.heard <= p.began || now-old.heard > goneAfter
		if old != p && old.name == p.name && !old.left && silent {
			x.end(old)
			old.gone, old.left, old.replaced = true, true, true
		}
	}
}

// reaches notes that a node has sent the batch of a number.
func (x *exchange) reaches(now time.Duration, p *peer, number uint64) {
	if _, _, open := p.gap(); !open && number >= p.next {
		p.progress = now
		x.counts.gaps++
	}
	p.top = max(p.top, number)
	x.ask(now, p)
}

// ask asks a node for what is missing.
func (x *exchange) ask(now time.Duration, p *peer) {
	first, last, ok := p.gap()
	if !ok || p.asked > 0 && now-p.asked < askEvery {
		return
	}
	p.asked, p.answered = now, 0
	x.world.tell(p.id, appendAsk(nil, x.id, first, last))
}

// apply delivers a batch, which is the next. Meanwhile others may ask about peers.
func (x *exchange) apply(p *peer, records []byte) {
	p.next++
	_ = parseRecords(records, func(r *record) {
		if r.lost > 0 {
			x.lose(r)
			return
		}
		x.counts.events++
		x.mu.Unlock()
		x.world.publish(r)
		x.mu.Lock()
	})
}

// applyHeld delivers what was held and is the next now.
func (x *exchange) applyHeld(now time.Duration, p *peer) {
	for {
		records, ok := p.release()
		if !ok {
			break
		}
		p.progress = now
		x.apply(p, records)
	}
	if _, _, open := p.gap(); open {
		x.ask(now, p)
	}
}

// tick is called several times a second.
func (x *exchange) tick(now time.Duration) {
	x.turn.Lock()
	defer x.turn.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(x.peers)) { // in one order, so that a simulation can be repeated
		p := x.peers[id]
		_, last, open := p.gap()
		switch {
		case now-p.heard > knownFor:
			delete(x.peers, id)
		case p.gone:
		case p.left && (!open || now-p.heard > gapMax):
			x.end(p)
			p.gone = true
		case now-p.heard > goneAfter:
			x.end(p)
			p.gone = true
		case open && (len(p.held) > 0 && now-p.progress > gapMax || now-p.progress > goneAfter):
			x.loseAll()
			p.skip(last)
			x.applyHeld(now, p)
		default:
			x.ask(now, p)
		}
	}
}

// end tells what may be missing of a node that is not heard of any more, and delivers what
// it was held back for.
func (x *exchange) end(p *peer) {
	if _, _, open := p.gap(); p.gone || p.left && !open {
		return
	}
	for len(p.held) > 0 {
		if _, last, open := p.gap(); open {
			x.loseAll()
			p.skip(last)
		}
		records, _ := p.release()
		x.apply(p, records)
	}
	p.skip(p.top)
	x.loseAll()
}

func (x *exchange) lose(r *record) {
	x.counts.told += r.lost
	x.world.lose(r)
}

func (x *exchange) loseAll() {
	x.counts.toldAll++
	x.world.lose(nil)
}
