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

// text is a text frame of a server.
func text(s string) []byte { return codec.AppendFrame(nil, codec.OpText, []byte(s)) }

func TestOneWritePerTurn(t *testing.T) {
	tc := newTestConn(t)
	tc.Send(codec.OpText, []byte("one"))
	tc.SendFrame(text("two"))
	tc.tl.Post(func() { tc.Send(codec.OpText, []byte("three")) })
	tc.send(masked(codec.OpPing, "four"))
	tc.wantNothing()
	tc.tl.turn()
	tc.wantText("one")
	tc.wantText("two")
	tc.wantFrame("1 000 1010 0 0000100", "four")
	tc.wantText("three")
	tc.wantNothing()
	if tc.writes != 1 {
		t.Errorf("%d writes, want 1", tc.writes)
	}
}

// The payload of Send is the caller's again.
func TestSendCopies(t *testing.T) {
	tc := newTestConn(t)
	payload := []byte("hello")
	tc.Send(codec.OpText, payload)
	clear(payload)
	tc.tl.turn()
	tc.wantText("hello")
}

// Much is written in few writes, in order.
func TestManyFrames(t *testing.T) {
	tc := newTestConn(t)
	var want []byte
	for i := range 1000 {
		frame := text(strings.Repeat(fmt.Sprint(i), 100))
		want = append(want, frame...)
		tc.SendFrame(frame)
	}
	tc.tl.turn()
	tc.want(want)
	tc.wantNothing()
	if most := len(want)/writeMax + 2; tc.writes > most {
		t.Errorf("%d writes for %d bytes, want at most %d", tc.writes, len(want), most)
	}
}

// However much the socket takes at a time, nothing is lost, doubled or out of
// order.
func TestPartialWrites(t *testing.T) {
	frames := [][]byte{text("a"), text(""), text(strings.Repeat("b", 200)), text("cc"), text(strings.Repeat("d", 70))}
	all := bytes.Join(frames, nil)
	for n := 1; n <= len(all); n++ {
		tc := newTestConn(t)
		tc.room = n
		for _, f := range frames[:3] {
			tc.SendFrame(f)
		}
		tc.tl.turn()
		for _, f := range frames[3:] {
			tc.SendFrame(f)
		}
		tc.tl.turn()
		for turns := 0; len(tc.got) < len(all); turns++ {
			if turns > len(all) || !tc.watched {
				t.Fatalf("%d bytes at a time: it has come to a halt after %q", n, tc.got)
			}
			tc.read(n)
		}
		tc.want(all)
		tc.wantNothing()
		if tc.out != nil {
			t.Fatalf("%d bytes at a time: the outbox is kept", n)
		}
	}
}

// A frame that does not fit into a joined write is not overtaken.
func TestLargeAmongSmall(t *testing.T) {
	tc := newTestConn(t)
	large := strings.Repeat("x", writeMax)
	for _, s := range []string{"one", large, "two", "three", large, large, "four"} {
		tc.Send(codec.OpText, []byte(s))
	}
	tc.tl.turn()
	for _, s := range []string{"one", large, "two", "three", large, large, "four"} {
		tc.wantText(s)
	}
	tc.wantNothing()
}

// While the socket takes nothing it is not tried.
func TestBlockedIsNotTried(t *testing.T) {
	tc := newTestConn(t)
	tc.room = 3
	tc.Send(codec.OpText, []byte("hello"))
	tc.tl.turn()
	tc.room = unlimited // but the loop does not know
	tc.Send(codec.OpText, []byte("again"))
	tc.tl.turn()
	if len(tc.got) != 3 {
		t.Fatalf("client got %q, want 3 bytes", tc.got)
	}
	tc.read(0)
	tc.wantText("hello")
	tc.wantText("again")
}

