package engine

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// A connection keeps its place where the handler is the same, and has the new
// limits and times; otherwise it is closed with 1001.
func TestRehome(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	stays, goes, half := tl.open(), tl.dial(), tl.dial()
	goes.write("GET /other" + request[len("GET /"):])
	goes.got, goes.events = nil, nil
	half.write(request[:10])

	tl.rehome(newTable(map[string]Endpoint{
		"/":      {Protocol: tl, MaxMessageSize: 3},
		"/other": {Protocol: echo},
	}))
	tl.retime(ticksOf(Config{PingInterval: time.Second}.withDefaults()))
	tl.turn()
	goes.wantClose(codec.StatusGoingAway)
	stays.write(masked(codec.OpText, "abc"))
	stays.wantMessage("abc")
	stays.advance(time.Second)
	stays.wantFrame(aPing)
	stays.write(masked(codec.OpText, "abcd"))
	stays.wantClose(codec.StatusTooBig)
	half.wantOpen()
}

// Other times count for who is silent already: longer ones from the beginning
// of the silence, shorter ones from the reload.
func TestRetime(t *testing.T) {
	const never = -1
	pinged := func(tc *testConn) {
		tc.advance(DefaultPingInterval)
		tc.wantFrame(aPing)
	}
	halfSent := func(tc *testConn) { tc.write("0 000 0001 1 0000001", mask, "a") }
	closes := func(tc *testConn) {
		tc.Close(codec.StatusNormal, "")
		tc.tl.turn()
		tc.wantClose(codec.StatusNormal)
	}
	ping := func(tc *testConn) bool { return len(tc.got) > 0 && tc.got[0] == 0x89 }
	end := func(tc *testConn) bool { return tc.closed || tc.finished }
	for _, tt := range []struct {
		name          string
		before, after Config
		dials         bool // and says nothing
		prepare       func(*testConn)
		happens       func(*testConn) bool
		want          time.Duration // after the reload, which is 4 s after prepare; 0 is never
	}{
		{name: "pings on", before: Config{PingInterval: never}, after: Config{PingInterval: time.Second}, happens: ping, want: time.Second},
		{name: "pings sooner", before: Config{PingInterval: time.Hour}, after: Config{PingInterval: time.Second}, happens: ping, want: time.Second},
		{name: "pings a little sooner", before: Config{PingInterval: 6 * time.Second}, after: Config{PingInterval: 5 * time.Second}, happens: ping, want: 2 * time.Second},
		{name: "pings later", before: Config{PingInterval: 5 * time.Second}, after: Config{PingInterval: 10 * time.Second}, happens: ping, want: 6 * time.Second},
		{name: "pings off", before: Config{PingInterval: 5 * time.Second}, after: Config{PingInterval: never}, happens: ping},
		{name: "pongs sooner", after: Config{PongTimeout: time.Second}, prepare: pinged, happens: end, want: time.Second},
		{name: "pongs later", after: Config{PongTimeout: time.Minute}, prepare: pinged, happens: end, want: 56 * time.Second},
		{name: "pongs at any time", after: Config{PongTimeout: never}, prepare: pinged, happens: end},
		{name: "handshakes sooner", after: Config{HandshakeTimeout: time.Second}, dials: true, happens: end, want: time.Second},
		{name: "handshakes later", after: Config{HandshakeTimeout: time.Minute}, dials: true, happens: end, want: 56 * time.Second},
		{name: "handshakes at any time", after: Config{HandshakeTimeout: never}, dials: true, happens: end},
		{name: "handshakes on", before: Config{HandshakeTimeout: never}, after: Config{HandshakeTimeout: time.Second}, dials: true, happens: end, want: time.Second},
		{name: "messages sooner", after: Config{MessageTimeout: 5 * time.Second}, prepare: halfSent, happens: end, want: time.Second},
		{name: "messages later", before: Config{MessageTimeout: 5 * time.Second}, after: Config{MessageTimeout: 10 * time.Second}, prepare: halfSent, happens: end, want: 6 * time.Second},
		{name: "messages at any time", before: Config{MessageTimeout: 5 * time.Second}, after: Config{MessageTimeout: never, PingInterval: never}, prepare: halfSent, happens: end},
		{name: "closing sooner", after: Config{CloseTimeout: time.Second}, prepare: closes, happens: end, want: time.Second},
		{name: "closing later", after: Config{CloseTimeout: time.Minute}, prepare: closes, happens: end, want: 56 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tl := newTestLoop(t, tt.before, Endpoint{})
			var tc *testConn
			if tt.dials {
				tc = tl.dial()
			} else {
				tc = tl.open()
			}
			if tt.prepare != nil {
				tt.prepare(tc)
			}
			tl.advance(4 * time.Second)
			tl.retime(ticksOf(tt.after.withDefaults()))
			if tt.want == 0 {
				tl.advance(30 * time.Minute)
				if tt.happens(tc) {
					t.Error("it happens")
				}
				return
			}
			tl.advance(tt.want - tick)
			if tt.happens(tc) {
				t.Errorf("it happens before %v", tt.want)
			}
			tl.advance(tick)
			if !tt.happens(tc) {
				t.Errorf("it does not happen after %v", tt.want)
			}
		})
	}
}

