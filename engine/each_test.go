package engine

import (
	"context"
	"testing"
)

func TestConnByID(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tc := tl.open()
	if got := tl.Loop.Conn(tc.ID()); got != tc.Conn || got.Path() != "/" {
		t.Errorf("got %v, want the connection at /", got)
	}
	for _, id := range []uint64{tc.ID() + 1, tc.ID() + 1<<32} {
		if tl.Loop.Conn(id) != nil {
			t.Errorf("the ID %x is not that of %x", id, tc.ID())
		}
	}
}

// Who has given up a call may rely on it that it does not begin any more.
func TestCallGivenUp(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	c := newCall()
	if c.wait(over, nil) {
		t.Error("a call that has not begun is waited for")
	}
	c.run(func() { t.Error("a call begins that was given up") })

	c = newCall()
	c.run(func() {})
	if !c.wait(over, nil) {
		t.Error("a call that was done is given up")
	}
}

// A walk looks at a bounded number of places at a time, and meets each open
// connection once.
func TestSlice(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	const n = 3*sliceSlots + 10
	conns := make([]*testConn, n)
	for i := range conns {
		conns[i] = tl.open()
	}
	for i := 0; i < n; i += 3 {
		conns[i].hangUp(errReset)
	}
	tl.turn()
	half := tl.dial() // not open yet
	met, slices := map[*Conn]int{}, 0
	for place, more := 0, true; more; slices++ {
		before := len(met)
		place, more = tl.Slice(place, func(c *Conn) bool { met[c]++; return true })
		if len(met)-before > sliceSlots {
			t.Fatalf("a slice has met %d connections", len(met)-before)
		}
	}
	for i, tc := range conns {
		if want := min(i%3, 1); met[tc.Conn] != want {
			t.Errorf("connection %d was met %d times, want %d", i, met[tc.Conn], want)
		}
	}
	if slices != 4 || met[half.Conn] != 0 {
		t.Errorf("%d slices, want 4; one in a handshake was met %d times", slices, met[half.Conn])
	}
	if next, more := tl.Slice(1, func(*Conn) bool { return false }); next != 2 || !more {
		t.Errorf("when f has enough: got %d, %t, want 2, true", next, more)
	}
	if next, more := tl.Slice(n+1000, nil); more {
		t.Errorf("beyond the end: got %d, %t", next, more)
	}
}
