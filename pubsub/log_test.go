package pubsub

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// read returns the offsets that a channel keeps, as a reader gets them.
func read(t testing.TB, h *Hub, channel string, now time.Duration) []uint64 {
	t.Helper()
	p, err := h.History([]byte(channel), Query{Limit: math.MaxInt, Now: now})
	if err != nil {
		t.Fatalf("History(%s): %v", channel, err)
	}
	return offsetsOf(p)
}

func offsetsOf(p Page) []uint64 {
	var all []uint64
	for _, item := range p.Items {
		all = append(all, item.Offset)
	}
	return all
}

// A message is kept for its time, and up to a second more: whoever reads then does
// not get it, whether something was swept or not.
func TestAge(t *testing.T) {
	const ttl = 5 * time.Second
	for _, sweep := range []bool{false, true} {
		for _, at := range []time.Duration{0, 999 * time.Millisecond, 3500 * time.Millisecond} {
			h, p := NewHub(), newPaced(t)
			historyForms(h)
			keepHistory(h, History{Size: 100, TTL: ttl - 300*time.Millisecond}) // rounded up
			post(t, h, "c", 1, at)
			post(t, h, "c", 1, at+2*time.Second)
			for _, tt := range []struct {
				after time.Duration
				kept  []uint64
			}{
				{ttl, []uint64{1, 2}},
				{ttl + time.Second, []uint64{2}},
				{ttl + 2*time.Second, []uint64{2}},
				{ttl + 3*time.Second, nil},
			} {
				now := at + tt.after
				if sweep {
					sweepAll(h, now)
				}
				b, err := h.SubscribeFrom(9, p.subscriber(1), []byte("c"), Start{Rewind: 9, Now: now})
				if want := 2 - uint64(len(tt.kept)); err != nil || b.Offset != want {
					t.Errorf("at %v, after %v: begun at %+v, %v, want %d", at, tt.after, b, err, want)
				}
				if got := read(t, h, "c", now); !slices.Equal(got, tt.kept) {
					t.Errorf("at %v, after %v: got %v, want %v", at, tt.after, got, tt.kept)
				}
			}
			checkHub(t, h)
		}
	}
}

// sweepAll makes whole rounds.
func sweepAll(h *Hub, now time.Duration) {
	for range 2 {
		h.history.sweep.last = now - sweepRound
		h.Sweep(now)
	}
}

// Publishers whose clocks differ leave no message behind that goes before its time.
func TestClocksThatDiffer(t *testing.T) {
	h := newHistoryHub(9)
	post(t, h, "c", 1, 10*time.Second)
	post(t, h, "c", 1, 8*time.Second)
	if got := read(t, h, "c", 69*time.Second); len(got) != 2 {
		t.Errorf("got %v, want both", got)
	}
	if got := read(t, h, "c", 5*time.Second); len(got) != 2 {
		t.Errorf("read with an earlier clock: got %v, want both", got)
	}
	if got := read(t, h, "c", 71*time.Second); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}

func TestSizeAndBytes(t *testing.T) {
	const each = 2 * (16 + 4) // two forms, "c:1:" and, a byte more, "~c:1:"
	for _, tt := range []struct {
		name string
		keep History
		n    int
		want []uint64
	}{
		{"one", History{Size: 1}, 3, []uint64{3}},
		{"up to the size", History{Size: 3}, 3, []uint64{1, 2, 3}},
		{"more", History{Size: 3}, 9, []uint64{7, 8, 9}},
		{"bytes", History{Size: 9, Bytes: 2 * (each + 1)}, 5, []uint64{4, 5}},
		{"a byte less", History{Size: 9, Bytes: 2*(each+1) - 1}, 5, []uint64{5}},
		{"bytes for none", History{Size: 9, Bytes: 20}, 5, nil},
	} {
		h := NewHub()
		historyForms(h)
		tt.keep.TTL = time.Second
		keepHistory(h, tt.keep)
		post(t, h, "c", tt.n, 0)
		if got := read(t, h, "c", 0); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		if got, want := h.HistoryStats().Bytes, int64(len(tt.want)*(each+1)); got != want {
			t.Errorf("%s: got %d bytes, want %d", tt.name, got, want)
		}
		if h.Exists([]byte("c")) != (tt.want != nil) {
			t.Errorf("%s: the channel exists: %v", tt.name, h.Exists([]byte("c")))
		}
		checkHub(t, h)
	}
}

