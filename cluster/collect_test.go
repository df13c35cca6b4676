package cluster

import (
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
		a.again(1, refusedPause)
		if at := a.next(1) != nil; at != given {
			t.Errorf("given %v: sent at once: %v", given, at)
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
