package engine

import (
	"bytes"
	"testing"

	"github.com/coder/websocket"
)

// What lend knows of crypto/tls is so. Where this fails with a new release of
// Go, memory is worse and nothing else.
func TestLendKnowsTLS(t *testing.T) {
	if rawInputAt < 0 || handAt < 0 {
		t.Errorf("tls.Conn has rawInput at %d and hand at %d", rawInputAt, handAt)
	}
}

// Without lend the same bytes come out. Several connections of a loop, each in
// the middle of a record when the others read, share the buffer.
func TestLend(t *testing.T) {
	raw, hand := rawInputAt, handAt
	t.Cleanup(func() { rawInputAt, handAt = raw, hand })
	for _, lends := range []bool{true, false} {
		if !lends {
			rawInputAt, handAt = -1, -1
		}
		t.Run(map[bool]string{true: "with", false: "without"}[lends], func(t *testing.T) {
			e := startTLS(t, Config{Loops: 1}, Endpoint{Protocol: echo, MaxMessageSize: 1 << 20})
			var clients []*websocket.Conn
			for range 4 {
				clients = append(clients, dialChopped(t, e, clientTLS(), 1000))
			}
			for size := 1; size < 40_000; size = 3*size + 1 {
				for i, ws := range clients {
					message := bytes.Repeat([]byte{byte(i)}, size)
					if err := ws.Write(t.Context(), websocket.MessageBinary, message); err != nil {
						t.Fatal(err)
					}
				}
				for i, ws := range clients {
					_, got, err := ws.Read(t.Context())
					if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, size)) {
						t.Fatalf("client %d: %d bytes differ, or %v", i, size, err)
					}
				}
			}
		})
	}
}