// A channel that a message keeps exists until it is too old, and then goes with all
// that the hub knows of it but an offset: none comes again.
func TestFloor(t *testing.T) {
	h, p, told := newHistoryHub(9), newPaced(t), &teller{}
	h.Observe(told)
	names := collide(h, 1, 3)
	a, b, c := names[0], names[1], names[2]
	post(t, h, a, 5, 0)
	post(t, h, b, 2, 0)
	if h.Len() != 2 {
		t.Errorf("got %d channels, want those that keep something", h.Len())
	}
	sub := p.subscriber(1)
	subscribe(h, sub, []byte(b))
	sweepAll(h, time.Hour)
	if h.Exists([]byte(a)) || !h.Exists([]byte(b)) || h.Len() != 1 {
		t.Errorf("swept: got %d channels, want the one with a member", h.Len())
	}
	if got := post(t, h, b, 1, time.Hour); got != 3 {
		t.Errorf("a channel that stayed: got offset %d, want 3", got)
	}
	for i, want := range []uint64{6, 1} {
		name := []string{a, c}[i]
		if got := post(t, h, name, 1, time.Hour); got != want {
			t.Errorf("%s: got offset %d, want %d", name, got, want)
		}
	}
	for since, want := range map[uint64]Reason{4: ReasonExpired, 5: "", 6: "", 7: ReasonAhead} {
		if got := from(t, h, p.subscriber(2+since), a, since); got.Reason != want {
			t.Errorf("since %d: got %+v, want %q", since, got, want)
		}
	}
	sub.Leave()
	sweepAll(h, 3*time.Hour)
	if got := post(t, h, b, 1, 3*time.Hour); got != 4 {
		t.Errorf("got offset %d, want 4", got)
	}
	want := []string{"began " + a, "began " + b, "joined " + b + "1", "ended " + a, "began " + a, "began " + c}
	if got := told.lines; len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("the observer was told %q, want %q", got, want)
	}
	checkHub(t, h)
}

// A client that comes back to an idle channel, which was gone meanwhile, has missed
// nothing, whatever happened in others. A stripe knows that of so many channels; of others
// it knows only that no offset of theirs may come again.
func TestIdleChannelsAreRecovered(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	names := collide(h, 1, 2*endedMax)
	idle, busy, others := names[0], names[1], names[2:]
	visit := func(id, since uint64) Begun {
		sub := p.subscriber(id)
		defer sub.Leave()
		return from(t, h, sub, idle, since)
	}
	post(t, h, idle, 5, 0)
	sweepAll(h, time.Hour)
	for round := range uint64(3) {
		if b := visit(1+round, 5); !b.Recovered || b.Offset != 5 {
			t.Errorf("round %d: got %+v, want nothing missing", round, b)
		}
		post(t, h, busy, 20, time.Hour)
		sweepAll(h, time.Duration(2+round)*time.Hour)
	}
	if b := visit(9, 4); b.Reason != ReasonExpired {
		t.Errorf("behind: got %+v", b)
	}
	for _, name := range others {
		subscriber := p.subscriber(10)
		from(t, h, subscriber, name, 0)
		subscriber.Leave()
	}
	if n := len(h.stripe([]byte(idle)).kept.ended.younger) + len(h.stripe([]byte(idle)).kept.ended.older); n > endedMax {
		t.Errorf("%d channels that are gone are known, want at most %d", n, endedMax)
	}
	if b := visit(11, 5); b.Recovered || b.Reason != ReasonExpired || b.Offset < 60 || b.Lost != 0 {
		t.Errorf("forgotten: got %+v, and nobody knows how many are lost", b)
	}
	checkHub(t, h)
}

// Offsets of one hub mean nothing to another.
func TestEpoch(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		e := NewHub().Epoch()
		if len(e) != 8 || seen[e] || strings.ToLower(e) != e {
			t.Fatalf("got %q, want eight small letters and digits that come once", e)
		}
		seen[e] = true
	}
}

