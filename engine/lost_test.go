package engine

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A panic of Lost costs the connection that was to be told.
func TestLostPanics(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 100, SlowReaders: DropOldest, Lost: func(delivery.Lost) []byte { panic("no words") }})
	broken, good := tl.open(), tl.open()
	broken.room = 0
	for range 10 {
		broken.publish("c", "e", "hello")
		good.publish("c", "e", "hello")
	}
	broken.read(unlimited)
	broken.wantOnClose(1011, "internal error")
	for range 10 {
		good.wantText("hello")
	}
	good.wantOpen()
	if n := tl.Stats().Panics; n != 1 {
		t.Errorf("%d panics, want 1", n)
	}
}

// So does one of who has said over TLS that it leaves, and for whom nothing
// else waits: it hears of none.
func TestLostPanicsOverTLS(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: DropOldest, Lost: func(l delivery.Lost) []byte {
		if l.Channel == "b" {
			panic("no words")
		}
		return text(pad("lost"))
	}})
	tc, client, wire := tl.openSealed()
	tc.room = 0
	tc.publish("a", "e", "first")
	tc.publish("a", "e", "second")
	tc.publish("a", "e", strings.Repeat("x", 2000))
	tc.publish("b", "e", strings.Repeat("x", 2000))
	_ = client.CloseWrite()
	tc.write(wire.sent())
	tc.wantOpen()
	tc.read(unlimited)
	tc.wantSealed(client, wire, bytes.Join([][]byte{text("first"), text("second"), text(pad("lost"))}, nil), nil)
	tc.wantEvents("close: EOF")
	tc.wantClosed()
	if n := tl.Stats().Panics; n != 1 {
		t.Errorf("%d panics, want 1", n)
	}
}
