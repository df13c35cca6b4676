package engine

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

const (
	aPing = "1 000 1001 0 0000000"
	aPong = "1 000 1010 1 0000000"
)

func TestPingToIdle(t *testing.T) {
	tc := newTestConn(t)
	tc.advance(DefaultPingInterval - tick)
	tc.wantNothing()
	tc.advance(tick)
	tc.wantFrame(aPing)
	tc.write(aPong, mask)

	tc.advance(DefaultPingInterval)
	tc.wantFrame(aPing)
	tc.advance(DefaultPongTimeout - tick)
	tc.wantNothing()
	tc.wantOpen()
	tc.advance(tick)
	tc.wantEvents("close: " + ErrTimeout.Error())
	tc.wantNothing()
	tc.wantClosed()
	if !tc.abandoned {
		t.Error("the kernel goes on trying to reach a client that is gone")
	}
}

// A handshake in pieces is no message that has begun long ago.
func TestNoPingAfterAHandshakeInPieces(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tl.advance(2 * DefaultMessageTimeout)
	tc := tl.dial()
	tc.write(request[:10])
	tc.write(request[10:])
	tc.want([]byte(welcome))
	tc.advance(DefaultPingInterval / 2)
	tc.wantNothing()
}

// Any whole frame is a sign of life; nothing less is.
func TestSignsOfLife(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sent  []any
		alive bool
	}{
		{"message", []any{masked(codec.OpText, "hello")}, true},
		{"fragment", []any{"0 000 0001 1 0000001", mask, "a"}, true},
		{"ping", []any{masked(codec.OpPing, "")}, true},
		{"pong", []any{masked(codec.OpPong, "")}, true},
		{"nothing", nil, false},
		{"half a header", []any{"1 000 0001"}, false},
		{"half a message", []any{"1 000 0001 1 0000101", mask, "Hel"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestConn(t)
			tc.advance(DefaultPingInterval - tick)
			tc.write(tt.sent...)
			tc.got = nil
			tc.advance(tick)
			if !tt.alive {
				tc.wantFrame(aPing)
			}
			tc.wantNothing()
			tc.wantOpen()
		})
	}
}

// One byte now and then, or a fragment or ping, keeps no message alive.
func TestMessageThatNeverEnds(t *testing.T) {
	for _, tt := range []struct {
		name        string
		begin, more []any
	}{
		{"byte by byte", []any{"1 000 0010 1 1111101", mask}, []any{"x"}},
		{"fragment by fragment", []any{"0 000 0010 1 0000001", mask, "a"}, []any{"0 000 0000 1 0000001", mask, "a"}},
		{"pings in between", []any{"0 000 0010 1 0000001", mask, "a"}, []any{masked(codec.OpPing, "")}},
		{"half a header", []any{"1 000 0010"}, nil},
	} {
		for _, config := range []Config{{}, {PingInterval: -1}, {PingInterval: 10 * time.Second}} {
			t.Run(fmt.Sprint(tt.name, config.PingInterval), func(t *testing.T) {
				config.PongTimeout = 2 * DefaultMessageTimeout
				tc := newTestLoop(t, config, Endpoint{}).open()
				tc.write(tt.begin...)
				for since := time.Duration(0); since < DefaultMessageTimeout; since += time.Second {
					tc.wantOpen()
					tc.got = nil
					tc.advance(time.Second)
					tc.write(tt.more...)
				}
				tc.wantClose(codec.StatusPolicyViolation)
				tc.wantOnClose(errHalfSent.Code, errHalfSent.Reason)
				tc.wantFinished()
			})
		}
	}
}

// Without the deadline of messages those of pings count.
func TestFrameThatNeverEnds(t *testing.T) {
	tc := newTestLoop(t, Config{MessageTimeout: -1}, Endpoint{}).open()
	tc.write("1 000 0010 1 1111101", mask)
	for since := time.Duration(0); since < DefaultPingInterval+DefaultPongTimeout; since += time.Second {
		tc.wantOpen()
		tc.advance(time.Second)
		tc.write("x")
	}
	tc.wantEvents("close: " + ErrTimeout.Error())
	tc.wantClosed()
}

// A message that ends in time leaves no deadline behind.
func TestMessageInTime(t *testing.T) {
	tc := newTestLoop(t, Config{PingInterval: 10 * DefaultMessageTimeout}, Endpoint{}).open()
	tc.write("0 000 0001 1 0000001", mask, "a")
	tc.advance(DefaultMessageTimeout - tick)
	tc.write("1 000 0000 1 0000001", mask, "b")
	tc.wantMessage("ab")
	tc.advance(2 * DefaultMessageTimeout)
	tc.wantNothing()
	tc.wantOpen()
}

