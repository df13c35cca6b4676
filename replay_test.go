package webrocket_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// A reader that stops for a while, at a hub with Replay, hears each event of a channel
// that keeps enough of them, later and in order. Where the channel keeps less it is told
// exactly what it has missed, and it hears the newest. Events of a channel without a
// history are dropped, the oldest first, and it is told how many. It is never closed.
func TestSlowReaderGetsAReplay(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int // events that the channel a keeps
	}{
		{"everything is kept", 100_000},
		{"little is kept", 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const events = 500
			h := slowHandler(256<<10, webrocket.Replay)
			h.MaxHistoryBytes = 1 << 30
			h.Rules = []webrocket.Rule{{Match: "a", History: webrocket.History{Size: tt.size, TTL: time.Hour, Bytes: 1 << 30}}}
			s := slowServer(t, h)
			slow, quick := hearing(t, s), hearing(t, s)
			publisher := dial(t, s, "/")
			publisher.write(`{"auth":{"access":"read-write","secret":""}}`)
			publisher.want(`{"ok":true}`)
			for n := range events {
				for _, channel := range []string{"a", "b"} {
					command, _ := event(channel, n)
					publisher.write(command)
					reply := `{"ok":true}`
					if channel == "a" {
						reply = fmt.Sprintf(`{"ok":true,"offset":%d}`, n+1)
					}
					publisher.want(reply)
					if lost := quick.hear(channel, n); lost > 0 {
						t.Fatalf("the quick reader is told of %d lost events", lost)
					}
				}
			}
			lost := map[string]int{}
			for _, channel := range []string{"a", "b"} {
				lost[channel] = slow.hear(channel, events-1)
			}
			if lost["b"] == 0 || lost["a"] > 0 != (tt.size < events) {
				t.Errorf("the slow reader was told of %v lost events", lost)
			}
		})
	}
}

// A hearer checks what a subscriber of the channels a and b gets.
type hearer struct {
	t      *testing.T
	client *rawClient
	next   map[string]int // the number of the next event of each channel
	lost   map[string]int
}

func hearing(t *testing.T, s *webrocket.Server) *hearer {
	t.Helper()
	h := &hearer{t: t, client: dialRaw(t, s, "/"), next: map[string]int{}, lost: map[string]int{}}
	for _, command := range []string{
		`{"auth":{"access":"read-only","secret":""}}`,
		`{"subscribe":{"channel":"a"}}`,
		`{"subscribe":{"channel":"b"}}`,
	} {
		h.client.command(command)
		if _, reply := h.client.frame(); !strings.HasPrefix(reply, `{"ok":true`) {
			t.Fatalf("%s: got %s", command, reply)
		}
	}
	return h
}

// hear reads until the event n of a channel has come, or its loss is told, and returns how many events of
// the channel were lost so far.
func (h *hearer) hear(channel string, n int) (lost int) {
	h.t.Helper()
	for h.next[channel] <= n {
		op, message := h.client.frame()
		if op != codec.OpText {
			h.t.Fatalf("got a frame with opcode %d, %q", op, message)
		}
		var got struct {
			Channel string
			Lost    int
			Offset  int
		}
		if err := json.Unmarshal([]byte(message), &got); err != nil {
			h.t.Fatalf("got %.60q: %v", message, err)
		}
		next := h.next[got.Channel]
		if got.Lost > 0 {
			h.next[got.Channel] += got.Lost
			h.lost[got.Channel] += got.Lost
			if got.Channel == "a" && got.Offset != h.next["a"] || got.Channel == "b" && got.Offset != 0 {
				h.t.Fatalf("got %s after %d events", message, next)
			}
			continue
		}
		_, want := event(got.Channel, next)
		if got.Channel == "a" {
			want = fmt.Sprintf(`%s,"offset":%d}`, strings.TrimSuffix(want, "}"), next+1)
		}
		if message != want {
			h.t.Fatalf("event %d of %s: got %.60s… (%d bytes), want %.60s… (%d bytes)", next, got.Channel, message, len(message), want, len(want))
		}
		h.next[got.Channel]++
	}
	return h.lost[channel]
}
