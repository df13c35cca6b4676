package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A client with wss:// at a port without TLS is told so at once, wherever its
// first bytes are cut.
func TestTLSToAPlainPort(t *testing.T) {
	hello := clientHello(t)
	for _, n := range []int{1, 2, 5, len(hello)} {
		tc := newTestLoop(t, Config{}, Endpoint{}).dial()
		tc.write(string(hello[:n]))
		if want := "This port does not speak TLS: connect with ws://."; !bytes.Contains(tc.got, []byte(want)) {
			t.Errorf("%d bytes: got %q, want %q in it", n, tc.got, want)
		}
		tc.wantRefusal(400)
		tc.tl.turn()
		if got := tc.tl.Stats().Refused["transport"]; got != 1 {
			t.Errorf("%d bytes: got %v, want one transport", n, tc.tl.Stats().Refused)
		}
	}
	// In the middle of a request that byte says nothing about TLS.
	tc := newTestLoop(t, Config{}, Endpoint{}).dial()
	tc.write("GET / HTTP/1.1\r\nX: ")
	tc.write("\x16\x03\x01")
	if bytes.Contains(tc.got, []byte("TLS")) {
		t.Errorf("got %q, want nothing of TLS", tc.got)
	}
}

// The log has the mistake of many clients, either way around, once in a minute.
func TestMismatchesAreLoggedOnceInAMinute(t *testing.T) {
	for _, tt := range []struct {
		name, bytes, want string
		transport         *transport
	}{
		{"wss:// to a plain port", string(clientHello(t)), "clients speak TLS to a port without TLS; they need ws://", nil},
		{
			"ws:// to a TLS port", "GET / HTTP/1.1\r\n\r\n", "clients do not speak TLS to a port with TLS; they need wss://",
			&transport{listener: newListener(Listener{TLS: serverTLS()}), stage: awaitingHello},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			tl := newTestLoop(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, Endpoint{})
			come := func(n int) {
				for range n {
					tc := tl.dial()
					if tt.transport != nil {
						tr := *tt.transport
						tr.conn, tc.transport = tc.Conn, &tr
					}
					tc.write(tt.bytes)
				}
			}
			want := func(records int, last string) {
				t.Helper()
				lines := strings.Split(strings.TrimSpace(log.String()), "\n")
				if len(lines) != records || !strings.Contains(lines[records-1], tt.want) || !strings.Contains(lines[records-1], last) {
					t.Errorf("got\n%s\nwant %d records, the last with %q", &log, records, last)
				}
			}
			come(5)
			want(1, "clients=1 last=192.0.2.1:1234")
			tl.engine.clock.Add(mismatchEvery - 1)
			come(3)
			want(1, "clients=1")
			tl.engine.clock.Add(1)
			come(1)
			want(2, "clients=8") // the four of the first minute, three, and this one
		})
	}
}