// Connections that fall silent together are not pinged together.
func TestPingsAreSpread(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	var conns []*testConn
	for range 32 {
		conns = append(conns, tl.open())
	}
	times := make(map[time.Duration]int)
	for at := time.Duration(0); at < DefaultPingInterval; {
		at += tick
		tl.advance(tick)
		for _, tc := range conns {
			if len(tc.got) > 0 {
				times[at]++
				tc.wantFrame(aPing)
			}
		}
	}
	pings := 0
	for at, n := range times {
		pings += n
		if at < DefaultPingInterval*7/8 || n > pingsAtOnce(len(conns)) {
			t.Errorf("%d pings after %v", n, at)
		}
	}
	if pings != len(conns) {
		t.Errorf("%d pings, want %d", pings, len(conns))
	}
}

// pingsAtOnce is how many of n connections that fell silent together are pinged
// in one tick, by default.
func pingsAtOnce(n int) int {
	places := int(DefaultPingInterval/8/tick) + 1
	return (n + places - 1) / places
}

// Whatever becomes of the jitter, by default no connection is ever silent for
// as long as proxies allow: 50 s in Debian's HAProxy, 55 s at Heroku, 60 s in
// nginx and AWS's ALB. Half of the shortest is left for delays in between.
func TestPingsComeBeforeProxiesCut(t *testing.T) {
	const shortest = 50 * time.Second
	tl := newTestLoop(t, Config{}, Endpoint{})
	silent := make(map[*testConn]time.Duration)
	for range 100 {
		silent[tl.open()] = 0
	}
	for range 10 * time.Minute / tick {
		tl.advance(tick)
		for tc := range silent {
			if silent[tc] += tick; silent[tc] > shortest/2 {
				t.Fatalf("nothing was sent for %v", silent[tc])
			}
			if len(tc.got) > 0 {
				tc.wantFrame(aPing)
				tc.write(aPong, mask)
				silent[tc] = 0
			}
		}
	}
}

// A large frame over a slow line leaves no place for a pong. As long as its
// bytes come it has all of the time that a message may take.
func TestPongBehindALongFrame(t *testing.T) {
	tc := newTestConn(t)
	tc.write("1 000 0010 1 1111101", mask)
	for since := 5 * time.Second; since < DefaultMessageTimeout; since += 5 * time.Second {
		tc.advance(5 * time.Second)
		tc.write("x")
		tc.wantOpen()
	}
	tc.wantFrame(aPing)
	tc.wantNothing()
	tc.write(strings.Repeat("x", 125-11), aPong, mask)
	if len(tc.events) != 1 || !strings.HasPrefix(tc.events[0], "2 ") {
		t.Errorf("Protocol was told %q, want one message", tc.events)
	}
	tc.advance(DefaultPongTimeout)
	tc.wantOpen()
}

// A loop that was stalled for a while reads what has come before it gives
// anybody up: the time in between does not count.
func TestLateLoop(t *testing.T) {
	for _, missed := range []time.Duration{DefaultPongTimeout, time.Hour} {
		tl := newTestLoop(t, Config{PingInterval: 2 * DefaultMessageTimeout}, Endpoint{})
		half := tl.open()
		half.write("0 000 0001 1 0000001", mask, "a")
		tl.advance(DefaultMessageTimeout / 2)
		tl.engine.clock.Add(inTicks(missed))
		tl.turn()
		half.write("1 000 0000 1 0000001", mask, "b")
		half.wantMessage("ab")

		tl = newTestLoop(t, Config{}, Endpoint{})
		answers, silent := tl.open(), tl.open()
		tl.advance(DefaultPingInterval)
		answers.wantFrame(aPing)
		silent.wantFrame(aPing)
		tl.engine.clock.Add(inTicks(missed))
		tl.turn()
		answers.write(aPong, mask)
		tl.advance(DefaultPongTimeout)
		answers.wantOpen()
		silent.wantEvents("close: " + ErrTimeout.Error())
		silent.wantClosed()
	}
}