// A wake for a connection that waits for nothing does no harm.
func TestUncalledForWake(t *testing.T) {
	tc := newTestConn(t)
	tc.tl.writable(tc.slot)
	tc.tl.turn()
	tc.room = 0
	tc.Send(codec.OpText, []byte("hello"))
	tc.tl.turn()
	tc.tl.writable(tc.slot)
	tc.tl.turn()
	tc.read(unlimited)
	tc.wantText("hello")
	tc.hangUp(errReset)
	tc.tl.writable(tc.slot)
	tc.tl.turn()
	tc.tl.writable(tc.slot)
	tc.tl.turn()
}

// The frame in progress is completed; the others are dropped; then a Close
// frame says why.
func TestSlowReaderIsClosed(t *testing.T) {
	big := text(strings.Repeat("x", 100))
	for sent := 0; sent <= len(big); sent++ {
		tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500}).open()
		tc.room = sent
		for range 20 {
			tc.SendFrame(big)
			tc.tl.turn()
		}
		tc.wantOnClose(ErrSlowReader.Code, ErrSlowReader.Reason)
		tc.wantOpen()
		tc.read(unlimited)
		if sent > 0 {
			tc.want(big)
		}
		tc.wantClose(codec.StatusTryAgainLater)
		tc.wantFinished()
	}
}

// Who does not read the Close frame either is cut off.
func TestSlowReaderIsCutOff(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500}).open()
	tc.room = 10
	for range 20 {
		tc.Send(codec.OpText, make([]byte, 100))
		tc.tl.turn()
	}
	tc.wantOnClose(ErrSlowReader.Code, ErrSlowReader.Reason)
	tc.advance(DefaultCloseTimeout - tick)
	tc.wantOpen()
	tc.advance(tick)
	tc.wantClosed()
}

// The limit is about what the socket does not take.
func TestFastReaderIsNotClosed(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500}).open()
	want := bytes.Repeat(text("hello"), 10_000)
	for range 10_000 {
		tc.SendFrame(text("hello"))
	}
	tc.tl.turn()
	tc.want(want)
	tc.wantOpen()
}

// One message may wait however large it is, with the limit behind it.
func TestLargeMessageMayWait(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500}).open()
	tc.room = 1000
	large := strings.Repeat("x", 100_000)
	tc.Send(codec.OpText, []byte(large))
	tc.tl.turn()
	tc.write(masked(codec.OpPing, ""))
	tc.wantOpen()
	tc.read(unlimited)
	tc.wantText(large)
	tc.wantFrame("1 000 1010 0 0000000")
	tc.wantOpen()
}

// Who has exactly as much waiting as may wait gets it; a byte more is too much.
// A message costs 40 bytes more than it has, an event that may be left out 80.
func TestAsMuchAsMayWait(t *testing.T) {
	for _, tt := range []struct {
		name       string
		slow       SlowPolicy
		size, more int
		gets, ends bool
	}{
		{"a message", Disconnect, 800 - 40, 0, true, false},
		{"a message", Disconnect, 800 - 40, 1, false, true},
		{"an event", DropOldest, 700 - 80, 0, true, false}, // an eighth is for notices
		{"an event", DropOldest, 700 - 80, 1, false, false},
	} {
		tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 800, SlowReaders: tt.slow, Lost: lossNotice}).open()
		tc.room = 1
		tc.SendFrame(text("the one that is being sent does not count"))
		tc.tl.turn()
		f := make([]byte, tt.size+tt.more)
		tc.tl.Deliver([]uint64{tc.ID()}, runOf(true, "c", "e", f))
		tc.tl.turn()
		ends := tc.state != open
		tc.read(unlimited)
		if gets := bytes.Contains(tc.got, f); gets != tt.gets || ends != tt.ends {
			t.Errorf("%s of %d bytes: it gets there %t, want %t, and the connection ends %t, want %t",
				tt.name, len(f), gets, tt.gets, ends, tt.ends)
		}
	}
}

