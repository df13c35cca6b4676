package engine_test

import "testing"

// What an idle connection holds, beside what gnet and the kernel hold for it: a
// Conn, a session with its first subscription, and places in the tables.
func TestBytesPerConnection(t *testing.T) {
	const n, bytesMax, objectsMax = 20_000, 208, 2.1
	c := newCrowd(t)
	c.grow(n)
	if got := c.idle(n); got.bytes > bytesMax || got.objects > objectsMax {
		t.Errorf("an idle connection holds %.0f bytes in %.2f objects, want at most %d in %v", got.bytes, got.objects, bytesMax, objectsMax)
	}
	const tablesMax = 72 // the tables and the lists of who leaves keep their size
	c.do(c.HangUp)
	c.do(func() {})
	if got := c.idle(n); got.bytes > tablesMax || got.objects > 0.1 {
		t.Errorf("a connection leaves %.0f bytes in %.2f objects behind, want at most %d", got.bytes, got.objects, tablesMax)
	}
}

// What a publish allocates does not depend on how many hear it.
func TestDeliveriesDoNotAllocate(t *testing.T) {
	const n = 10_000
	c := newCrowd(t)
	c.grow(n)
	c.do(func() { c.Feed(0, subscribe("few")) })
	one := testing.AllocsPerRun(10, func() { c.publish(t, "few", 1) })
	all := testing.AllocsPerRun(10, func() { c.publish(t, "all", n) })
	if per := (all - one) / n; per > 0.01 {
		t.Errorf("%v allocations for one hearer, %v for %d: %.3f for each delivery, want none", one, all, n, per)
	}
}

// From the bytes that arrive to the reply that waits to be written.
func TestCommandAllocations(t *testing.T) {
	c := newCrowd(t)
	c.grow(1)
	for _, tt := range []struct {
		name, command string
		want          float64
	}{
		{"publish", `{"publish":{"event":"e","channel":"all","data":{"a":[1,2,3]}}}`, 1}, // the frame for all
		{"publish to nobody", `{"publish":{"event":"e","channel":"few","data":1}}`, 1},
		{"subscribe again", `{"subscribe":{"channel":"all"}}`, 0},
		{"unsubscribe from what was not subscribed to", `{"unsubscribe":{"channel":"none"}}`, 0},
		{"auth", login, 3}, // the reply, and the client's name in it, which takes two with the race detector
	} {
		t.Run(tt.name, func(t *testing.T) {
			command := message(tt.command)
			var got float64
			c.do(func() { got = testing.AllocsPerRun(100, func() { c.Feed(0, command) }) })
			if got > tt.want {
				t.Errorf("%v allocations, want %v", got, tt.want)
			}
		})
	}
}
