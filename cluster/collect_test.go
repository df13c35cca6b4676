package cluster

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// newAppender returns an appender of an epoch, with which events can be published.
func newAppender(id uint64, e epoch) *appender {
	a := &appender{id: id, timeout: time.Second, most: 1 << 20, wake: func() {}, latency: func(time.Duration) {}}
	a.use(e)
	return a
}

func (a *appender) publish(now time.Duration, event string) {
	a.append(now, &pubsub.Message{Channel: []byte("c"), Event: []byte(event)}, func(hub.Published, error) {})
}

// heard returns what a message means to a ledger: whose batches it has, and their events with their places.
func heard(t *testing.T, l *ledger, seq uint64, data []byte) (all []string) {
	t.Helper()
	a, err := l.apply(seq, int64(seq), data, time.Minute, time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range a.batches {
		for _, p := range b.events {
			all = append(all, fmt.Sprintf("%d:%s@%d", b.from, p.event, p.offset-l.epoch.offset(seq, 0)))
		}
	}
	return all
}

// A batch that another node has collected is stored with that node's own, each event at a place of
// its own. It counts once, also if its sender sends it to the log, before or after.
func TestCollect(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	collector, other, third := newAppender(1, e), newAppender(2, e), newAppender(3, e)
	collector.publish(0, "own")
	other.publish(0, "a")
	other.publish(0, "b")
	third.publish(0, "c")
	given, late := other.next(0), third.next(0)
	for _, f := range []*flight{given, late} {
		if !f.small() || !collector.collect(0, f.data) {
			t.Fatal("a small batch is not collected")
		}
	}
	f := collector.next(0)
	if f.small() {
		t.Error("what has collected batches of others is given to another node")
	}
	var l ledger
	if got := heard(t, &l, 1, late.data); !slices.Equal(got, []string{"3:c@0"}) {
		t.Errorf("got %q from the sender itself", got)
	}
	if got := heard(t, &l, 2, f.data); !slices.Equal(got, []string{"1:own@0", "2:a@1", "2:b@2"}) {
		t.Errorf("got %q: want all but what has come before", got)
	}
	if got := heard(t, &l, 3, given.data); got != nil {
		t.Errorf("got %q again", got)
	}
	if collector.stored(0, f.number, nil); collector.next(0) != nil {
		t.Error("what was collected goes along twice")
	}
	var s LogStats
	if collector.counted(&s); s.Collected != 2 {
		t.Errorf("%d are counted as collected, want 2", s.Collected)
	}
}

// What another node would rather send itself is not collected.
func TestNotCollected(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	small := func(id uint64, e epoch, events int) []byte {
		a := newAppender(id, e)
		for range events {
			a.publish(0, "e")
		}
		return slices.Clone(a.next(0).data)
	}
	large := newAppender(2, e)
	large.publish(0, strings.Repeat("e", collectBytes))
	full := newAppender(1, e)
	for i := range uint64(collectedRoom) {
		full.collect(0, small(i+10, e, 1))
	}
	with := newAppender(2, e)
	with.publish(0, "e")
	with.collect(0, small(3, e, 1))
	asking := newAppender(1, e)
	asking.ask(e)
	for _, tt := range []struct {
		name string
		at   *appender
		data []byte
	}{
		{"of another epoch", newAppender(1, epoch{id: 8, seq: 1}), small(2, e, 1)},
		{"at a node that follows no log", newAppender(1, epoch{}), small(2, e, 1)},
		{"at a node that asks", asking, small(2, e, 1)},
		{"one's own", newAppender(2, e), small(2, e, 1)},
		{"too many events", newAppender(1, e), small(2, e, collectEvents+1)},
		{"too many bytes", newAppender(1, e), large.next(0).data},
		{"what has others with it", newAppender(1, e), with.next(0).data},
		{"no room", full, small(2, e, 1)},
		{"no message", newAppender(1, e), []byte("no")},
		{"no events", newAppender(1, e), appendText(appendLogHead(nil, logHead{batchHead: batchHead{from: 2, number: 1}, epoch: e}), "no")},
	} {
		if tt.at.collect(0, tt.data) {
			t.Errorf("%s: it is collected", tt.name)
		}
	}
	if f := newFlight(e, collectEvents+1); f.small() {
		t.Error("a large batch is given to another node")
	}
	f := newFlight(e, 1)
	f.tries++
	if f.small() {
		t.Error("a batch is given to another node again")
	}
}

func newFlight(e epoch, events int) *flight {
	a := newAppender(2, e)
	for range events {
		a.publish(0, "e")
	}
	return a.next(0)
}

// A batch that waits for too long does not go along, and one that has is not sent for longer than
// its sender tries: a node that begins later could not know that it was stored before.
func TestCollectedTooLongAgo(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	events := func(f *flight) []string { return heard(t, new(ledger), 1, f.data) }
	a := newAppender(1, e)
	a.publish(0, "own")
	a.next(0)
	a.collect(0, newFlight(e, 1).data)
	a.expire(collectedFor + 1)
	if f := a.next(collectedFor + 1); f == nil || len(events(f)) != 0 {
		t.Errorf("got %q: want the empty batch that is due", events(f))
	}
	b := newAppender(1, e)
	b.collect(0, newFlight(e, 1).data)
	first := b.next(0)
	b.expire(b.timeout - 1)
	if again := b.next(b.timeout - 1); again != first {
		t.Fatal("it is not sent again")
	}
	b.expire(b.timeout)
	if f := b.next(b.timeout); f == nil || len(events(f)) != 0 || f.number == first.number {
		t.Errorf("got %q: want an empty batch", events(f))
	}
}

// A batch that another node refuses is sent to the log at once, and one that NATS refuses after a pause.
func TestGivenInVain(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	for _, given := range []bool{true, false} {
		a := newAppender(2, e)
		a.publish(0, "e")
		f := a.next(0)
		if given {
			a.give(f)
		}
		woken := false
		a.wake = func() { woken = true }
		a.again(1, refusedPause)
		if at := a.next(1) != nil; at != given || woken != given {
			t.Errorf("given %v: sent at once: %v, and woken for that: %v", given, at, woken)
		}
		if a.hasGiven(f) != given || a.hasGiven(f) {
			t.Errorf("given %v: want it to be known once", given)
		}
	}
}

// What is read as a message of a log is the same when it is written again.
func FuzzLogMessage(f *testing.F) {
	one := emptyMessage(logHead{batchHead: batchHead{1, 2, 3}, epoch: epoch{4, 5, 6}, after: 7})
	f.Add(one)
	f.Add(appendCollected(one, &nodeBatch{batchHead{8, 9, 10}, []byte("events")}))
	f.Add(one[:len(one)-1])
	f.Add(append(slices.Clone(one), 8)) // a batch that is cut off
	f.Fuzz(func(t *testing.T, b []byte) {
		h, batches, err := parseLogMessage(nil, b)
		if err != nil {
			if len(batches) > 0 {
				t.Errorf("%v, and %d batches", err, len(batches))
			}
			return
		}
		again := appendText(appendLogHead(nil, h), batches[0].events)
		for i := range batches[1:] {
			again = appendCollected(again, &batches[1+i])
		}
		h2, same, err := parseLogMessage(nil, again)
		if err != nil || h2 != h || !reflect.DeepEqual(same, batches) {
			t.Errorf("got %+v, %v, %v, want %+v, %v", h2, same, err, h, batches)
		}
	})
}

// A message has no more bytes than NATS takes, also if others' batches go along with a large event. What
// does not go along then does with the next one.
func TestMessageIsNotTooLarge(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	for _, most := range []int{1 << 10, 64 << 10, 1 << 20} {
		a, large := newAppender(1, e), 0
		a.reach(most + logHeadersMax)
		for size := most - logHeadSize - 20; size < most; size++ { // up to the largest that it takes
			a.append(0, &pubsub.Message{Channel: []byte("c"), Event: []byte("e"), Data: make([]byte, size)}, func(_ hub.Published, err error) {
				if err == nil {
					large++
				} else if !errors.Is(err, hub.ErrTooLarge) {
					t.Error(err)
				}
			})
		}
		want := len(a.queue)
		for i := range uint64(2 * collectedMost) {
			if f := newFlight(e, collectEvents); f == nil || !a.collect(0, f.data) {
				t.Fatalf("batch %d is not collected", i)
			}
		}
		for a.flight = nil; len(a.queue)+len(a.room) > 0; a.stored(0, a.flight.number, make([]placed, eventsMax)) {
			if f := a.next(0); len(f.data) > most {
				t.Fatalf("a message of %d bytes, where NATS takes %d", len(f.data), most)
			}
		}
		if large != want || want == 0 {
			t.Errorf("%d of %d events are stored", large, want)
		}
		if a.counts.collected != 2*collectedMost {
			t.Errorf("%d batches went along, want all", a.counts.collected)
		}
	}
}

// What goes along with the batches of a node does not make these smaller: it has as much to publish.
func TestOthersLeaveRoom(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	batch := func(others int) int {
		a := newAppender(1, e)
		for range 2 * logBatchMax / 100 {
			a.publish(0, strings.Repeat("e", 100))
		}
		for range others {
			other := newAppender(2, e)
			other.publish(0, strings.Repeat("e", collectBytes-logHeadSize-20))
			if !a.collect(0, other.next(0).data) {
				t.Fatal("it is not collected")
			}
		}
		return len(a.next(0).events)
	}
	if alone, along := batch(0), batch(collectedMost); alone != along {
		t.Errorf("a batch of %d events, and one of %d where others go along", alone, along)
	}
}

// An event that has come while a batch was filled is answered, also if others' batches that went along
// are given up a moment before it.
func TestAnsweredWithOthers(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	a := newAppender(1, e)
	answered := 0
	a.append(1, &pubsub.Message{Channel: []byte("c"), Event: []byte("e")}, func(hub.Published, error) { answered++ })
	a.collect(0, newFlight(e, 1).data)
	a.next(0)
	a.expire(a.timeout)
	if a.expire(a.timeout + 1); answered != 1 {
		t.Errorf("it is answered %d times, want once", answered)
	}
}

// A node remembers that what it has given to another one has not come back, also if that is given up
// before it is sent again: otherwise nothing would ever go to the log itself.
func TestGivenUp(t *testing.T) {
	a := newAppender(1, epoch{id: 9, seq: 1})
	a.timeout = againAfter / 2
	a.publish(0, "e")
	a.give(a.next(0))
	a.expire(a.timeout)
	a.publish(a.timeout, "e")
	if f := a.next(a.timeout); !a.hasGiven(f) || a.hasGiven(f) {
		t.Error("want it to be known once")
	}
}

// A message has the batches of so many nodes at most.
func TestTooManyBatches(t *testing.T) {
	b := emptyMessage(logHead{batchHead: batchHead{from: 1, number: 1}})
	for i := range uint64(collectedMost) {
		b = appendCollected(b, &nodeBatch{batchHead: batchHead{from: i + 2, number: 1}})
	}
	if _, batches, err := parseLogMessage(nil, b); err != nil || len(batches) != 1+collectedMost {
		t.Errorf("got %d batches, %v", len(batches), err)
	}
	if _, _, err := parseLogMessage(nil, appendCollected(b, &nodeBatch{})); err == nil {
		t.Error("a message with more is read")
	}
}

// A small batch goes to the node whose server leads the log, if that is another one and the servers
// are in the nodes. After one that has not come back all go to the log itself, for a while.
func TestWhereBatchesGo(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	inside := struct{ Embedded }{}
	for _, tt := range []struct {
		name     string
		leader   string // "-": not known
		embedded Embedded
		events   int
		given    bool
	}{
		{"another node leads", "n1", inside, 1, true},
		{"this node leads", "n0", inside, 1, false},
		{"no node leads", "", inside, 1, false},
		{"not known", "-", inside, 1, false},
		{"servers of others", "n1", nil, 1, false},
		{"large", "n1", inside, collectEvents + 1, false},
	} {
		s := &stream{logs: &logs{node: &Node{config: Config{Node: "n0", Embedded: tt.embedded}}}, in: "log", collecting: "collect"}
		if tt.leader != "-" {
			s.leader.Store(&tt.leader)
		}
		s.appender = appender{id: 1, timeout: time.Minute, most: 1 << 20, wake: func() {}, latency: func(time.Duration) {}}
		s.appender.use(e)
		publish := func(now time.Duration) *flight {
			for range tt.events {
				s.appender.publish(now, "e")
			}
			return s.appender.next(now)
		}
		f := publish(0)
		want := "log"
		if tt.given {
			want = s.collector("n1")
		}
		if got := s.to(0, f); got != want {
			t.Errorf("%s: it goes to %q, want %q", tt.name, got, want)
		}
		if !tt.given {
			continue
		}
		now := againAfter
		if got := s.to(now, s.appender.next(now)); got != "log" {
			t.Errorf("%s: it goes to %q again", tt.name, got)
		}
		for _, after := range []time.Duration{0, collectPause - 1, collectPause} {
			s.appender.stored(now+after, s.appender.number, make([]placed, 1))
			if got := s.to(now+after, publish(now+after)); (got == want) != (after == collectPause) {
				t.Errorf("%s: the next one goes to %q %v later", tt.name, got, after)
			}
		}
	}
}

// Where publishes wait for long, a batch may be stored twice within a longer time: a node that begins must
// know what was stored then.
func TestCopiesOfPatientNodes(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{5 * time.Second: doubleWithin, 10 * time.Minute: 20*time.Minute + collectedFor} {
		s := &stream{logs: &logs{config: Streams{PublishTimeout: timeout}}}
		if got := s.copies(); got != want {
			t.Errorf("PublishTimeout %v: got %v, want %v", timeout, got, want)
		}
	}
}

// However much a node has, and others have given it, each message can be read, and has all events once.
func TestManyEventsGoAlong(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	const own, others = 2 * eventsMax, 2*collectedMost + 1
	a := newAppender(1, e)
	for range own {
		a.publish(0, "e")
	}
	for i := range uint64(others) {
		f := newFlight(e, collectEvents)
		if i%2 > 0 {
			f = newFlight(e, 1)
		}
		h, rest, err := parseLogHead(f.data)
		if err != nil {
			t.Fatal(err)
		}
		h.from = i + 2
		if !a.collect(0, append(appendLogHead(nil, h), rest...)) {
			t.Fatalf("batch %d is not collected", i)
		}
	}
	var l ledger
	got := 0
	for seq := uint64(1); len(a.queue)+len(a.room) > 0; seq++ {
		f := a.next(0)
		got += len(heard(t, &l, seq, f.data))
		a.stored(0, f.number, make([]placed, eventsMax))
	}
	if want := own + (collectedMost+1)*collectEvents + collectedMost; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	if a.bytes != 0 {
		t.Errorf("%d bytes are counted as waiting, and nothing waits", a.bytes)
	}
}

// What is collected while a message is under way goes along with the next one as soon as that is back.
func TestCollectedMeanwhile(t *testing.T) {
	e, woken := epoch{id: 9, seq: 1}, 0
	a := newAppender(1, e)
	a.publish(0, "own")
	f := a.next(0)
	a.collect(0, newFlight(e, 1).data)
	a.wake = func() { woken++ }
	a.stored(0, f.number, make([]placed, 1))
	if f := a.next(0); woken != 1 || f == nil || f.others != 1 {
		t.Errorf("woken %d times, and then sends %+v", woken, f)
	}
}

// Batches that say something of their node go to the log itself: those that answer one which has begun, and
// the empty ones, by which a node learns whether the way is open.
func TestSaidToTheLogItself(t *testing.T) {
	a := newAppender(1, epoch{id: 9, seq: 1})
	a.answer(2)
	a.publish(0, "e")
	f := a.next(0)
	if f.small() {
		t.Error("an answer is given to another node")
	}
	a.stored(0, f.number, make([]placed, 1))
	if f := a.next(tickEvery); f == nil || f.small() {
		t.Errorf("an empty batch is given to another node: %+v", f)
	}
}

// What was collected in an epoch does not go along in the next one, in which it may not be what is stored.
func TestCollectedBefore(t *testing.T) {
	e := epoch{id: 9, seq: 1}
	for name, change := range map[string]func(*appender){
		"another epoch": func(a *appender) { a.use(epoch{id: 8, seq: 5}) },
		"a question":    func(a *appender) { a.ask(e) },
		"the end":       func(a *appender) { a.close(); a.use(e) },
	} {
		a := newAppender(1, e)
		if !a.collect(0, newFlight(e, 1).data) {
			t.Fatal("it is not collected")
		}
		change(a)
		if f := a.next(tickEvery); f == nil || f.others > 0 {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

// A node that has begun does not know, for as long as a batch may come twice, whether one has come before.
func TestUnsureWhileBatchesComeTwice(t *testing.T) {
	const keys, copies = time.Second, time.Minute
	var l ledger
	b := emptyMessage(logHead{batchHead: batchHead{from: 2, number: 1}, epoch: epoch{id: 9, seq: 1}})
	for i, at := range []time.Duration{0, copies - 1, copies} {
		a, err := l.apply(uint64(5+i), int64(at), b, keys, copies, 10)
		if err != nil || a.unsure != (at < copies) {
			t.Errorf("after %v: unsure %v, %v", at, a.unsure, err)
		}
	}
}
