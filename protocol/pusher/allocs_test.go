//go:build !race

package pusher

import (
	"hash/maphash"
	"strings"
	"testing"
)

// What each connection and each event needs costs no more allocations than frames.
func TestAllocations(t *testing.T) {
	a := &App{seed: maphash.MakeSeed()}
	ring := ringOf(ours)
	auth := ours.SignChannel(a.socketID(1), "private-c", "")
	said := []byte(`{"event":"client-e","channel":"private-c","data":{"a":"` + strings.Repeat("b", 100) + `"}}`)
	subscribe := []byte(`{"event":"pusher:subscribe","data":{"channel":"private-c","auth":"` + auth + `"}}`)
	data := []byte(`{"a":"` + strings.Repeat("b", 100) + `"}`)
	for _, tt := range []struct {
		name string
		most float64
		do   func()
	}{
		{"a client event is read", 0, func() { _, _ = parseMessage(said) }},
		{"a subscription is read and verified", 0, func() {
			m, _ := parseMessage(subscribe)
			args, _ := m.arguments()
			auth, _ := textOf(args.auth)
			if !ring.verify(auth, func(dst []byte) []byte { return appendChannelText(a.appendSocketID(dst, 1), "private-c", nil) }) {
				t.Error("the signature is not good")
			}
		}},
		{"an event is written", 1, func() { finish(eventMessage([]byte("client-e"), []byte("private-c"), data, "")) }},
		{"the first message is written", 1, func() { finish(a.established(1, 120)) }},
		{"an answer is written", 1, func() { finish(internal("pusher_internal:subscription_succeeded", "private-c", "{}")) }},
	} {
		if got := testing.AllocsPerRun(100, tt.do); got > tt.most {
			t.Errorf("%s: got %.0f allocations, want %.0f", tt.name, got, tt.most)
		}
	}
}
