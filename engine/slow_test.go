package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// publish delivers an event to a connection, as a shard does.
func (tc *testConn) publish(channel, event, payload string) {
	f := text(payload)
	tc.tl.Deliver([]uint64{tc.ID()}, [][]byte{f}, f, true, channel, []string{event})
}

// lossNotice is the notice of the tests.
func lossNotice(channel string, n int) []byte { return text(fmt.Sprintf("lost %d of %s", n, channel)) }

// texts takes the text messages that the client got.
func (tc *testConn) texts() (all []string) {
	tc.tl.t.Helper()
	for len(tc.got) > 0 {
		n := int(tc.got[1]) // all are short
		all = append(all, string(tc.got[2:2+n]))
		tc.got = tc.got[2+n:]
	}
	return all
}

// pad makes a message of a hundred bytes.
func pad(s string) string { return s + strings.Repeat(".", 100-len(s)) }

func trim(messages []string) []string {
	for i := range messages {
		messages[i] = strings.TrimRight(messages[i], ".")
	}
	return messages
}

// The oldest events go, never a reply nor the frame that is being sent, and the
// client is told where they would have been.
func TestDropOldest(t *testing.T) {
	const most = 1000
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: most, Slow: DropOldest, Lost: lossNotice})
	tc := tl.open()
	tc.room = 10
	for i := range 20 {
		channel := string(rune('a' + i%2))
		tc.publish(channel, "e", pad(fmt.Sprint(channel, i)))
		if i == 3 {
			tc.SendFrame(text("a reply"))
		}
		if tc.out.behind() > most {
			t.Fatalf("after %d: %d bytes wait", i, tc.out.behind())
		}
	}
	tl.turn()
	tc.read(unlimited)
	got := trim(tc.texts())
	lost := map[string]int{}
	next := 1
	for i, m := range got {
		var n int
		var channel string
		switch {
		case i == 0:
			if m != "a0" {
				t.Errorf("the frame that was being sent is %s", m)
			}
		case m == "a reply":
		default:
			if _, err := fmt.Sscanf(m, "lost %d of %s", &n, &channel); err == nil {
				lost[channel] += n
				next += n
				continue
			}
			if want := fmt.Sprint(string(rune('a'+next%2)), next); m != want {
				t.Errorf("got %s, want %s in %q", m, want, got)
			}
			next++
		}
	}
	if next != 20 || lost["a"] == 0 || lost["b"] == 0 || !slices.Contains(got, "a reply") {
		t.Errorf("got %q", got)
	}
	tc.wantOpen()
}

// Replies alone are never dropped: who sends commands without reading is closed.
func TestRepliesAreNotDropped(t *testing.T) {
	for _, slow := range []SlowPolicy{DropOldest, Conflate} {
		tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, Slow: slow, Lost: lossNotice}).open()
		tc.room = 0
		tc.publish("a", "e", pad("event"))
		for range 20 {
			tc.SendFrame(text(pad("reply")))
		}
		tc.tl.turn()
		tc.read(unlimited)
		if got := trim(tc.texts()); len(got) == 0 || !strings.Contains(got[len(got)-1], ErrSlowReader.Reason) {
			t.Errorf("policy %d: got %q", slow, got)
		}
	}
}

// Of each channel and event the newest remains, in the order of publishing.
func TestConflate(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, Slow: Conflate})
	tc := tl.open()
	tc.room = 10
	tc.publish("first", "e", pad("first"))
	for i := range 1000 {
		channel, event := string(rune('a'+i%2)), fmt.Sprint(i%3)
		tc.publish(channel, event, pad(fmt.Sprint(i)))
		if i == 7 {
			tc.SendFrame(text("a reply"))
		}
		if n := len(tc.out.frames); n > calmMin+2 {
			t.Fatalf("after %d: %d frames wait", i, n)
		}
	}
	tl.turn()
	tc.read(unlimited)
	want := []string{"first", "a reply", "994", "995", "996", "997", "998", "999"}
	if got := trim(tc.texts()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Who reads is not concerned: nothing is left out, and nobody is told anything.
func TestSlowPoliciesSpareTheQuick(t *testing.T) {
	for _, slow := range []SlowPolicy{Disconnect, DropOldest, Conflate} {
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, Slow: slow, Lost: lossNotice})
		stalled, quick := tl.open(), tl.open()
		stalled.room = 5
		for i := range 100 {
			f := text(pad(fmt.Sprint(i)))
			tl.Deliver([]uint64{stalled.ID(), quick.ID() | Several}, [][]byte{f}, f, false, "c", []string{"e"})
			tl.turn()
			if got := trim(quick.texts()); !slices.Equal(got, []string{fmt.Sprint(i)}) {
				t.Fatalf("policy %d: got %q, want %d", slow, got, i)
			}
		}
	}
}

// However the reader stalls: what it gets and what it is told is lost are all
// events, in order.
func TestDropOldestCountsAgree(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500 + random.IntN(1000), Slow: DropOldest, Lost: lossNotice})
		tc := tl.open()
		tc.room = random.IntN(300)
		const events = 200
		for i := range events {
			tc.publish("c", "e", pad(fmt.Sprint(i))[:50+random.IntN(50)])
			switch random.IntN(8) {
			case 0:
				tc.read(random.IntN(700))
			case 1:
				tl.turn()
			}
		}
		tl.turn()
		tc.read(unlimited)
		next := 0
		for _, m := range trim(tc.texts()) {
			var n int
			if _, err := fmt.Sscanf(m, "lost %d of c", &n); err == nil {
				next += n
				continue
			}
			if m != fmt.Sprint(next) {
				t.Fatalf("seed %d: got %s, want %d", seed, m, next)
			}
			next++
		}
		if next != events {
			t.Fatalf("seed %d: %d of %d events are accounted for", seed, next, events)
		}
	}
}
