package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// publish delivers an event to a connection, as a shard does.
func (tc *testConn) publish(channel, event, payload string) {
	f := text(payload)
	tc.tl.Deliver([]uint64{tc.ID()}, runOf(true, channel, event, f))
	tc.tl.submit()
}

// lossNotice is the notice of the tests.
func lossNotice(l delivery.Lost) []byte { return text(fmt.Sprintf("lost %d of %s", l.N, l.Channel)) }

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

// A notice of how things are by now is dropped like an event, and nobody is told; events
// of the same channel that are dropped beside it keep their count.
func TestNoticesAreDropped(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: DropOldest, Lost: lossNotice})
	tc := tl.open()
	tc.room = 10
	for i := range 20 {
		event := "e"
		if i%2 > 0 {
			event = delivery.Notice
		}
		tc.publish("c", event, pad(fmt.Sprint(event, i)))
	}
	tl.turn()
	tc.read(unlimited)
	heard, lost := 0, 0
	for _, m := range trim(tc.texts()) {
		if _, err := fmt.Sscanf(m, "lost %d of c", &lost); err != nil && strings.HasPrefix(m, "e") {
			heard++
		}
	}
	if lost == 0 || heard+lost != 10 {
		t.Errorf("%d events came and %d were lost, want 10 in all", heard, lost)
	}
	if n := tl.Stats().Dropped["drop-oldest"]; n <= uint64(lost) {
		t.Errorf("%d were dropped, want more than the %d events", n, lost)
	}
}

// With conflate the newest notice of a channel stays beside the newest events.
func TestNoticesAreConflated(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, SlowReaders: Conflate})
	tc := tl.open()
	tc.room = 10
	for i := range 50 {
		tc.publish("c", "e", pad(fmt.Sprint("e", i)))
		tc.publish("c", delivery.Notice, pad(fmt.Sprint("n", i)))
	}
	tl.turn()
	tc.read(unlimited)
	got := trim(tc.texts())
	if n := len(got); n > 10 || got[n-2] != "e49" || got[n-1] != "n49" {
		t.Errorf("got %q", got)
	}
}

// The oldest events go, never a reply nor the frame that is being sent, and the
// client is told where they would have been.
func TestDropOldest(t *testing.T) {
	const most = 1000
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: most, SlowReaders: DropOldest, Lost: lossNotice})
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

// Replies alone are never dropped: who sends commands without reading is
// closed.
func TestRepliesAreNotDropped(t *testing.T) {
	for _, slow := range []SlowPolicy{DropOldest, Conflate} {
		tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: slow, Lost: lossNotice}).open()
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
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, SlowReaders: Conflate})
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
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: slow, Lost: lossNotice})
		stalled, quick := tl.open(), tl.open()
		stalled.room = 5
		for i := range 100 {
			f := text(pad(fmt.Sprint(i)))
			tl.Deliver([]uint64{stalled.ID(), quick.ID() | delivery.Several}, runOf(false, "c", "e", f))
			tl.turn()
			if got := trim(quick.texts()); !slices.Equal(got, []string{fmt.Sprint(i)}) {
				t.Fatalf("policy %d: got %q, want %d", slow, got, i)
			}
		}
	}
}

// A reader that stalls however it likes. What it gets and what it is told is
// lost are all events of each channel, in order; it stays, and what waits for
// it is within the limit.
func TestDropOldestCountsAgree(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		most := 1000 + random.IntN(3000)
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: most, SlowReaders: DropOldest, Lost: lossNotice})
		tc := tl.open()
		tc.room = random.IntN(300)
		channels := 1 + random.IntN(40)
		published := make([]int, channels)
		for range 400 {
			i := random.IntN(channels)
			tc.publish(fmt.Sprint("c", i), "e", pad(fmt.Sprintf("c%d %d", i, published[i]))[:50+random.IntN(50)])
			published[i]++
			if tc.out != nil && tc.out.behind() > most {
				t.Fatalf("seed %d: %d bytes wait, the limit is %d", seed, tc.out.behind(), most)
			}
			switch random.IntN(8) {
			case 0:
				tc.read(random.IntN(700))
			case 1:
				tl.turn()
			}
			tc.wantCounted()
		}
		tl.turn()
		tc.read(unlimited)
		tc.wantOpen()
		next := make([]int, channels)
		for _, m := range trim(tc.texts()) {
			var channel, n int
			if _, err := fmt.Sscanf(m, "lost %d of c%d", &n, &channel); err == nil {
				next[channel] += n
				continue
			}
			if _, err := fmt.Sscanf(m, "c%d %d", &channel, &n); err != nil || n != next[channel] {
				t.Fatalf("seed %d: got %s, want %d", seed, m, next[channel])
			}
			next[channel]++
		}
		if !slices.Equal(next, published) {
			t.Fatalf("seed %d: %v are accounted for, of %v", seed, next, published)
		}
	}
}

