package engine

import (
	"testing"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// nowhere are sockets that take everything.
type nowhere struct{}

func (nowhere) write(_ int32, b []byte) (int, error) { return len(b), nil }
func (nowhere) writeAll(batch []sending) bool {
	for i := range batch {
		batch[i].n = len(batch[i].bytes)
	}
	return true
}
func (nowhere) watch(*Conn) error { return nil }
func (nowhere) abandon(int32)     {}
func (nowhere) finish(int32)      {}
func (nowhere) close(*Conn)       {}

// A frame arrives, and is answered in the turn that follows.
func BenchmarkMessage(b *testing.B) {
	tc := newTestLoop(b, Config{}, Endpoint{}).open()
	tc.tl.sockets = nowhere{}
	tc.endpoint.Protocol = echo
	frame := masked(codec.OpText, "hello")
	buffer := make([]byte, len(frame))
	b.ReportAllocs()
	for b.Loop() {
		copy(buffer, frame)
		tc.feed(buffer)
		tc.tl.turn()
	}
}

// A run is given to a thousand connections, half of which hear other channels.
func BenchmarkDeliver(b *testing.B) {
	tl := newTestLoop(b, Config{}, Endpoint{})
	var ids []uint64
	for i := range uint64(1000) {
		ids = append(ids, tl.open().ID()|i%2*delivery.Several)
	}
	tl.sockets = nowhere{}
	run := runOf(false, "c", "", text("hello"))
	b.ReportAllocs()
	for b.Loop() {
		for rest := ids; len(rest) > 0; {
			rest = rest[tl.Deliver(rest, run):]
		}
		tl.turn()
	}
}
