package engine

import (
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
		"/":      {Handler: tl, MaxMessageSize: 3},
		"/other": {Handler: echo},
	}))
	tl.ticks = ticksOf(Config{PingInterval: time.Second}.withDefaults())
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

func TestReload(t *testing.T) {
	e := start(t, Config{Loops: 2, MaxConnections: 10}, Endpoint{Handler: &echo})
	ws := dial(t, e)
	endpoints := map[string]Endpoint{"/": {Handler: &echo}, "/new": {Handler: &echo}}
	if err := e.Reload(Config{MaxConnections: 1}, endpoints); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, ws, []byte("hello"))
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
	if err := tl.engine.Reload(Config{HandshakeTimeout: time.Second}, at("/", Endpoint{Handler: tl})); err != nil {
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
			e := start(t, Config{Loops: 2}, Endpoint{Handler: &echo})
			defer stopClock(e)()
			if err := e.Reload(tt.config, at("/", Endpoint{Handler: &echo})); err != nil {
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
