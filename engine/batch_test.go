package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// play makes a loop that does so many writes at once go through a script, and
// returns all that its clients and its Handler have seen.
func play(t *testing.T, most int, script []byte) string {
	t.Helper()
	next := func() (b int) {
		if len(script) > 0 {
			b, script = int(script[0]), script[1:]
		}
		return b
	}
	how := next()
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 600, SlowReaders: SlowPolicy(how % 3), Lost: lossNotice})
	tl.batch.widen(most)
	var conns []*testConn
	for range 2 + how/3%7 {
		conns = append(conns, tl.open())
	}
	tl.script.onMessage = func(c *Conn, op codec.Opcode, payload []byte) {
		c.Send(op, payload)
		if string(payload) == "close" {
			c.Close(codec.StatusNormal, "")
		}
	}
	one := func() *testConn { return conns[next()%len(conns)] }
	for turn := 0; len(script) > 0; turn++ {
		tl.work = func() time.Duration {
			for range next() % 4 {
				b := next()
				frames := [][]byte{text(fmt.Sprintf("%d.%s", turn, strings.Repeat("x", b)))}
				for range b % 3 {
					frames = append(frames, text(fmt.Sprintf("%d more", turn)))
				}
				var ids []uint64
				for i, tc := range conns {
					if who := next(); who%4 > 0 && !tc.closed {
						ids = append(ids, conns[(i+b)%len(conns)].ID()|uint64(who/4%2)*delivery.Several)
					}
				}
				run := runOf(b%2 == 0, fmt.Sprint("c", b%3), fmt.Sprint("e", b%2), frames...)
				for rest := ids; len(rest) > 0; {
					rest = rest[tl.Deliver(rest, run):]
				}
				clear(run.Items) // as a shard does
				clear(run.Joined)
				if b%5 == 0 {
					one().SendFrame(text("between"))
				}
			}
			return -1
		}
		for range next() % 4 {
			tc := one()
			switch x := next(); x % 10 {
			case 0:
				tc.room = next()
			case 1:
				tc.room = unlimited
			case 2:
				tc.broken = results[next()%len(results)]
				if tc.broken == unix.Errno(0) || tc.broken == unix.EINTR {
					tc.broken = nil
				}
			case 3:
				tc.send(masked(codec.OpText, "hello"))
			case 4:
				tc.send(masked(codec.OpText, "close"))
			case 5:
				tc.send(masked(codec.OpPing, "p"), closeFrame(1000, ""))
			case 6:
				tl.Post(func() { tc.Close(codec.StatusNormal, "bye") })
			case 7:
				tl.Post(func() { tc.Send(codec.OpText, bytes.Repeat([]byte("y"), next())) })
			case 8:
				if !tc.closed {
					tc.hangUp(errReset)
				}
			case 9:
				tc.read(next())
			}
		}
		tl.turn()
		if len(tl.batch.sends) > 0 {
			t.Fatal("something waits in the batch after the turn")
		}
	}
	var seen strings.Builder
	for i, tc := range conns {
		fmt.Fprintf(&seen, "%d: %q %q, %d writes, finished %t, closed %t\n", i, tc.events, tc.got, tc.writes, tc.finished, tc.closed)
		if _, err := frames(tc.got); err != nil {
			t.Errorf("connection %d: %v in %q", i, err, tc.got)
		}
	}
	return seen.String()
}

// frames returns the payloads of a server's whole frames.
func frames(b []byte) (all []string, err error) {
	for len(b) >= 2 {
		n, head := int(b[1]), 2
		if n == 126 {
			if len(b) < 4 {
				break
			}
			n, head = int(b[2])<<8|int(b[3]), 4
		}
		if b[0]&0x70 != 0 || n > 126 && head == 2 {
			return all, fmt.Errorf("header % x", b[:2])
		}
		if len(b) < head+n {
			break
		}
		all = append(all, string(b[head:head+n]))
		b = b[head+n:]
	}
	return all, nil
}

