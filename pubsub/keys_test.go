package pubsub

import (
	"fmt"
	"testing"
	"time"
)

// A key keeps a message from being published twice, for a window from its first use,
// and for two at most.
func TestKeys(t *testing.T) {
	const window = 10 * time.Second
	h, p := newHistoryHub(99), newPaced(t)
	h.RememberKeys(window, 0)
	subscribe(h, p.subscriber(1), []byte("c"))
	send := func(channel, key string, now time.Duration) Published {
		t.Helper()
		m := Message{Channel: []byte(channel), At: now}
		if key != "" {
			m.Key = []byte(key)
		}
		got, err := h.Publish(m, Refuse)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for i, step := range []struct {
		channel, key string
		now          time.Duration
		want         Published
	}{
		{"c", "", 0, Published{1, false}},
		{"c", "", 0, Published{2, false}},
		{"c", "k", 0, Published{3, false}},
		{"c", "k", 0, Published{3, true}},
		{"c", "l", 0, Published{4, false}},
		{"d", "k", 0, Published{1, false}}, // of another channel
		{"ck", "", 0, Published{1, false}},
		{"c", "k", window, Published{3, true}},
		{"c", "late", 19 * time.Second, Published{5, false}},
		{"c", "k", 20 * time.Second, Published{6, false}}, // two windows
		{"c", "late", 29 * time.Second, Published{5, true}},
		{"c", "late", 90 * time.Second, Published{7, false}},
	} {
		if got := send(step.channel, step.key, step.now); got != step.want {
			t.Errorf("step %d: got %+v, want %+v", i, got, step.want)
		}
	}
	p.rest()
	wantOffsets(t, p, 1, 1, 7)
}

// What is joined to a channel's name does not look like another's.
func TestKeysOfNeighbours(t *testing.T) {
	if digestOf([]byte("a"), []byte("bc")) == digestOf([]byte("ab"), []byte("c")) {
		t.Error("two channels share a key")
	}
	long := make([]byte, 1000)
	if digestOf(long, []byte("k")) == digestOf(long[:999], []byte("k")) {
		t.Error("two long channels share a key")
	}
}

// A publish that fails leaves no key, and one to a channel without history has one too.
func TestKeyOfAFailure(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	m := Message{Channel: []byte("plain"), Key: []byte("k")}
	if got, err := h.Publish(m, Refuse); err == nil {
		t.Errorf("got %+v", got)
	}
	subscribe(h, p.subscriber(1), []byte("plain"))
	for _, want := range []Published{{0, false}, {0, true}} {
		if got, err := h.Publish(m, Refuse); got != want || err != nil {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	p.rest()
	if len(p.heard[1]) != 1 {
		t.Errorf("heard %q", p.heard[1])
	}
}

// A hub remembers so many keys and no more; the newest are among them. Those that are
// out of date go with a sweep.
func TestKeysAreBounded(t *testing.T) {
	const most = 1000
	h := newHistoryHub(1)
	h.RememberKeys(time.Minute, most)
	send := func(channel string, i int) bool {
		got, err := h.Publish(Message{Channel: []byte(channel), Key: fmt.Append(nil, i)}, Refuse)
		if err != nil {
			t.Fatal(err)
		}
		return got.Duplicate
	}
	for i := range 20_000 {
		send(fmt.Sprint("c", i%50*(i/10_000)), i) // one channel, then many
		if n := h.keys.count.Load(); n > most {
			t.Fatalf("got %d keys, want at most %d", n, most)
		}
	}
	for i := range 100 {
		if send("one", i) || !send("one", i) {
			t.Fatalf("key %d: what was just written is not found", i)
		}
	}
	sweepAll(h, 10*time.Minute)
	left := h.keys.count.Load()
	for i := range h.stripes {
		if h.stripes[i].keys != nil {
			t.Errorf("stripe %d still has keys", i)
		}
	}
	if left != 0 {
		t.Errorf("got %d keys after the sweep", left)
	}
}

// One channel does not forget its newest keys, however many come.
func TestNewestKeysOfOneChannelAreKnown(t *testing.T) {
	const most = 100
	h := newHistoryHub(1)
	h.RememberKeys(time.Minute, most)
	for i := range 10 * most {
		m := Message{Channel: []byte("c"), Key: fmt.Append(nil, i)}
		if got, err := h.Publish(m, Refuse); err != nil || got.Duplicate {
			t.Fatalf("key %d: got %+v, %v", i, got, err)
		}
		for j := max(0, i-most/2+1); j <= i; j++ {
			m.Key = fmt.Append(nil, j)
			if got, err := h.Publish(m, Refuse); err != nil || !got.Duplicate {
				t.Fatalf("key %d is not known any more after %d: %v", j, i, err)
			}
		}
	}
	if n := h.keys.count.Load(); n > most {
		t.Errorf("got %d keys, want at most %d", n, most)
	}
}