// All logs together have a limit. It falls on those that hold most, a quarter of each
// at a time, and a channel with little keeps it.
func TestHistoryBytes(t *testing.T) {
	h := newHistoryHub(10_000)
	h.LimitHistory(100_000)
	for i := range 20 {
		post(t, h, fmt.Sprint("small", i), 1, 0)
	}
	most := int64(0)
	for i := range 20_000 {
		post(t, h, fmt.Sprint("large", i%3), 1, 0)
		most = max(most, h.HistoryStats().Bytes)
	}
	if s := h.HistoryStats(); most > 100_000 || s.Bytes < 60_000 || s.Evicted < 15_000 {
		t.Errorf("got %+v, %d bytes at most", s, most)
	}
	for i := range 20 {
		if got := read(t, h, fmt.Sprint("small", i), 0); len(got) != 1 {
			t.Errorf("a small channel: got %v", got)
		}
	}
	for i := range 3 {
		if got := read(t, h, fmt.Sprint("large", i), 0); len(got) < 200 || got[len(got)-1] < 6666 {
			t.Errorf("a large channel keeps %d", len(got))
		}
	}
	checkHub(t, h)
	h.LimitHistory(1000) // at once, though none is above the mean of many
	if s := h.HistoryStats(); s.Bytes > 1000 {
		t.Errorf("got %+v", s)
	}
	h.LimitHistory(0)
	post(t, h, "new", 3000, 0)
	if got := read(t, h, "new", 0); len(got) != 3000 {
		t.Errorf("without a limit of its own: got %d", len(got))
	}
	checkHub(t, h)
}

// Sweep makes small steps of a round, and as many as are due.
func TestSweepGoesRound(t *testing.T) {
	h := newHistoryHub(1)
	const channels = 3000
	for i := range channels {
		post(t, h, fmt.Sprint(i), 1, 0)
	}
	now := time.Hour
	h.Sweep(now)
	first := channels - h.Len()
	h.Sweep(now + sweepPause/2)
	if got := channels - h.Len(); got != first {
		t.Errorf("a step that was not due: %d channels more", got-first)
	}
	last := h.Len()
	for range 8 {
		now += sweepPause
		h.Sweep(now)
		if got := last - h.Len(); got > channels/100 {
			t.Errorf("a step ended %d channels", got)
		}
		last = h.Len()
	}
	for range int(sweepRound/sweepPause) * 5 / 4 {
		now += sweepPause
		h.Sweep(now)
	}
	if got := h.Len(); got != 0 {
		t.Errorf("after a round: got %d channels", got)
	}
	checkHub(t, h)
}