// TestBatchesChangeNothing goes through all faults of a write at every position of a
// batch: the same comes of it as if each write was done by itself.
func TestBatchesChangeNothing(t *testing.T) {
	const clients = 6
	for policy := range 3 {
		for position := range clients {
			for _, fault := range [][]byte{
				{byte(position), 0, 0}, {byte(position), 0, 3}, {byte(position), 0, 40}, // room for so many bytes
				{byte(position), 2, 3}, {byte(position), 2, 4}, {byte(position), 2, 5}, {byte(position), 2, 6}, // EAGAIN, EPIPE, ECONNRESET, ENOBUFS
			} {
				everybody := func(size byte) []byte { return append([]byte{1, size}, bytes.Repeat([]byte{1}, clients)...) }
				script := []byte{byte(policy + 3*(clients-2))}
				script = append(append(script, 0), everybody(31)...)
				script = append(append(append(script, 1), fault...), everybody(31)...)
				for range 8 { // until the slow one has too much
					script = append(append(script, 0), everybody(121)...)
				}
				script = append(append(append(script, 1), byte(position), 3), everybody(31)...)     // it asks for something
				script = append(append(append(script, 1), byte(position), 9, 255), everybody(1)...) // it reads on
				script = append(append(append(script, 1), byte(position), 4), everybody(3)...)
				wantSame(t, script)
			}
		}
	}
}

func wantSame(t *testing.T, script []byte) {
	t.Helper()
	want := play(t, 1, script)
	for _, most := range []int{2, 3, ringEntries} {
		if got := play(t, most, script); got != want {
			t.Fatalf("script %v, %d writes at once:\n%s\nwant\n%s", script, most, got, want)
		}
	}
}

// A connection may wait for the end of the turn twice, and is in the batch once.
func TestBatchHasAConnectionOnce(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500})
	tc := tl.open()
	var want []byte
	for i := range 10 { // at the limit they are written at once
		f := text(pad(fmt.Sprint(i)))
		want = append(want, f...)
		tc.SendFrame(f)
	}
	tl.turn()
	tc.want(want)
	tc.wantNothing()
}

// What happens to a connection that is in a batch, from a callback, leaves the frames
// of it whole, and in order.
func TestBatchMemberIsInterfered(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(tc *testConn)
		want string // behind what was in the batch
	}{
		{"SendFrame", func(tc *testConn) { tc.SendFrame(text("more")) }, "more"},
		{"Close", func(tc *testConn) { tc.Close(codec.StatusNormal, "") }, "\x03\xe8"},
		{"abort", func(tc *testConn) { tc.abort(errReset) }, ""},
		{"fail", func(tc *testConn) { tc.fail(errNoMessage) }, "\x03\xea" + errNoMessage.Reason},
	} {
		for _, room := range []int{0, 1, 5, unlimited} {
			t.Run(fmt.Sprintf("%s, room for %d", tt.name, room), func(t *testing.T) {
				var member *testConn
				lost := func(l delivery.Lost) []byte {
					tt.do(member)
					return lossNotice(l)
				}
				tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: DropOldest, Lost: lost})
				slow := tl.open()
				member = tl.open()
				slow.room = 10
				for range 20 {
					slow.publish("c", "e", pad("x"))
				}
				member.room = room
				member.SendFrame(text("one"))
				slow.read(unlimited) // its notice is made when member is in the batch
				if tt.name == "abort" {
					member.wantClosed()
					return
				}
				member.read(unlimited)
				got, err := frames(member.got)
				if want := fmt.Sprintf("%q", []string{"one", tt.want}); err != nil || fmt.Sprintf("%q", got) != want {
					t.Errorf("%v, %q, want %s", err, member.got, want)
				}
			})
		}
	}
}

// FuzzBatch compares batches with single writes, whatever happens to the clients.
func FuzzBatch(f *testing.F) {
	f.Add([]byte{9, 1, 0, 0, 10, 1, 30, 1, 1, 1, 1, 1, 2, 1, 9, 40, 2, 2, 1, 1, 1, 1, 1, 7, 1, 1, 1, 1, 1})
	f.Add([]byte{20, 2, 0, 2, 4, 1, 6, 3, 15, 1, 5, 1, 5, 1, 5, 5, 5, 20, 1, 1, 1, 1, 1, 1, 1, 3, 2, 8, 3, 5, 4, 4})
	f.Add([]byte{0, 1, 0, 0, 5, 1, 30, 1, 1, 0, 1, 0, 9, 200, 0, 0, 0}) // a frame behind a run of which a part is sent
	f.Add(bytes.Repeat([]byte{7, 3, 2, 9, 200, 1, 0, 5}, 20))
	f.Fuzz(func(t *testing.T, script []byte) { wantSame(t, script) })
}
