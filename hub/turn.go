package hub

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A Turn is the place of an answer that is not known yet among the answers of its session.
// It belongs to the session's loop.
type Turn struct {
	session *Session
	known   bool
	result  Result
	act     func(Result) // nil: nothing
	command bool         // act obeys a command that came later, and so waits
}

// Then says what is done with the result, when it is known and all turns before this one
// are over: on the loop, later than the call that has returned the Turn, and never if the
// session ends before.
func (t *Turn) Then(act func(Result)) { t.act = act }

// turns are those of one session that are not over, in their order.
type turns struct {
	list     []*Turn
	commands int  // turns that are commands
	running  bool // a command is being obeyed: it is its turn
}

// Waits returns how many answers of the session wait for their turn. While there are some,
// other answers must wait too, by After, and every command but a publish, by Defer: its
// events could come before the answer.
func (s *Session) Waits() int {
	w := s.desk.worker
	if len(w.turns) == 0 {
		return 0
	}
	if ts := w.turns[s]; ts != nil && !ts.running {
		return len(ts.list)
	}
	return 0
}

// Defers reports whether a command waits, so that every later one must.
func (s *Session) Defers() bool {
	ts := s.desk.worker.turns[s]
	return ts != nil && !ts.running && ts.commands > 0
}

// After calls send when all turns of the session that there are by now are over.
func (s *Session) After(send func()) {
	s.desk.worker.addTurn(s, &Turn{known: true, act: func(Result) { send() }})
}

// Defer calls obey when all turns of the session that there are by now are over. Within obey
// the session has none.
func (s *Session) Defer(obey func()) {
	w := s.desk.worker
	w.addTurn(s, &Turn{known: true, command: true, act: func(Result) { obey() }})
	w.turns[s].commands++
}

// How long a command waits for the events before the positions that it has: where the process
// is behind the one that has given them out, and where it has just begun and knows no epoch.
const (
	awaitMax = time.Second
	beginMax = 5 * time.Second
)

// DeferUntil is Defer for a command with positions which another process has given out, if
// this one has not had all events up to them yet, or has just begun. Then it waits for these too,
// for some seconds at most. It reports whether it does.
func (s *Session) DeferUntil(positions iter.Seq2[[]byte, pubsub.Position], obey func()) bool {
	w, table := s.desk.worker, s.desk.hub.table
	if s.desk.hub.sequencer.Load() == nil {
		return false
	}
	t := &Turn{command: true, act: func(Result) { obey() }}
	var missing atomic.Int64
	var over sync.Once
	end := func() { over.Do(func() { w.answer(t, Result{}) }) }
	come := func() {
		if missing.Add(-1) == 0 {
			end()
		}
	}
	missing.Store(1)
	var forget []func()
	most := awaitMax
	for channel, p := range positions {
		missing.Add(1)
		if f, waits := table.Await(channel, p, come); waits {
			forget = append(forget, f)
			if table.EpochOf(channel) == "" {
				most = beginMax
			}
		} else {
			missing.Add(-1)
		}
	}
	if len(forget) == 0 {
		return false
	}
	w.addTurn(s, t)
	w.turns[s].commands++
	time.AfterFunc(most, func() {
		for _, f := range forget {
			f()
		}
		end()
	})
	come()
	return true
}

// addTurn adds a turn behind all others, or behind the one whose command is being obeyed.
func (w *Worker) addTurn(s *Session, t *Turn) *Turn {
	t.session = s
	ts := w.turns[s]
	if ts == nil {
		ts = new(turns)
		if w.turns == nil {
			w.turns = make(map[*Session]*turns)
		}
		w.turns[s] = ts
	}
	if ts.running {
		ts.list = slices.Insert(ts.list, 0, t)
	} else {
		ts.list = append(ts.list, t)
	}
	return t
}

// answers are the results that have come for turns of a loop. Any goroutine.
type answers struct {
	some atomic.Bool // there is one

	mu   sync.Mutex
	list []answer // guarded by mu
	due  []*Session
}

type answer struct {
	turn   *Turn
	result Result
}

// answer gives a turn its result. Any goroutine.
func (w *Worker) answer(t *Turn, r Result) {
	a := &w.answers
	a.mu.Lock()
	first := len(a.list) == 0
	a.list = append(a.list, answer{t, r})
	a.some.Store(true)
	a.mu.Unlock()
	if first {
		w.out.Wake()
	}
}

// due makes the next Work look at a session. Loop only.
func (w *Worker) due(s *Session) {
	w.answers.due = append(w.answers.due, s)
	w.out.Wake()
}

// takeTurns does what the answers that have come allow. While a run is being delivered no
// command is obeyed: it could change subscriptions.
func (w *Worker) takeTurns(delivering bool) {
	a := &w.answers
	if a.some.Load() {
		a.mu.Lock()
		list := a.list
		a.list = nil
		a.some.Store(false)
		a.mu.Unlock()
		for _, one := range list {
			one.turn.known, one.turn.result = true, one.result
			if one.result.Stored.Duplicate {
				one.turn.session.desk.counts.Duplicates++
			}
			w.advance(one.turn.session, delivering)
		}
	}
	if !delivering && len(a.due) > 0 {
		due := a.due
		a.due = nil
		for _, s := range due {
			w.advance(s, false)
		}
	}
}

// advance ends the first turns of a session, as far as they are known.
func (w *Worker) advance(s *Session, delivering bool) {
	for {
		ts := w.turns[s] // nil if the session has ended
		if ts == nil || len(ts.list) == 0 {
			delete(w.turns, s)
			return
		}
		t := ts.list[0]
		switch {
		case !t.known:
			return
		case t.command && delivering:
			w.due(s)
			return
		}
		ts.list[0] = nil
		ts.list = ts.list[1:]
		if t.command {
			ts.commands--
			ts.running = true
		}
		if t.act != nil { // else the protocol answers nothing
			t.act(t.result)
		}
		ts.running = false
	}
}

// A sink is the loop as a shard delivers to it. An event is delivered after the answer to
// its publish, if that is known.
type sink struct {
	Out
	worker *Worker
}

func (s sink) Deliver(ids []uint64, run *delivery.Run) int {
	if s.worker.answers.some.Load() {
		s.worker.takeTurns(true)
	}
	return s.Out.Deliver(ids, run)
}

// newShard returns the shard of a worker.
func (w *Worker) newShard() *pubsub.Shard {
	s := sink{w.out, w}
	if paced, ok := w.out.(pubsub.Replayer); ok {
		return pubsub.NewShard(struct {
			sink
			pubsub.Replayer
		}{s, paced})
	}
	return pubsub.NewShard(s)
}