// Who falls silent is pinged in time however often something else is reloaded.
func TestRetimeOften(t *testing.T) {
	const never, late = -1, 10 * DefaultPingInterval
	for _, tt := range []struct {
		name     string
		messages [2]time.Duration // MessageTimeout, in turn
		sent     []any
	}{
		{"silent", [2]time.Duration{}, nil},
		{"half a message", [2]time.Duration{never, never}, []any{"1 000 0001 1 0000010", mask, "a"}},
		{"half a message with much time", [2]time.Duration{late, late}, []any{"1 000 0001 1 0000010", mask, "a"}},
		{"half a message with time that changes", [2]time.Duration{late, never}, []any{"1 000 0001 1 0000010", mask, "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := func(i int) Config {
				return Config{MessageTimeout: tt.messages[i%2], CloseTimeout: time.Duration(1+i%2) * time.Second}
			}
			tc := newTestLoop(t, config(0), Endpoint{}).open()
			tc.write(tt.sent...)
			reloads := 0
			advance := func(d time.Duration) {
				for range d / tick {
					tc.wantNothing()
					tc.wantOpen()
					reloads++
					tc.tl.retime(ticksOf(config(reloads).withDefaults()))
					tc.advance(tick)
				}
			}
			advance(DefaultPingInterval)
			tc.wantFrame(aPing)
			advance(DefaultPongTimeout)
			tc.wantClosed()
		})
	}
}

// Pings of those who have been silent for longer than the new interval are
// spread.
func TestRetimeSpreadsPings(t *testing.T) {
	tl := newTestLoop(t, Config{PingInterval: time.Hour}, Endpoint{})
	conns := make([]*testConn, 32)
	for i := range conns {
		conns[i] = tl.open()
	}
	tl.advance(10 * time.Minute)
	tl.retime(ticksOf(Config{}.withDefaults()))
	pings := 0
	for range DefaultPingInterval / tick {
		tl.advance(tick)
		now := 0
		for _, tc := range conns {
			if len(tc.got) > 0 {
				now++
				tc.wantFrame(aPing)
				tc.write(aPong, mask)
			}
		}
		if pings += now; now > pingsAtOnce(len(conns)) {
			t.Errorf("%d pings at once", now)
		}
	}
	if pings != len(conns) {
		t.Errorf("%d pings, want %d", pings, len(conns))
	}
}

func TestReload(t *testing.T) {
	e := start(t, Config{Loops: 2, MaxConnections: 10}, Endpoint{Protocol: &echo})
	ws, silent := dial(t, e), dialDeaf(t, e)
	endpoints := map[string]Endpoint{"/": {Protocol: &echo}, "/new": {Protocol: &echo}}
	if err := e.Reload(Config{MaxConnections: 1, PingInterval: tick}, endpoints); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, ws, []byte("hello"))
	got := make([]byte, 2)
	if _, err := io.ReadFull(silent, got); err != nil || !bytes.Equal(got, draw(aPing)) {
		t.Errorf("a silent client got %q, %v, want a ping", got, err)
	}
	if got := e.MaxConnections(); got != 1 {
		t.Errorf("got at most %d connections, want 1", got)
	}
	response, err := http.Get("http://" + e.Addr().String() + "/new")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("above the new limit: got %s", response.Status)
	}
}

// Who comes after it has the new time for the opening handshake.
func TestReloadHandshakeTimeout(t *testing.T) {
	tl := newTestLoop(t, Config{HandshakeTimeout: time.Hour}, Endpoint{})
	tl.engine.loops = []*Loop{tl.Loop}
	if err := tl.engine.Reload(Config{HandshakeTimeout: time.Second}, at("/", Endpoint{Protocol: tl})); err != nil {
		t.Fatal(err)
	}
	tl.turn()
	tc := tl.dial()
	tc.advance(time.Second + tick)
	tc.wantRefusal(408)
}

// How many may come in a second can be limited while the server runs.
func TestReloadConnectRate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		other  string // the answer to another address
	}{
		{"in all", Config{ConnectRate: 1}, "503 2"},
		{"from one address", Config{ConnectRatePerAddress: 1}, "101 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := start(t, Config{Loops: 2}, Endpoint{Protocol: &echo})
			defer stopClock(e)()
			if err := e.Reload(tt.config, at("/", Endpoint{Protocol: &echo})); err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"101 ", "503 2", "503 2"} {
				if got := answerFrom(t, e, "127.0.0.1"); got != want {
					t.Errorf("connection %d: got %q, want %q", i, got, want)
				}
			}
			if got := answerFrom(t, e, "127.0.0.2"); got != tt.other {
				t.Errorf("another address: got %q, want %q", got, tt.other)
			}
		})
	}
}
