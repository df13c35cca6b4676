package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
)

// alone returns a node without a connection.
func alone() *Node {
	n := &Node{config: Config{Node: "a"}, log: slog.New(slog.DiscardHandler)}
	n.exchange, n.teller, n.learner = newExchange(1, "a", nil), newTeller(1), newLearner(1, nil)
	n.calls = newCalls(n)
	return n
}

// What stands is bounded in number and in bytes; what is over makes room.
func TestStandingIsBounded(t *testing.T) {
	for _, tt := range []struct{ size, room int }{
		{1, standingMax},
		{1 << 20, 31},
	} {
		c, number := alone().calls, uint64(0)
		stand := func(now time.Duration) error {
			number++
			return c.stand(now, questionID{2, number}, question{time.Minute, "t", make([]byte, tt.size)})
		}
		for range 2 {
			now := time.Duration(number) * time.Hour
			for i := range tt.room {
				if err := stand(now); err != nil {
					t.Fatalf("question %d of %d bytes: %v", i, tt.size, err)
				}
			}
			if err := stand(now); !errors.Is(err, hub.ErrStanding) {
				t.Errorf("%d questions of %d bytes: got %v", tt.room+1, tt.size, err)
			}
		}
		if got := len(c.standing.known); got != tt.room {
			t.Errorf("%d are known, want %d", got, tt.room)
		}
	}
}

// A question that there is no room for is not asked, and who asks is told.
func TestCallWithoutRoom(t *testing.T) {
	n := alone()
	c := n.calls
	if _, err := n.Call(t.Context(), "t", nil, time.Hour); err != nil || len(c.standing.all) != 1 {
		t.Fatalf("the first question: got %v, and %d stand", err, len(c.standing.all))
	}
	c.standing.bytes = standBytes
	if _, err := n.Call(t.Context(), "t", nil, time.Hour); !errors.Is(err, hub.ErrStanding) {
		t.Errorf("got %v", err)
	}
	if len(c.waiting) > 0 {
		t.Error("answers are waited for")
	}
	if _, err := n.Call(t.Context(), "t", nil, 0); err != nil {
		t.Errorf("a question that does not stand: got %v", err)
	}
}

// What stands is given to each that begins to serve its topic, in the order in which it came; what
// is over, and what is about another topic, is not.
func TestServeLate(t *testing.T) {
	n := alone()
	now := measure.Now()
	for i, q := range []question{
		{time.Millisecond, "t", []byte("over")}, {2 * time.Hour, "t", []byte("a")}, {2 * time.Hour, "u", []byte("other")}, {2 * time.Hour, "t", []byte("b")},
	} {
		if err := n.calls.stand(now-time.Hour, questionID{2, uint64(i)}, q); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var heard []string
		n.Serve("t", func(_ context.Context, question []byte) ([]byte, error) {
			heard = append(heard, string(question))
			return nil, errors.New("none cares")
		})
		if !slices.Equal(heard, []string{"a", "b"}) {
			t.Errorf("got %q", heard)
		}
	}
}