// History is read in pages, both ways, and each message comes once.
func TestPages(t *testing.T) {
	h := newHistoryHub(10)
	post(t, h, "c", 25, 0) // 16 to 25 are kept
	at := func(o uint64) Position { return Position{h.Epoch(), o} }
	for _, tt := range []struct {
		name   string
		q      Query
		want   []uint64
		more   bool
		reason Reason
	}{
		{"the last", Query{Limit: 3}, []uint64{23, 24, 25}, true, ""},
		{"all", Query{Limit: 10}, []uint64{16, 17, 18, 19, 20, 21, 22, 23, 24, 25}, false, ""},
		{"none", Query{}, nil, true, ""},
		{"since", Query{Since: at(20), Limit: 2}, []uint64{21, 22}, true, ""},
		{"up to the end", Query{Since: at(23), Limit: 2}, []uint64{24, 25}, false, ""},
		{"since the end", Query{Since: at(25), Limit: 2}, nil, false, ""},
		{"since before the first", Query{Since: at(15), Limit: 1}, []uint64{16}, true, ""},
		{"until", Query{Until: at(20), Limit: 2}, []uint64{19, 20}, true, ""},
		{"down to the first", Query{Until: at(17), Limit: 9}, []uint64{16, 17}, false, ""},
		{"until before the first", Query{Until: at(15), Limit: 9}, nil, false, ""},
		{"too old", Query{Since: at(14), Limit: 1}, nil, false, ReasonExpired},
		{"until what is too old", Query{Until: at(14), Limit: 1}, nil, false, ReasonExpired},
		{"ahead", Query{Since: at(26), Limit: 1}, nil, false, ReasonAhead},
		{"another epoch", Query{Until: Position{"x", 20}, Limit: 1}, nil, false, ReasonEpoch},
		{"bytes", Query{Limit: 9, Bytes: 11}, []uint64{24, 25}, true, ""},
		{"bytes for none", Query{Since: at(20), Limit: 9, Bytes: 1}, []uint64{21}, true, ""},
	} {
		p, err := h.History([]byte("c"), tt.q)
		if !slices.Equal(offsetsOf(p), tt.want) || p.More != tt.more || p.Reason != tt.reason ||
			errors.Is(err, ErrNotRecovered) != (tt.reason != "") || p.First != 16 || p.Top != 25 || p.Epoch != h.Epoch() {
			t.Errorf("%s: got %+v, %v, want %v, more: %v, %q", tt.name, p, err, tt.want, tt.more, tt.reason)
		}
	}

	q := Query{Limit: 3}
	var back []uint64
	for more := true; more; {
		p, err := h.History([]byte("c"), q)
		if err != nil {
			t.Fatal(err)
		}
		back = append(offsetsOf(p), back...)
		q.Until, more = at(p.Items[0].Offset-1), p.More
	}
	if len(back) != 10 || back[0] != 16 || !slices.IsSorted(back) {
		t.Errorf("backwards: got %v", back)
	}

	p, err := h.History([]byte("not yet"), Query{Limit: 3})
	if err != nil || p.First != 1 || p.Top != 0 || p.More || len(p.Items) > 0 {
		t.Errorf("a channel that does not exist: got %+v, %v", p, err)
	}
	if h.Exists([]byte("not yet")) {
		t.Error("to read a history makes a channel")
	}
}

