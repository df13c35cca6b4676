package pubsub

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

// placed is a hub whose channels get their messages from one source, and some that have come.
func placed(t *testing.T, size int) (*Hub, *Source) {
	t.Helper()
	h, source := NewHub(), new(Source)
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte {
		return fmt.Appendf(nil, "%d:%s", m.Offset, m.Data)
	}})
	h.SetHistory(func(string) History { return History{Size: size, TTL: time.Hour} })
	h.SetSources(func(string) *Source { return source })
	h.Begin(source, "e", nil, 0)
	for _, offset := range []uint64{1024, 1026, 1030, 5000, 5001} {
		channel := "c"
		if offset == 1030 {
			channel = "other"
		}
		if err := h.Place(Message{Channel: []byte(channel), Data: []byte("x"), Offset: offset}, Always); err != nil {
			t.Fatal(err)
		}
	}
	source.Pass(6143)
	return h, source
}

// Messages that come with their offsets are kept at these: pages and positions go by them,
// whichever numbers are left out, and a position may be where no message is.
func TestPlace(t *testing.T) {
	h, source := placed(t, 3)
	for _, tt := range []struct {
		q    Query
		want string
	}{
		{Query{Limit: 9}, "1026:x 5000:x 5001:x more false, from 1025 to 6143"},
		{Query{Limit: 2}, "5000:x 5001:x more true, from 1025 to 6143"},
		{Query{Limit: 1, Since: Position{"e", 1024}}, "1026:x more true, from 1025 to 6143"},
		{Query{Limit: 9, Since: Position{"e", 2000}}, "5000:x 5001:x more false, from 1025 to 6143"},
		{Query{Limit: 9, Since: Position{"e", 6000}}, "more false, from 1025 to 6143"},
		{Query{Limit: 9, Until: Position{"e", 4999}}, "1026:x more false, from 1025 to 6143"},
		{Query{Limit: 9, Since: Position{"e", 1023}}, "expired more false, from 1025 to 6143"},
		{Query{Limit: 9, Since: Position{"e", 6144}}, "ahead more false, from 1025 to 6143"},
		{Query{Limit: 9, Since: Position{"f", 5000}}, "epoch more false, from 1025 to 6143"},
	} {
		page, _ := h.History([]byte("c"), tt.q)
		got := string(page.Reason)
		for i, item := range page.Items {
			if i > 0 {
				got += " "
			}
			got += string(item.Frame)
		}
		if got != "" {
			got += " "
		}
		if got += fmt.Sprintf("more %v, from %d to %d", page.More, page.First, page.Top); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.q, got, tt.want)
		}
	}
	if _, err := h.Publish(Message{Channel: []byte("c")}, Always); !errors.Is(err, ErrPlaced) {
		t.Errorf("without an offset: got %v", err)
	}
	h.Forget(source, 8000)
	if page, err := h.History([]byte("c"), Query{Since: Position{"e", 5001}, Limit: 9}); err == nil || page.Top != 8000 || page.First != 8001 {
		t.Errorf("behind a gap: got %+v, %v", page, err)
	}
}

// A member of a channel in which all is old is told how far the source has come, and goes on
// from there, also if its channel has kept nothing since.
func TestPositionsOfASource(t *testing.T) {
	h, source := placed(t, 2)
	shard := NewShard(nothing{})
	join := func(channel string, since uint64) Begun {
		sub := new(Subscriber)
		sub.Init(shard, 1)
		b, err := h.SubscribeFrom(math.MaxInt, sub, []byte(channel), Start{Since: Position{"e", since}})
		if err != nil {
			t.Fatal(err)
		}
		sub.Leave()
		return b
	}
	for _, tt := range []struct {
		channel  string
		since    uint64
		offset   uint64
		top      uint64
		recovers bool
	}{
		{"c", 1026, 1026, 5001, true},
		{"c", 4000, 4000, 5001, true},
		{"c", 1025, 6143, 6143, false},
		{"c", 5001, 6143, 6143, true},
		{"c", 6000, 6143, 6143, true},
		{"c", 6144, 6143, 6143, false},
		{"quiet", 6143, 6143, 6143, true},
		{"quiet", 0, 6143, 6143, true},
	} {
		if b := join(tt.channel, tt.since); b.Recovered != tt.recovers || b.Offset != tt.offset || b.Top != tt.top || b.Epoch != "e" {
			t.Errorf("%s since %d: got %+v", tt.channel, tt.since, b)
		}
	}
	h.Forget(source, 9000)
	if b := join("quiet", 8999); b.Recovered || b.Offset != 9000 {
		t.Errorf("behind a gap: got %+v", b)
	}
	h.SetHistory(func(string) History { return History{} })
	source.Pass(9100) // published while nothing was kept
	h.SetHistory(func(string) History { return History{Size: 2, TTL: time.Hour} })
	if b := join("c", 9000); b.Recovered {
		t.Errorf("over a time without a history: got %+v", b)
	}
}