// A drain goes on meanwhile.
func TestLateLoopDrains(t *testing.T) {
	tl := newTestLoop(t, Config{Loops: 1}, Endpoint{})
	tc := tl.open()
	tl.Post(func() { tl.drainOver(inTicks(time.Minute)) })
	tl.turn()
	tc.wantOpen()
	tl.engine.clock.Add(inTicks(time.Minute))
	tl.turn()
	tc.wantClose(codec.StatusGoingAway)
}

// If very many pings are due at once the loop reads in between, and nobody is
// left out or pinged twice, even if the next tick comes first.
func TestDeadlinesAreSliced(t *testing.T) {
	const n = 4*expireMax + 1
	tl := newTestLoop(t, Config{PingInterval: tick}, Endpoint{})
	pushed := addPump(t, tl)
	conns := make([]*testConn, n)
	for i := range conns {
		conns[i] = tl.open()
	}
	pings := func() (sent int) {
		for _, tc := range conns {
			if len(tc.got) > 0 {
				sent++
			}
		}
		return sent
	}
	for i := range 4 {
		if i%2 == 0 {
			tl.engine.clock.Add(1)
		}
		tl.turn()
		if want := (i + 1) * expireMax; pings() != want || !pushed() {
			t.Fatalf("turn %d: got %d pings, want %d and another turn", i, pings(), want)
		}
	}
	tl.turn()
	for _, tc := range conns {
		tc.wantFrame(aPing)
		tc.wantNothing()
	}
	for pushed() {
		tl.turn()
	}
	if pings() != 0 || tl.unseen != 0 {
		t.Errorf("at the end: %d pings, %d deadlines to look at", pings(), tl.unseen)
	}
}

func TestWithoutPings(t *testing.T) {
	tc := newTestLoop(t, Config{PingInterval: -1}, Endpoint{}).open()
	tc.advance(10 * DefaultPingInterval)
	tc.wantNothing()
	tc.wantOpen()
}

func TestCloseIsNotAnswered(t *testing.T) {
	tc := newTestConn(t)
	tc.Close(1000, "")
	tc.tl.turn()
	tc.wantClose(1000)
	tc.wantOnClose(1000, "")
	tc.write(masked(codec.OpText, "hello")) // is no answer
	tc.advance(DefaultCloseTimeout - tick)
	tc.wantOpen()
	tc.advance(tick)
	tc.wantClosed()
	tc.wantEvents()
}

func TestViolatorDoesNotLeave(t *testing.T) {
	tc := newTestConn(t)
	tc.write("1 111 0000")
	tc.wantClose(1002)
	tc.wantFinished()
	tc.advance(DefaultCloseTimeout)
	tc.wantState(true, true)
}

// The answer to a Close frame waits no longer than a closing handshake may
// take.
func TestCloseToSlowReader(t *testing.T) {
	tc := newTestConn(t)
	tc.room = 0
	tc.Send(codec.OpText, []byte("hello"))
	tc.write(closeFrame(1000, ""))
	tc.wantOpen()
	tc.advance(DefaultCloseTimeout)
	tc.wantNothing()
	tc.wantClosed()
	tc.wantOnClose(1000, "")
}

// A ping to a connection that does not read waits, and so does the time-out.
func TestPingToSlowReader(t *testing.T) {
	tc := newTestConn(t)
	tc.room = 0
	tc.advance(DefaultPingInterval)
	tc.wantNothing()
	tc.read(unlimited)
	tc.wantFrame(aPing)
	tc.write(aPong, mask)
	tc.advance(DefaultPongTimeout)
	tc.wantOpen()
}

// The deadlines of a connection end with it: its slot's next owner has others.
func TestDeadlinesOfSlot(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	one := tl.open()
	tl.advance(DefaultPingInterval - tick)
	one.hangUp(errReset)
	tl.turn()
	two := tl.open()
	if one.slot != two.slot {
		t.Fatalf("slot %d, want %d again", two.slot, one.slot)
	}
	tl.advance(DefaultPingInterval - tick)
	two.wantNothing()
	tl.advance(tick)
	two.wantFrame(aPing)
}

func TestInTicks(t *testing.T) {
	for _, tt := range []struct {
		in   time.Duration
		want uint32
	}{
		{-1, 0},
		{0, 0},
		{1, 1},
		{tick, 1},
		{tick + 1, 2},
		{time.Minute, 240},
		{math.MaxInt64 - tick, 1 << 31},
		{math.MaxInt64, 1 << 31},
	} {
		if got := inTicks(tt.in); got != tt.want {
			t.Errorf("inTicks(%d): got %d, want %d", tt.in, got, tt.want)
		}
	}
}