// What is kept of a live channel changes with SetHistory.
func TestSetHistoryOfLiveChannels(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	keep := func(size int, ttl time.Duration) {
		keepHistory(h, History{Size: size, TTL: ttl})
		checkHub(t, h)
	}
	sub := p.subscriber(1)
	subscribe(h, sub, []byte("c"))
	post(t, h, "unheard", 3, 0)
	post(t, h, "c", 6, 0)
	p.rest()
	keep(4, time.Minute)
	if got := read(t, h, "c", 0); !slices.Equal(got, []uint64{3, 4, 5, 6}) {
		t.Errorf("smaller: got %v", got)
	}
	keep(9, time.Second)
	post(t, h, "c", 2, 0)
	if got := read(t, h, "c", 0); len(got) != 6 {
		t.Errorf("larger: got %v", got)
	}
	if got := read(t, h, "c", 2*time.Second); len(got) != 0 {
		t.Errorf("for a shorter time: got %v", got)
	}
	post(t, h, "c", 2, 0) // 9 and 10
	p.rest()

	behind := p.subscriber(2)
	from(t, h, behind, "c", 8)
	post(t, h, "c", 1, 0) // 11 is pending
	h.SetHistory(nil)
	checkHub(t, h)
	if h.Exists([]byte("unheard")) || !h.Exists([]byte("c")) {
		t.Error("off: want the channel that is heard, and no other")
	}
	if got := post(t, h, "c", 1, 0); got != 0 {
		t.Errorf("off: got offset %d", got)
	}
	if _, err := h.Publish(Message{Channel: []byte("unheard")}, Refuse); !errors.Is(err, ErrNoChannel) {
		t.Errorf("off: got %v, want that there is no channel", err)
	}
	keep(9, time.Minute)
	late := p.subscriber(3)
	// What was published meanwhile is pending, and will be heard.
	if b := from(t, h, late, "c", 11); !b.Recovered || b.Top != 12 {
		t.Errorf("on again: got %+v", b)
	}
	if got := post(t, h, "c", 1, 0); got != 13 {
		t.Errorf("on again: got offset %d, want 13", got)
	}
	p.rest()
	for id, want := range map[uint64]string{1: "1 2 3 4 5 6 7 8 9 10 11 0 13", 2: "lost 3 to 11 0 13", 3: "0 13"} {
		got := p.offsets(id)
		if got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
	checkHub(t, h)
}

// What is published while a channel keeps nothing has no offset: nobody can be told
// later that it was not missed.
func TestPositionsFromBeforeAPauseExpire(t *testing.T) {
	for _, heard := range []bool{false, true} {
		h, p := newHistoryHub(5), newPaced(t)
		post(t, h, "c", 2, 0)
		if heard {
			from(t, h, p.subscriber(1), "c", 2)
		}
		p.rest()
		h.SetHistory(nil)
		if heard {
			post(t, h, "c", 1, 0)
			p.rest()
		}
		keepHistory(h, History{Size: 5, TTL: time.Minute})
		if b := from(t, h, p.subscriber(2), "c", 2); b.Recovered || b.Reason != ReasonExpired {
			t.Errorf("heard meanwhile: %v: got %+v", heard, b)
		}
	}
}

// The first history of a live channel begins behind what is pending.
func TestHistoryOfALiveChannelBegins(t *testing.T) {
	h, p := NewHub(), newPaced(t)
	historyForms(h)
	subscribe(h, p.subscriber(1), []byte("c"))
	post(t, h, "c", 2, 0)
	keepHistory(h, History{Size: 9, TTL: time.Minute})
	if b := from(t, h, p.subscriber(2), "c", 0); !b.Recovered || b.Offset != 0 {
		t.Errorf("got %+v", b)
	}
	post(t, h, "c", 2, 0)
	if b := from(t, h, p.subscriber(3), "c", 1); !b.Recovered || b.Offset != 1 {
		t.Errorf("got %+v", b)
	}
	p.rest()
	for id, want := range map[uint64]string{1: "0 0 1 2", 2: "0 0 1 2", 3: "2"} {
		if got := p.offsets(id); got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
}

// A history that begins or ends while a costly form is made: who hears that form gets
// the base of this one message.
func TestHistoryChangesWhileACostlyFormIsMade(t *testing.T) {
	for _, on := range []bool{true, false} {
		h, p := NewHub(), newPaced(t)
		keep := History{Size: 9, TTL: time.Minute}
		change := func() {}
		h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte { return fmt.Appendf(nil, "c:%d:", m.Offset) }})
		h.AddForm(Encoding{
			Base: 0, Costly: true,
			Encode: func(m Message, base []byte) []byte {
				change()
				if m.Offset == Later {
					return []byte("+c:")
				}
				return append([]byte("+"), base...)
			},
			Stamp: func(frame []byte, offset uint64) []byte { return fmt.Appendf(frame, "%d:", offset) },
		})
		if !on {
			keepHistory(h, keep)
		}
		sub := p.subscriber(1)
		sub.SetForm(1)
		subscribe(h, sub, []byte("c"))
		post(t, h, "c", 1, 0)
		change = func() {
			if on {
				keepHistory(h, keep)
			} else {
				h.SetHistory(nil)
			}
		}
		post(t, h, "c", 1, 0)
		change = func() {}
		post(t, h, "c", 1, 0)
		p.rest()
		want := []string{"+c:1:", "c:0:", "+c:0:"}
		if on {
			want = []string{"+c:0:", "c:1:", "+c:2:"}
		}
		if got := p.heard[1]; !slices.Equal(got, want) {
			t.Errorf("on %v: heard %q, want %q", on, got, want)
		}
	}
}

// A form that panics has used no offset, and leaves no channel behind.
func TestFormPanicsInAHistory(t *testing.T) {
	h, bad := NewHub(), true
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte {
		if bad {
			panic("bad")
		}
		return fmt.Appendf(nil, "c:%d:", m.Offset)
	}})
	keepHistory(h, History{Size: 9, TTL: time.Minute})
	for range 2 {
		func() {
			defer func() { _ = recover() }()
			post(t, h, "c", 1, 0)
			t.Error("no panic")
		}()
		if h.Len() != 0 {
			t.Errorf("got %d channels", h.Len())
		}
	}
	bad = false
	if got := post(t, h, "c", 1, 0); got != 1 {
		t.Errorf("got offset %d, want 1", got)
	}
	checkHub(t, h)
}