// Each question goes when its time is over, whichever came first, and takes its bytes with it.
func TestStandingEnds(t *testing.T) {
	c := alone().calls
	for i, minutes := range []int{3, 1, 2, 4} {
		if err := c.stand(0, questionID{2, uint64(i)}, question{time.Duration(minutes) * time.Minute, "t", nil}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.stand(0, questionID{2, 9}, question{0, "t", nil}); err != nil {
		t.Fatal(err)
	}
	for minute, want := range []int{4, 3, 2, 1, 0} {
		c.standing.forget(time.Duration(minute) * time.Minute)
		size := want * (&standing{topic: "t"}).size()
		if got := len(c.standing.all); got != want || len(c.standing.known) != want || c.standing.bytes != size {
			t.Errorf("after %d minutes: %d stand, %d are known, with %d bytes; want %d with %d", minute, got, len(c.standing.known), c.standing.bytes, want, size)
		}
	}
}

// A question that comes twice stands once.
func TestStandsOnce(t *testing.T) {
	c := alone().calls
	for range 2 {
		if err := c.stand(0, questionID{2, 1}, question{time.Minute, "t", nil}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(c.standing.all); got != 1 {
		t.Errorf("it stands %d times", got)
	}
}

// What another node knows is asked for until it has come, and not more often than every second.
// It is obeyed once, however often it comes, and stands here as long as there. An answer that is
// late does not take back how far this node has come; one that is silent is not asked.
func TestFetch(t *testing.T) {
	n := alone()
	c, now := n.calls, measure.Now()
	var heard []string
	n.Serve("t", func(_ context.Context, question []byte) ([]byte, error) {
		heard = append(heard, string(question))
		return nil, nil
	})
	knows := func(learned uint64) { n.exchange.take(now, appendBeat(nil, 2, beat{name: "b", standing: learned})) }
	fetch := func(after time.Duration, all bool, asked time.Duration) {
		t.Helper()
		if got := c.fetch(now + after); got != all {
			t.Errorf("after %v: it knows all: %v", after, got)
		}
		if s := c.standing.sources[2]; s == nil || s.asked != now+asked {
			t.Errorf("after %v: got %+v, want that it was asked at %v", after, s, now+asked)
		}
	}
	take := func(last, until uint64, texts ...string) {
		t.Helper()
		b := binary.LittleEndian.AppendUint64(nil, last)
		for i, text := range texts {
			b = appendStanding(b, &standing{id: questionID{3, uint64(i)}, until: now + 2*time.Hour, topic: "t", text: []byte(text)}, now+time.Hour)
		}
		if err := c.takeStand(2, b); err != nil {
			t.Fatal(err)
		}
		clear(b) // NATS may use it again
		if s := c.standing.sources[2]; s == nil || s.until != until {
			t.Errorf("after what goes to %d: got %+v, want %d", last, s, until)
		}
	}
	knows(9)
	fetch(0, false, 0)
	fetch(fetchAgain-1, false, 0)
	fetch(fetchAgain, false, fetchAgain)
	take(7, 7, "a", "b")
	take(3, 7, "a", "b", "c")
	take(9, 9)
	fetch(2*fetchAgain, true, -now)
	knows(10)
	fetch(silentAfter+1, false, -now)
	if want := []string{"a", "b", "c"}; !slices.Equal(heard, want) {
		t.Errorf("obeyed %q, want %q", heard, want)
	}
	for i, s := range c.standing.all {
		if left := s.until - now; string(s.text) != heard[i] || left < time.Hour-time.Minute || left > time.Hour+time.Minute {
			t.Errorf("%q stands for %v", s.text, left)
		}
	}
	if got := n.exchange.standing.Load(); got != 3 {
		t.Errorf("the others are told that %d were learned, want 3", got)
	}
}

// An answer that comes twice counts once, and one of a node that was not asked does not.
func TestTakeReply(t *testing.T) {
	c := alone().calls
	a := &asked{left: map[uint64]int{2: 0, 3: 1}, waited: map[uint64]bool{2: true, 3: true}, answers: make([]hub.Answer, 2), done: make(chan struct{})}
	c.waiting[7] = a
	reply := func(from uint64, text string) {
		t.Helper()
		if err := c.takeReply(from, append(binary.LittleEndian.AppendUint64(nil, 7), "\x01"+text...)); err != nil {
			t.Fatal(err)
		}
	}
	reply(2, "two")
	reply(2, "again")
	reply(4, "a stranger")
	select {
	case <-a.done:
		t.Fatal("one has not answered yet")
	default:
	}
	reply(3, "three")
	<-a.done
	reply(3, "again")
	if two, three := string(a.answers[0].Data), string(a.answers[1].Data); two != "two" || three != "three" {
		t.Errorf("got %q and %q", two, three)
	}
}
