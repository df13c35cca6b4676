package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// places are the offsets at which events were heard first, by anybody.
type places struct{ seen sync.Map }

type placeOf struct {
	channel, epoch string
	number         int
}

// agrees reports whether everybody has heard an event at this offset.
func (p *places) agrees(of placeOf, offset uint64) bool {
	first, _ := p.seen.LoadOrStore(of, offset)
	return first == offset
}

// roved is what a rover has met.
type roved struct {
	heard, missing, doubled, misplaced int
	toldOf                             int // events that did not come, after it was told that some may not
	returns                            int // subscriptions with a position that were recovered
	notices                            int // subscriptions that were not, and notices of lost events
	reasons                            map[string]int
}

func (a *roved) add(b *roved) {
	a.heard += b.heard
	a.missing += b.missing
	a.doubled += b.doubled
	a.misplaced += b.misplaced
	a.toldOf += b.toldOf
	a.returns += b.returns
	for reason, n := range b.reasons {
		a.told(reason, n)
	}
}

func (a *roved) told(reason string, n int) {
	if a.reasons == nil {
		a.reasons = make(map[string]int)
	}
	a.notices += n
	a.reasons[reason] += n
}

// right reports whether nothing came twice, and nothing was missing that was not told.
func (a *roved) right() bool {
	return a.heard > 0 && a.missing == 0 && a.doubled == 0 && a.misplaced == 0
}

func (a *roved) String() string {
	s := fmt.Sprintf("%d events heard; %d missing untold, %d doubled, %d out of place; %d subscriptions recovered", a.heard, a.missing, a.doubled, a.misplaced, a.returns)
	if a.notices > 0 {
		s += fmt.Sprintf(", told: %v, and %d events did not come then", a.reasons, a.toldOf)
	}
	return s
}

// A rover listens to all scribes, and comes back at the next node with its positions.
type rover struct {
	stored    *stored
	at        int  // node; its goroutine alone
	hops      bool // it leaves all the time
	connected atomic.Bool

	mu    sync.Mutex
	known map[string]*position // by channel
	roved
}

// A position is how far a rover has come in a channel.
type position struct {
	epoch  string
	offset uint64
	next   int  // the number that must come now
	sure   bool // it must: nothing was told
}

func (r *rover) listens() bool { return r.connected.Load() }

// run listens until ctx is done.
func (r *rover) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = r.listen(ctx) // it comes back
		r.connected.Store(false)
		r.at = (r.at + 1) % nodesCount
		rest(ctx, rand.N(300*time.Millisecond))
	}
}

func (r *rover) listen(ctx context.Context) error {
	c, err := (dialer{addr: r.stored.nodes[r.at].addr, silence: time.Hour}).open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	defer context.AfterFunc(ctx, c.abort)()
	if r.hops {
		defer time.AfterFunc(500*time.Millisecond+rand.N(2*time.Second), c.abort).Stop()
	}
	if err := c.do(login("read-only", "")); err != nil {
		return err
	}
	for i, w := range r.stored.scribes {
		if err := c.send(r.subscribeCommand(w.channel, i)); err != nil {
			return err
		}
	}
	for replies := 0; ; {
		b, err := c.receive()
		if err != nil {
			return err
		}
		var m roverMessage
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		if m.Err != "" {
			return replyError(m.Err)
		}
		r.handle(&m)
		if m.OK {
			if replies++; replies == storedChannels {
				r.connected.Store(true)
			}
		}
	}
}

func (r *rover) handle(m *roverMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case m.OK:
		r.began(r.stored.scribes[*m.ID].channel, m)
	case m.Lost != nil:
		r.lost(m)
	case m.Event != "":
		r.hear(m)
	}
}

// noLogYet is the reason where a node does not follow the log yet.
const noLogYet = "no log yet"

// roverMessage is what a rover gets.
type roverMessage struct {
	OK        bool   `json:"ok"`
	ID        *int   `json:"id"` // of a scribe
	Err       string `json:"err"`
	Recovered *bool  `json:"recovered"`
	Reason    string `json:"reason"`
	Epoch     string `json:"epoch"`
	Offset    uint64 `json:"offset"`
	Lost      *int   `json:"lost"`
	Event     string `json:"event"`
	Channel   string `json:"channel"`
	Data      int    `json:"data"`
}

// subscribeCommand asks for what is behind the position.
func (r *rover) subscribeCommand(channel string, id int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.known[channel]
	if p == nil || p.epoch == "" {
		return fmt.Sprintf(`{"subscribe":{"channel":%q},"id":%d}`, channel, id)
	}
	return fmt.Sprintf(`{"subscribe":{"channel":%q,"since":{"epoch":%q,"offset":%d}},"id":%d}`, channel, p.epoch, p.offset, id)
}

// began takes in where a subscription begins. mu is held.
func (r *rover) began(channel string, m *roverMessage) {
	p := r.known[channel]
	switch {
	case p == nil:
		p = new(position)
		r.known[channel] = p
	case p.epoch == "":
		p.sure = false // it has not asked
	case m.Recovered != nil && *m.Recovered:
		r.returns++
		if m.Offset < p.offset { // it may be further: a log leaves numbers out; and in an epoch that goes on from its own
			r.misplaced++
		}
	case m.Epoch == "":
		r.told(noLogYet, 1)
		p.sure = false
	default:
		r.told(m.Reason, 1)
		p.sure = false
	}
	p.epoch, p.offset = m.Epoch, m.Offset
}

// lost takes in that some events may be missing. mu is held.
func (r *rover) lost(m *roverMessage) {
	r.told("lost", 1)
	p := r.known[m.Channel]
	p.sure = false
	if m.Epoch != "" {
		p.epoch = m.Epoch
	}
	if m.Offset > 0 {
		p.offset = m.Offset
	}
}

// hear takes in an event. mu is held.
func (r *rover) hear(m *roverMessage) {
	r.heard++
	p := r.known[m.Channel]
	switch {
	case p.next == 0: // the first
	case !p.sure:
		r.toldOf += max(m.Data-p.next, 0)
	case m.Data == p.next:
	case m.Data > p.next:
		r.missing += m.Data - p.next
	default:
		r.doubled++
	}
	if m.Offset <= p.offset || !r.stored.places.agrees(placeOf{m.Channel, p.epoch, m.Data}, m.Offset) {
		r.misplaced++
	}
	p.offset, p.next, p.sure = m.Offset, m.Data+1, true
}

// reached reports whether the rover has heard as many events of each channel.
func (r *rover) reached(marks []int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, mark := range marks {
		if p := r.known[r.stored.scribes[i].channel]; p == nil || p.next < mark {
			return false
		}
	}
	return true
}

// isBehind reports whether another one has come further in each channel.
func (r *rover) isBehind(other *rover) bool {
	theirs := other.positions()
	for channel, p := range r.positions() {
		if theirs[channel].offset <= p.offset {
			return false
		}
	}
	return true
}

// positions returns how far it has come in each channel.
func (r *rover) positions() map[string]position {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]position)
	for channel, p := range r.known {
		all[channel] = *p
	}
	return all
}

// twin returns a rover that is away and has the same positions.
func (r *rover) twin() *rover {
	other := &rover{stored: r.stored, known: make(map[string]*position)}
	for channel, p := range r.positions() {
		other.known[channel] = &p
	}
	return other
}

// take returns what was met since it was called last.
func (r *rover) take() roved {
	r.mu.Lock()
	defer r.mu.Unlock()
	met := r.roved
	r.roved = roved{}
	return met
}
