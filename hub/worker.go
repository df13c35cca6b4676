package hub

import (
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/rate"
)

// An Out is what a Worker needs of its event loop. All methods but Wake are called
// on the loop.
type Out interface {
	pubsub.Sink

	// Close closes the connection that Deliver knows by the id, if it is open.
	Close(id uint64, code uint16, reason string)

	// Notice tells the client of the connection something, if its protocol has words
	// for it.
	Notice(id uint64, n Notice)

	// Session returns the session of the connection, nil if it has none.
	Session(id uint64) *Session

	// Name returns how logs name the connection.
	Name(id uint64) string

	// ClientID returns how others than the operator name it.
	ClientID(id uint64) string
}

// A Worker is the part of all hubs that lives on one event loop. It belongs to
// the loop.
type Worker struct {
	*pubsub.Shard
	out      Out
	command  codec.Command // the one that is being obeyed
	scratch  Scratch       // for the reply to it
	desks    []*desk
	meters   map[*Session]*rate.Meter // there is none where a hub limits nothing: not a byte for each
	expiries expiries
	watch    *watching // nil if nothing is watched
	present  map[*Session]*attendance
	swept    []*Hub // whose histories this loop sweeps
	ahead    Broker // that this loop has sent more than it could pass on; nil for none
	turns    map[*Session]*turns
	answers  answers
}

// A desk is the part of one hub that lives on one event loop.
type desk struct {
	hub    *Hub
	worker *Worker
	counts Counts
	queue  presence.Queue // what is to be done about who is there
}

// NewWorker returns the Worker of the loop behind out. It reads the clock when
// events have been delivered, and measures delivery times from Publication.At.
func NewWorker(out Out, clock func() time.Duration) *Worker {
	w := &Worker{out: out}
	w.Shard = w.newShard()
	w.Clock = clock
	return w
}

// aheadPause is how long a loop pauses that publishes faster than another loop
// delivers.
const aheadPause = 200 * time.Microsecond

// Work is called in each turn of the loop, and at least four times a second. now
// is the loop's time. It returns for how long the
// loop wants to be left alone: 0 to be called again after the next round of input
// and output, more to pause the whole loop before that, negative if nothing is
// left to do.
func (w *Worker) Work(now time.Duration) (pause time.Duration) {
	w.expire(now)
	w.takeTurns(false)
	for _, h := range w.swept {
		h.table.Sweep(w.Clock())
	}
	for _, d := range w.desks {
		d.tellPresence()
	}
	switch w.Shard.Work() {
	case pubsub.More:
		return 0
	case pubsub.Ahead:
		return aheadPause
	}
	if w.ahead != nil {
		if w.ahead.Behind() {
			return aheadPause
		}
		w.ahead = nil
	}
	return -1
}

// send gives a broker an event that a client of this loop has published.
func (w *Worker) send(b Broker, h *Hub, m pubsub.Message) {
	b.Send(h, m)
	w.slow(b)
}

// slow makes the loop wait if a broker has more to send than it can pass on.
func (w *Worker) slow(b Broker) {
	if b.Behind() {
		w.ahead = b
	}
}

// Sweep makes the loop look after the histories of these hubs: one loop of a server
// does.
func (w *Worker) Sweep(hubs []*Hub) { w.swept = hubs }

// FallBehind makes the session of a connection hear events of a channel again, from this
// offset on, because its client reads slowly. If the channel does not keep them any more
// the client is told.
func (w *Worker) FallBehind(id uint64, channel string, offset uint64) {
	if s := w.out.Session(id); s != nil {
		s.desk.hub.table.FallBehind(&s.subscriber, []byte(channel), offset)
	}
}

// Command returns where a protocol may decode the command that it is obeying. It
// is the loop's, so that no command costs an allocation.
func (w *Worker) Command() *codec.Command { return &w.command }

// A Scratch is what a protocol may make a reply in. It is the loop's, so that a reply
// costs no allocation but that of its frame.
type Scratch struct {
	Login   codec.Login
	Message []byte // of any content
}

// Scratch returns the loop's. What is in it is valid until the next call.
func (w *Worker) Scratch() *Scratch {
	if cap(w.scratch.Message) > scratchMax {
		w.scratch.Message = nil
	}
	return &w.scratch
}

// scratchMax is how many bytes a loop keeps for the next reply.
const scratchMax = 64 << 10

// deskOf returns the loop's desk of a hub.
func (w *Worker) deskOf(h *Hub) *desk {
	for _, d := range w.desks {
		if d.hub == h {
			return d
		}
	}
	d := &desk{hub: h, worker: w}
	w.desks = append(w.desks, d)
	return d
}

// Members returns the ids of the connections of this loop that hear a channel.
func (w *Worker) Members(h *Hub, channel string) []uint64 {
	return h.table.Members(w.Shard, []byte(channel))
}

// Metered returns how many sessions have a meter for their commands.
func (w *Worker) Metered() int { return len(w.meters) }

// meter returns what counts the commands of a session.
func (w *Worker) meter(s *Session) *rate.Meter {
	m := w.meters[s]
	if m == nil {
		m = new(rate.Meter)
		if w.meters == nil {
			w.meters = make(map[*Session]*rate.Meter)
		}
		w.meters[s] = m
	}
	return m
}

// forget drops what the loop keeps of a session that has ended.
func (w *Worker) forget(s *Session) {
	delete(w.meters, s)
	delete(w.turns, s)
	w.expiries.remove(s)
}

// expire closes the connections of the sessions whose time is over, and gives the others
// their notices.
func (w *Worker) expire(now time.Duration) {
	for s := w.expiries.next(now); s != nil; s = w.expiries.next(now) {
		if over, reason := s.elapse(now); over {
			w.out.Close(s.subscriber.ID(), CloseExpired, reason)
		}
	}
}
