package webrocket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// event is what subscribers get for the n-th event, of a size that varies.
func event(channel string, n int) (command, event string) {
	data := fmt.Sprintf(`[%d,"%s"]`, n, strings.Repeat(string(rune('a'+n%26)), n*7919%30_000))
	event = fmt.Sprintf(`"event":"e","channel":"%s","data":%s}`, channel, data)
	return `{"publish":{` + event + `}`, `{` + event
}

// slowHub serves a hub whose sockets take little, and returns a publisher and
// subscribers of the channels a and b.
func slowHub(t *testing.T, queued, subscribers int) (publisher *client, readers []*rawClient) {
	t.Helper()
	return slowHubWith(t, queued, subscribers, webrocket.Disconnect)
}

func slowHubWith(t *testing.T, queued, subscribers int, policy webrocket.SlowPolicy) (publisher *client, readers []*rawClient) {
	t.Helper()
	return slowClients(t, slowServer(t, slowHandler(queued, policy)), subscribers)
}

func slowHandler(queued int, policy webrocket.SlowPolicy) *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Channels = []string{"a", "b"}
	h.MaxQueuedBytes = queued
	h.SlowReaders = policy
	return h
}

func slowServer(t *testing.T, h *webrocket.HubHandler) *webrocket.Server {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Config.Loops = 2
	s.Config.SendBuffer = 4096
	s.Config.CloseTimeout = patience // a slow reader is slow to read the Close frame too
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func slowClients(t *testing.T, s *webrocket.Server, subscribers int) (publisher *client, readers []*rawClient) {
	t.Helper()
	for range subscribers {
		c := dialRaw(t, s, "/")
		for _, command := range []string{
			`{"auth":{"access":"read-only","secret":""}}`,
			`{"subscribe":{"channel":"a"}}`,
			`{"subscribe":{"channel":"b"}}`,
		} {
			c.command(command)
			if _, reply := c.frame(); reply != `{"ok":true}` {
				t.Fatalf("%s: got %s", command, reply)
			}
		}
		readers = append(readers, c)
	}
	publisher = dial(t, s, "/")
	publisher.write(`{"auth":{"access":"read-write","secret":""}}`)
	publisher.want(`{"ok":true}`)
	return publisher, readers
}

// Who does not read for a while gets everything all the same, in order and in
// one piece, however the writes were cut.
func TestSlowReadersGetEverything(t *testing.T) {
	const events = 300
	publisher, readers := slowHub(t, 64<<20, 10)
	for n := range events {
		for _, channel := range []string{"a", "b"} {
			command, _ := event(channel, n)
			publisher.write(command)
			publisher.want(`{"ok":true}`)
		}
	}
	for i, c := range readers {
		next := map[string]int{}
		for range 2 * events {
			_, got := c.frame()
			channel := "a"
			if strings.HasPrefix(got, `{"event":"e","channel":"b"`) {
				channel = "b"
			}
			if _, want := event(channel, next[channel]); got != want {
				t.Fatalf("reader %d, event %d of %s: got %.60s… (%d bytes), want %.60s… (%d bytes)",
					i, next[channel], channel, got, len(got), want, len(want))
			}
			next[channel]++
		}
	}
}

// Who does not read at all is closed with 1013 after a gapless beginning, and
// holds up nobody.
func TestSlowReaderIsClosed(t *testing.T) {
	const events = 1000
	publisher, readers := slowHub(t, 256<<10, 2)
	slow, quick := readers[0], readers[1]
	for n := range events {
		command, want := event("a", n)
		publisher.write(command)
		publisher.want(`{"ok":true}`)
		if _, got := quick.frame(); got != want {
			t.Fatalf("the quick reader: got %.60s…, want %.60s…", got, want)
		}
	}
	for n := 0; ; n++ {
		op, got := slow.frame()
		if op == codec.OpClose {
			if !strings.HasPrefix(got, "\x03\xf5") {
				t.Errorf("the slow reader: got %q, want a Close frame with 1013", got)
			}
			if n == events {
				t.Error("the slow reader got everything")
			}
			return
		}
		if _, want := event("a", n); got != want {
			t.Fatalf("the slow reader, event %d: got %.60s…, want %.60s…", n, got, want)
		}
	}
}

// stalledReader serves a hub with a policy and returns a publisher, a reader
// that does not read, and one that does.
func stalledReader(t *testing.T, policy webrocket.SlowPolicy) (publisher *client, slow, quick *rawClient) {
	t.Helper()
	publisher, readers := slowHubWith(t, 256<<10, 2, policy)
	return publisher, readers[0], readers[1]
}

// flood publishes events that the quick reader gets at once.
func flood(t *testing.T, publisher *client, quick *rawClient, events int) {
	t.Helper()
	for n := range events {
		command, want := event("a", n)
		publisher.write(command)
		publisher.want(`{"ok":true}`)
		if _, got := quick.frame(); got != want {
			t.Fatalf("the quick reader: got %.60s…, want %.60s…", got, want)
		}
	}
}

// Who does not read loses the oldest events, is told how many, and stays.
func TestSlowReaderIsTold(t *testing.T) {
	const events = 1000
	publisher, slow, quick := stalledReader(t, webrocket.DropOldest)
	flood(t, publisher, quick, events)
	lost := 0
	for next := 0; next < events; {
		_, got := slow.frame()
		var n int
		if _, err := fmt.Sscanf(got, `{"lost":%d,"channel":"a"}`, &n); err == nil {
			lost += n
			next += n
			continue
		}
		if _, want := event("a", next); got != want {
			t.Fatalf("event %d: got %.60s…, want %.60s…", next, got, want)
		}
		next++
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

// Who does not read gets the newest event, whatever came before.
func TestSlowReaderGetsTheNewest(t *testing.T) {
	const events = 1000
	publisher, slow, quick := stalledReader(t, webrocket.Conflate)
	flood(t, publisher, quick, events)
	_, last := event("a", events-1)
	for n := 1; ; n++ {
		_, got := slow.frame()
		if got == last {
			if n == events {
				t.Error("nothing was left out")
			}
			return
		}
	}
}

// A hub that a reload makes conflate knows events by their names from then on.
func TestReloadToConflate(t *testing.T) {
	s := slowServer(t, slowHandler(256<<10, webrocket.Disconnect))
	publisher, readers := slowClients(t, s, 1)
	reload(t, s, hubs{"/": slowHandler(256<<10, webrocket.Conflate)})
	data := strings.Repeat("x", 10_000)
	for n := range 500 {
		for _, name := range []string{"one", "two"} {
			publisher.write(fmt.Sprintf(`{"publish":{"event":"%s","channel":"a","data":"%d %s"}}`, name, n, data))
			publisher.want(`{"ok":true}`)
		}
	}
	heard := map[string]bool{}
	for got := ""; !strings.HasPrefix(got, `{"event":"two","channel":"a","data":"499 `); {
		_, got = readers[0].frame()
		heard[got[:len(`{"event":"one","channel":"a","data":"499 `)]] = true
	}
	if len(heard) == 1000 || !heard[`{"event":"one","channel":"a","data":"499 `] {
		t.Errorf("%d events were heard, the newest of the first name among them: %v", len(heard), heard[`{"event":"one","channel":"a","data":"499 `])
	}
}

func TestDropOldestNeedsANotice(t *testing.T) {
	h := webrocket.NewHandler(struct{ webrocket.Codec }{codec.JSON{}})
	for _, policy := range []webrocket.SlowPolicy{webrocket.DropOldest, webrocket.Replay} {
		h.SlowReaders = policy
		if err := webrocket.NewServer("").Handle("/", h); err == nil {
			t.Errorf("policy %d: a codec without a notice may drop events", policy)
		}
	}
}
