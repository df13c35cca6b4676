package pusher

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/nu7hatch/webrocket/hub"
)

// The table has what a map has, whatever comes and goes.
func TestTable(t *testing.T) {
	var table table
	want := map[uint64]*conn{}
	random := rand.New(rand.NewPCG(1, 2))
	for step := range 100_000 {
		number := random.Uint64N(64) << 8 // many of them are neighbours
		if step/20_000%2 == 1 {
			number = random.Uint64N(4096)<<8 | random.Uint64N(2)
		}
		switch c := want[number]; {
		case c == nil && random.IntN(3) > 0:
			c = new(conn)
			c.setNumber(number)
			table.add(c)
			want[number] = c
		case c != nil && random.IntN(2) == 0:
			table.remove(c)
			delete(want, number)
		}
		if got := table.find(number); got != want[number] || table.n != len(want) {
			t.Fatalf("step %d: found %p of %d, want %p of %d", step, got, table.n, want[number], len(want))
		}
	}
	for number, c := range want {
		if table.find(number) != c {
			t.Errorf("%d is lost", number)
		}
		table.remove(c)
	}
	if table.n != 0 || len(table.slots) > fewSlots || table.find(1) != nil {
		t.Errorf("at the end there are %d in %d slots", table.n, len(table.slots))
	}
}

// A search for what is not there ends, however many come after all have gone.
func TestTableIsNeverFull(t *testing.T) {
	var table table
	for most := range 40 {
		var all []*conn
		for i := range most {
			c := new(conn)
			c.setNumber(uint64(i) << 8)
			all = append(all, c)
			table.add(c)
			if !slices.Contains(table.slots, nil) {
				t.Fatalf("%d of %d slots are taken", table.n, len(table.slots))
			}
		}
		for _, c := range all {
			table.remove(c)
			if !slices.Contains(table.slots, nil) {
				t.Fatalf("%d of %d slots are taken", table.n, len(table.slots))
			}
		}
	}
}

// A number has 48 bits, whichever.
func TestNumber(t *testing.T) {
	for _, number := range []uint64{0, 1, 1<<32 - 1, 1 << 32, 1<<48 - 1} {
		var c conn
		c.setNumber(number)
		if c.number() != number {
			t.Errorf("got %d, want %d", c.number(), number)
		}
	}
}

// There may be millions of connections: what one has here is 16 bytes beside its session,
// and a place in the table.
func TestConnIsSmall(t *testing.T) {
	if size := int(unsafe.Sizeof(conn{})); size > int(unsafe.Sizeof(hub.Session{}))+16 {
		t.Errorf("a conn has %d bytes", size)
	}
	var all table
	for i := range 100_000 {
		c := new(conn)
		c.setNumber(uint64(i) << 8)
		all.add(c)
		if i >= 100 && len(all.slots)*8 > 12*(i+1) {
			t.Fatalf("%d connections have %d slots, more than 12 bytes for each", i+1, len(all.slots))
		}
	}
}