// Small frames cost more than their bytes: that counts too.
func TestManyPongsWait(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 100_000}).open()
	tc.room = 0
	pings := 0
	for tc.state == open {
		tc.write(masked(codec.OpPing, ""))
		pings++
	}
	if most := 100_000 / frameCost; pings > most+2 {
		t.Errorf("%d pongs may wait, want at most %d", pings, most)
	}
}

func TestSlowReaderBreaks(t *testing.T) {
	tc := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10}).open()
	tc.room = 1
	for range 5 {
		tc.Send(codec.OpText, []byte("hello"))
	}
	tc.tl.turn()
	tc.broken = unix.ECONNRESET
	tc.read(unlimited)
	tc.wantClosed()
	tc.wantOnClose(ErrSlowReader.Code, ErrSlowReader.Reason)
}

func TestSendDoesNotAllocate(t *testing.T) {
	tc := newTestConn(t)
	frame := text("hello")
	tc.got = make([]byte, 0, 1<<20)
	got := testing.AllocsPerRun(100, func() {
		tc.got = tc.got[:0]
		for range 10 {
			tc.SendFrame(frame)
		}
		tc.tl.turn()
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// A shared frame is never written to.
func TestSharedFrame(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	frame := text("hello")
	var conns []*testConn
	for i := range 10 {
		tc := tl.open()
		tc.room = i
		tc.SendFrame(frame)
		tc.SendFrame(frame)
		conns = append(conns, tc)
	}
	tl.turn()
	for _, tc := range conns {
		tc.read(unlimited)
		tc.wantText("hello")
		tc.wantText("hello")
	}
	if !bytes.Equal(frame, text("hello")) {
		t.Errorf("the frame has become %q", frame)
	}
}

// runOf returns a run of events of one channel and name.
func runOf(alone bool, channel, event string, frames ...[]byte) *delivery.Run {
	run := &delivery.Run{Joined: bytes.Join(frames, nil), Alone: alone}
	for _, f := range frames {
		run.Items = append(run.Items, delivery.Item{Frame: f, Channel: channel, Event: event})
	}
	return run
}

// deliver gives the frames to all of conns in one turn.
func (tl *testLoop) deliver(conns []*testConn, alone bool, flag uint64, frames ...[]byte) (served int) {
	ids := make([]uint64, len(conns))
	for i, tc := range conns {
		ids[i] = tc.ID() | flag
	}
	tl.work = func() time.Duration {
		served = tl.Deliver(ids, runOf(alone, "c", "", frames...))
		return -1
	}
	tl.turn()
	tl.work = nil
	return served
}

func TestDeliver(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	idle, full, queued, left := tl.open(), tl.open(), tl.open(), tl.open()
	opening, closing := tl.dial(), tl.open()
	full.room = 5
	queued.SendFrame(text("before"))
	closing.Close(1000, "")
	left.hangUp(errReset)

	all := []*testConn{idle, full, queued, left, opening, closing}
	if got := tl.deliver(all, true, 0, text("one"), text("two")); got != len(all) {
		t.Fatalf("%d served, want %d", got, len(all))
	}
	idle.wantText("one")
	idle.wantText("two")
	if idle.writes != 1 {
		t.Errorf("%d writes, want 1", idle.writes)
	}
	queued.wantText("before")
	queued.wantText("one")
	queued.wantText("two")
	if queued.writes != 1 {
		t.Errorf("%d writes, want 1", queued.writes)
	}
	full.read(unlimited)
	full.wantText("one")
	full.wantText("two")
	closing.wantClose(1000)
	for _, tc := range all {
		tc.wantNothing()
	}
}

// Runs that come one after the other in a turn leave in order, and in one write
// if they are announced with Several.
func TestDeliverSeveral(t *testing.T) {
	for _, tt := range []struct {
		name   string
		flag   uint64
		alone  bool
		writes int
	}{
		{"one subscription", 0, false, 2},
		{"several, but one run", delivery.Several, true, 2},
		{"several", delivery.Several, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t)
			ids := []uint64{tc.ID() | tt.flag}
			tc.tl.work = func() time.Duration {
				tc.tl.Deliver(ids, runOf(tt.alone, "c", "", text("one")))
				tc.tl.Deliver(ids, runOf(tt.alone, "c", "", text("two")))
				return -1
			}
			tc.tl.turn()
			tc.wantText("one")
			tc.wantText("two")
			tc.wantNothing()
			if tc.writes != tt.writes {
				t.Errorf("%d writes, want %d", tc.writes, tt.writes)
			}
		})
	}
}

// Whatever part of a run the socket takes, the rest follows.
func TestDeliverInParts(t *testing.T) {
	frames := [][]byte{text("a"), text(strings.Repeat("b", 200)), text("")}
	all := bytes.Join(frames, nil)
	for room := range len(all) + 1 {
		tl := newTestLoop(t, Config{}, Endpoint{})
		tc := tl.open()
		tc.room = room
		tl.deliver([]*testConn{tc}, true, 0, frames...)
		tl.deliver([]*testConn{tc}, true, 0, text("more"))
		tc.read(unlimited)
		tc.want(all)
		tc.wantText("more")
		tc.wantNothing()
		if tc.out != nil || tl.held.has(tc.slot) {
			t.Fatalf("room for %d bytes: it is held although nothing waits", room)
		}
	}
}

// A run that a slow reader cannot take closes it, and it alone.
func TestDeliverToSlowReader(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 300})
	slow, other := tl.open(), tl.open()
	slow.room = 10
	big := text(strings.Repeat("x", 100))
	for range 10 {
		tl.deliver([]*testConn{slow, other}, true, 0, big, big)
		other.want(append(append([]byte{}, big...), big...))
		other.wantNothing()
	}
	slow.wantOnClose(ErrSlowReader.Code, ErrSlowReader.Reason)
	slow.read(unlimited)
	slow.want(big)
	slow.wantClose(codec.StatusTryAgainLater)

	one := tl.open()
	one.room = 10
	tl.deliver([]*testConn{one}, true, 0, big, big, big, big, big)
	one.wantOnClose(ErrSlowReader.Code, ErrSlowReader.Reason)
}