// A publisher begins channels with a history up to a limit.
func TestPublishWithin(t *testing.T) {
	h := newHistoryHub(9)
	for i, want := range []error{nil, nil, ErrFull, ErrFull} {
		_, err := h.Publish(Message{Channel: fmt.Append(nil, i)}, Refuse.Within(2))
		if !errors.Is(err, want) {
			t.Errorf("channel %d: got %v, want %v", i, err, want)
		}
	}
	if _, err := h.Publish(Message{Channel: []byte("1")}, Refuse.Within(2)); err != nil {
		t.Errorf("a channel that exists: got %v", err)
	}
	if _, err := h.Publish(Message{Channel: []byte("plain")}, Refuse); !errors.Is(err, ErrNoChannel) {
		t.Errorf("a channel without history: got %v", err)
	}
}

// A listener gets offsets too.
func TestListenToAHistory(t *testing.T) {
	h := newHistoryHub(9)
	var got []uint64
	l, err := h.Listen(9, []byte("c"), func(m Message) { got = append(got, m.Offset) })
	if err != nil {
		t.Fatal(err)
	}
	post(t, h, "c", 3, 0)
	l.Close()
	post(t, h, "c", 1, 0)
	if !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("got %v", got)
	}
}

// What a channel, an audience and a stored message cost beside their frames.
func TestBytesOfHistories(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  uintptr
		most uintptr
	}{
		{"a channel", unsafe.Sizeof(channel{}), 112},
		{"an audience", unsafe.Sizeof(audience{}), 240},
		{"a log", unsafe.Sizeof(log{}), 64},
		{"an entry", unsafe.Sizeof(entry{}), 16},
		{"a subscription", unsafe.Sizeof(subscription{}), 16},
		{"a subscriber", unsafe.Sizeof(Subscriber{}), 40},
		{"a stripe", unsafe.Sizeof(stripe{}), 64},
	} {
		if tt.got > tt.most {
			t.Errorf("%s: got %d bytes, want at most %d", tt.name, tt.got, tt.most)
		}
	}
	const channels, messages = 20000, 10
	names := make([][]byte, channels)
	for i := range names {
		names[i] = fmt.Appendf(nil, "channel:%07d", i)
	}
	frame := make([]byte, 192)
	measure := func(do func(h *Hub)) float64 {
		h := NewHub()
		h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(Message, []byte) []byte { return frame }})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		do(h)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(h)
		return float64(after.HeapAlloc-before.HeapAlloc) / channels
	}
	without := measure(func(h *Hub) { h.SetPermanent(namesOf(names)...) })
	with := measure(func(h *Hub) {
		keepHistory(h, History{Size: messages, TTL: time.Minute})
		h.SetPermanent(namesOf(names)...)
	})
	full := measure(func(h *Hub) {
		keepHistory(h, History{Size: messages, TTL: time.Minute})
		for range messages {
			for _, name := range names {
				if _, err := h.Publish(Message{Channel: name}, Always); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	each := (full - with) / messages
	t.Logf("%.0f bytes a channel without a log, %.0f with an empty one, %.1f a message beside its frame", without, with, each)
	if without > 190 || with-without > 72 || each > 20 {
		t.Errorf("got %.0f bytes for a channel, %.0f for a log and %.1f for a message, want at most 190, 72 and 20", without, with-without, each)
	}
}

func namesOf(names [][]byte) []string {
	all := make([]string, len(names))
	for i := range names {
		all[i] = string(names[i])
	}
	return all
}

// Publishing to a log that is full allocates nothing but the frames, and neither does
// a replay.
func TestNoAllocationsWithHistory(t *testing.T) {
	h, shard := NewHub(), NewShard(nothing{})
	frame := []byte("x")
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(Message, []byte) []byte { return frame }})
	keepHistory(h, History{Size: 16, TTL: time.Minute})
	sub := new(Subscriber)
	sub.Init(shard, 1)
	subscribe(h, sub, []byte("c"))
	m := Message{Channel: []byte("c")}
	got := testing.AllocsPerRun(100, func() {
		for range 3 {
			_, _ = h.Publish(m, Slowing(shard))
		}
		shard.Work()
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
	page, err := h.History([]byte("c"), Query{Limit: 1})
	if err != nil || &page.Items[0].Frame[0] != &frame[0] {
		t.Errorf("got %+v, %v, want the very frame that was published", page, err)
	}
}
