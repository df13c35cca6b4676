package cluster

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/nu7hatch/webrocket/hub"
)

// heap returns the bytes that f has left in use.
func heap(f func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

// What a member of a channel costs at the node where it is connected, beside its connection,
// and at each other node. docs/cluster.md has the figures.
func TestBytesPerFact(t *testing.T) {
	const members = 50_000
	h, err := hub.New("/", hub.Config{Rules: []hub.Rule{{Match: "room:*", Presence: hub.Presence{Mode: hub.PresenceUsers}}}})
	if err != nil {
		t.Fatal(err)
	}
	told := newTeller(1)
	own := heap(func() {
		for i := range members {
			user := strconv.Itoa(i)
			told.set(factKey{hub: "/", channel: "room:1", name: fmt.Sprintf("client-%05d", i), kind: 'p'}, string(rune(len(user)))+user)
			told.take()
		}
	})
	told.want(1<<shards - 1)
	known := newLearner(2, nil)
	known.join("/", h)
	far := heap(func() {
		told.beat(0, func(m []byte) {
			if k, from, rest, err := parseHead(m); err != nil || known.take(0, k, from, rest) != nil {
				t.Fatal("a message cannot be read")
			}
		})
	})
	if page, err := h.Presence("room:1", 0, -1); err != nil || page.Users != members {
		t.Fatalf("%d users are present, %v", page.Users, err)
	}
	t.Logf("%d bytes of a member at its own node, %d at each other one", own/members, far/members)
	if own/members > 200 || far/members > 500 {
		t.Errorf("%d bytes of a member at its own node, want 200 at most, and %d at each other one, want 500", own/members, far/members)
	}
	runtime.KeepAlive(told)
	runtime.KeepAlive(known)
}