// One that breaks while it is served is closed at the end of the turn.
func TestDeliverToBroken(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	one, broken, two := tl.open(), tl.open(), tl.open()
	broken.broken = unix.EPIPE
	closedAt := -1
	tl.script.onClose = func(*Conn, error) { closedAt = len(two.got) }
	tl.deliver([]*testConn{one, broken, two, broken}, true, 0, text("hello"))
	one.wantText("hello")
	two.wantText("hello")
	broken.wantEvents("close: " + unix.EPIPE.Error())
	broken.wantClosed()
	if closedAt != len(text("hello")) {
		t.Errorf("OnClose came before the others were served")
	}
}

func TestDeliverTakesASliceOfTime(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	var conns []*testConn
	for range 100 {
		conns = append(conns, tl.open())
	}
	ids := make([]uint64, len(conns))
	for i, tc := range conns {
		ids[i] = tc.ID()
	}
	rounds := 0
	tl.work = func() time.Duration {
		for len(ids) > 0 {
			tl.sliceEnd = time.Time{} // it is over
			n := tl.Deliver(ids, runOf(true, "c", "", text("hello")))
			if n < 1 || n > 32 {
				t.Fatalf("%d served, want a few", n)
			}
			ids = ids[n:]
			rounds++
		}
		return -1
	}
	tl.turn()
	for _, tc := range conns {
		tc.wantText("hello")
		tc.wantNothing()
	}
	if rounds < 3 {
		t.Errorf("%d rounds, want several", rounds)
	}
}