// Positions of epochs that the present one goes on from are good as far as each went; others
// are of no epoch.
func TestEpochsThatGoOn(t *testing.T) {
	h, source := placed(t, 9)
	h.Begin(source, "g", []Position{{"e", 3000}, {"f", 5000}}, 0)
	shard := NewShard(nothing{})
	for _, tt := range []struct {
		since  Position
		reason Reason
		events int // that follow
	}{
		{Position{"e", 1024}, "", 3},
		{Position{"e", 3000}, "", 2},
		{Position{"e", 3001}, ReasonEpoch, 0},
		{Position{"f", 3001}, "", 2},
		{Position{"f", 5000}, "", 1},
		{Position{"f", 5001}, ReasonEpoch, 0},
		{Position{"g", 5001}, "", 0},
		{Position{"h", 1024}, ReasonEpoch, 0},
	} {
		var s Subscriber
		s.Init(shard, 1)
		b, err := h.SubscribeFrom(math.MaxInt, &s, []byte("c"), Start{Since: tt.since})
		if err != nil || b.Reason != tt.reason || b.Recovered != (tt.reason == "") || b.Epoch != "g" {
			t.Errorf("%v: got %+v, %v, want the reason %q", tt.since, b, err, tt.reason)
		}
		s.Leave()
		page, err := h.History([]byte("c"), Query{Since: tt.since, Limit: 9})
		if (err != nil) != (tt.reason != "") || page.Reason != tt.reason || len(page.Items) != tt.events {
			t.Errorf("%v: got %d events and the reason %q, %v, want %d and %q", tt.since, len(page.Items), page.Reason, err, tt.events, tt.reason)
		}
	}
	if page, err := h.History([]byte("c"), Query{Until: Position{"e", 3000}, Limit: 9}); err != nil || len(page.Items) != 2 {
		t.Errorf("until: got %+v, %v", page, err)
	}
}

// Whoever waits for a position is told when all up to it has been placed, or another epoch has
// begun; not where there is nothing to wait for.
func TestAwait(t *testing.T) {
	h, source := placed(t, 9)
	none := func() { t.Error("nobody waits") }
	for _, p := range []Position{{"e", 6143}, {"f", 9000}, {"e", 0}} {
		if _, waits := h.Await([]byte("c"), p, none); waits {
			t.Errorf("%v is waited for", p)
		}
	}
	come := 0
	for _, offset := range []uint64{7000, 8000, 9000} {
		if _, waits := h.Await([]byte("c"), Position{"e", offset}, func() { come++ }); !waits {
			t.Fatalf("%d is not waited for", offset)
		}
	}
	early := new(Source)
	started := NewHub()
	started.SetSources(func(string) *Source { return early })
	begun := 0
	if _, waits := started.Await([]byte("c"), Position{"e", 1}, func() { begun++ }); !waits {
		t.Error("nobody waits for a source that has not begun")
	}
	if early.Pass(1 << 40); begun > 0 {
		t.Error("it has not begun yet")
	}
	if started.Begin(early, "e", nil, 0); begun != 1 {
		t.Error("it has begun, and nobody is told")
	}
	forget, _ := h.Await([]byte("c"), Position{"e", 7000}, none)
	forget()
	for _, tt := range []struct {
		passed uint64
		want   int
	}{{6999, 0}, {7000, 1}, {8500, 2}} {
		if source.Pass(tt.passed); come != tt.want {
			t.Errorf("at %d: %d of those that wait are told, want %d", tt.passed, come, tt.want)
		}
	}
	if h.Begin(source, "g", nil, 0); come != 3 || source.some.Load() {
		t.Errorf("%d are told that another epoch has begun, want 3", come)
	}
}