// wantCounted fails unless the outbox knows how many bytes its frames have.
func (tc *testConn) wantCounted() {
	tc.tl.t.Helper()
	if tc.out == nil {
		return
	}
	sum := -tc.out.sent
	for _, f := range tc.out.frames {
		sum += len(f)
	}
	if tc.out.bytes != sum {
		tc.tl.t.Fatalf("the outbox counts %d bytes, it has %d", tc.out.bytes, sum)
	}
}

// Who hears so many channels that the notices of one stall are more than may
// wait gets them one after the other, and stays.
func TestMoreNoticesThanMayWait(t *testing.T) {
	const channels = 1000
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 2000, SlowReaders: DropOldest, Lost: lossNotice})
	tc := tl.open()
	tc.room = 10
	for i := range 2 * channels {
		tc.publish(fmt.Sprint("c", i%channels), "e", pad(""))
	}
	tc.SendFrame(text("a reply"))
	for range 100 {
		tc.read(100)
		if n := tc.out.behind(); n > 2000 {
			t.Fatalf("%d bytes wait", n)
		}
	}
	tc.read(unlimited)
	got := trim(tc.texts())
	told, events := 0, 0
	for i, m := range got {
		var n, channel int
		if _, err := fmt.Sscanf(m, "lost %d of c%d", &n, &channel); err == nil {
			told += n
			if events > 1 {
				t.Fatalf("message %d: told of losses after %d events", i, events)
			}
		} else if m == "" {
			events++
		}
	}
	if told+events != 2*channels || got[len(got)-1] != "a reply" {
		t.Errorf("told of %d lost, got %d events, want %d in all, and a reply", told, events, 2*channels)
	}
	tc.wantOpen()
}

// What has been dropped is told also where a reload has changed what is done.
func TestLossesAreToldAfterAReload(t *testing.T) {
	for _, slow := range []SlowPolicy{Disconnect, Conflate} {
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: DropOldest, Lost: lossNotice})
		tc := tl.open()
		tc.room = 10
		for i := range 20 {
			tc.publish("c", "e", pad(fmt.Sprint(i)))
		}
		kept, _ := tc.Queued()
		after := Endpoint{Protocol: tc.endpoint.Protocol, MaxQueuedBytes: 1000, SlowReaders: slow}
		tl.rehome(newTable(at("/", after)))
		tc.read(unlimited)
		if got := trim(tc.texts()); len(got) < 2 || got[0] != "0" || got[1] != fmt.Sprintf("lost %d of c", 20-kept) {
			t.Errorf("policy %d: got %q, want 0 and how many of the 20 are lost", slow, got)
		}
		tc.wantOpen()
	}
}

// Events that were published when nobody noted their names are not taken for
// one and the same.
func TestConflateKeepsTheNameless(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, SlowReaders: Conflate})
	tc := tl.open()
	tc.room = 10
	tc.publish("c", "e", pad("first"))
	for i := range 5 {
		tc.publish("c", "", pad(fmt.Sprint("nameless ", i)))
		tc.publish("c", "e", pad(fmt.Sprint("named ", i)))
	}
	tc.read(unlimited)
	want := []string{"first", "nameless 0", "nameless 1", "nameless 2", "nameless 3", "nameless 4", "named 4"}
	if got := trim(tc.texts()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Where what cannot be dropped leaves little room, each event would cost a look
// at all of it, for ever: such a client is closed.
func TestLittleRoomIsLeft(t *testing.T) {
	for _, slow := range []SlowPolicy{DropOldest, Conflate} {
		for _, tt := range []struct {
			replies int
			open    bool
		}{{40, true}, {50, false}} {
			tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, SlowReaders: slow, Lost: lossNotice}).open()
			tc.room = 0
			for range 2 {
				tc.publish("c", "e", pad("event"))
			}
			for range tt.replies { // of 182 bytes each
				tc.SendFrame(text(pad("reply")))
			}
			for range 100 {
				tc.publish("c", "e", pad("event"))
			}
			if (tc.state == open) != tt.open {
				t.Errorf("policy %d, %d replies: open is %v", slow, tt.replies, tc.state == open)
			}
		}
	}
	// So is who is to get the newest event of too many names.
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, SlowReaders: Conflate}).open()
	tc.room = 0
	for i := range 100 {
		tc.publish("c", fmt.Sprint("e", i), pad("event"))
	}
	tc.tl.turn()
	tc.read(unlimited)
	if got := tc.texts(); !strings.Contains(got[len(got)-1], ErrSlowReader.Reason) {
		t.Errorf("got %q last", got[len(got)-1])
	}
}