// A newcomer to a slot, and to a file descriptor, gets nothing that was for the
// one before it.
func TestSlotIsReused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(tc *testConn)
	}{
		{"something waited", func(tc *testConn) {
			tc.room = 3
			tc.SendFrame(text("secret"))
			tc.tl.turn()
			tc.hangUp(errReset)
		}},
		{"something was queued", func(tc *testConn) {
			tc.SendFrame(text("secret"))
			tc.hangUp(errReset)
		}},
		{"queued after the end", func(tc *testConn) {
			tc.hangUp(errReset)
			tc.SendFrame(text("secret"))
		}},
		{"half a message", func(tc *testConn) {
			tc.write("0 000 0001 1 0000110", mask, "secret")
			tc.hangUp(errReset)
		}},
		{"half a frame", func(tc *testConn) {
			tc.write("1 000 0001 1 0000110", mask, "sec")
			tc.hangUp(errReset)
		}},
		{"slow reader", func(tc *testConn) {
			tc.room = 3
			for range 10 {
				tc.SendFrame(text(strings.Repeat("secret", 20)))
			}
			tc.hangUp(errReset)
		}},
		{"wake on its way", func(tc *testConn) {
			tc.room = 3
			tc.SendFrame(text("secret"))
			tc.tl.turn()
			tc.tl.writable(tc.slot)
			tc.hangUp(errReset)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 500})
			old := tl.open()
			oldID := old.ID()
			tt.leave(old)

			// Before the next turn the file descriptor is free, but not the
			// slot.
			neighbour := tl.dial()
			if neighbour.fd != old.fd || neighbour.slot == old.slot {
				t.Fatalf("fd %d, slot %d; want fd %d again, and not slot %d", neighbour.fd, neighbour.slot, old.fd, old.slot)
			}
			tl.work = func() time.Duration {
				tl.Deliver([]uint64{oldID}, runOf(true, "c", "", text("secret")))
				return -1
			}
			tl.writable(old.slot)
			tl.turn()
			tl.work = nil
			neighbour.wantNothing()
			neighbour.write(request)
			neighbour.want([]byte(welcome))
			neighbour.wantEvents("open")
			newcomer := tl.open()
			if newcomer.slot != old.slot {
				t.Fatalf("slot %d, want %d again", newcomer.slot, old.slot)
			}
			for _, tc := range []*testConn{neighbour, newcomer} {
				tc.write(masked(codec.OpText, "hello"))
				tc.wantMessage("hello")
				tc.SendFrame(text("hello"))
				tl.writable(tc.slot)
				tl.turn()
				tc.wantText("hello")
				tc.wantNothing()
				tc.wantOpen()
			}
		})
	}
}

func TestOutboxAdvance(t *testing.T) {
	frames := [][]byte{text("one"), text(""), text("three")}
	all := bytes.Join(frames, nil)
	for first := range len(all) + 1 {
		for second := range len(all) - first + 1 {
			o := outbox{frames: append([][]byte(nil), frames...), bytes: len(all)}
			kept := o.frames
			o.advance(first)
			o.advance(second)
			var rest []byte
			if len(o.frames) > 0 {
				rest = bytes.Join(o.frames, nil)[o.sent:]
			}
			if want := all[first+second:]; !bytes.Equal(rest, want) || o.bytes != len(want) {
				t.Fatalf("%d and %d: got %q (%d bytes), want %q", first, second, rest, o.bytes, want)
			}
			for i, f := range kept[len(o.frames):] {
				if f != nil {
					t.Fatalf("%d and %d: frame %d is kept alive", first, second, i)
				}
			}
		}
	}
}

// A Worker that measures when its deliveries have left is told of that at the end of
// the turn, when all of them are with the sockets.
func TestWrittenFollowsTheWrites(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	conns := []*testConn{tl.open(), tl.open(), tl.open()}
	calls := 0
	tl.script.written = func() {
		calls++
		for i, tc := range conns {
			if len(tc.got) == 0 {
				t.Errorf("connection %d has got nothing yet", i)
			}
		}
	}
	conns[2].SendFrame(text("reply"))
	tl.deliver(conns[:2], true, 0, text("event"))
	if calls != 1 {
		t.Errorf("Written was called %d times in a turn, want once", calls)
	}
}
