package hub

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

func TestPublishFromGo(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{})
	h.LimitMessages(100)
	m := l.enter(h).login(auth.ReadOnly, "")
	m.Subscribe([]byte("c"))
	for _, tt := range []struct {
		name           string
		channel, event string
		data           any // []byte for PublishJSON
		want           error
		hears          string
	}{
		{"a value", "c", "e", map[string]int{"n": 1}, nil, `c e {"n":1}`},
		{"no data", "c", "e", nil, nil, "c e "},
		{"JSON", "c", "e", []byte(` [1] `), nil, "c e  [1] "},
		{"no JSON", "c", "e", []byte("{"), ErrInvalidData, ""},
		{"not UTF-8", "c", "e", []byte("\"\xff\""), ErrInvalidData, ""},
		{"no event", "c", "", []byte("1"), ErrInvalidData, ""},
		{"no event name", "c", "", 1, ErrInvalidEvent, ""},
		{"an event that is not UTF-8", "c", "\xff", 1, ErrInvalidEvent, ""},
		{"no such channel", "d", "e", 1, ErrInvalidChannel, ""},
		{"as long as may be", "c", "e", []byte(strings.Repeat("1", 53)), nil, "c e " + strings.Repeat("1", 53)},
		{"longer", "c", "e", []byte(strings.Repeat("1", 54)), ErrTooLarge, ""},
		{"a value of which there is no JSON", "c", "e", math.NaN(), errAny, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			if data, ok := tt.data.([]byte); ok {
				err = h.PublishJSON(tt.channel, tt.event, data)
			} else {
				err = h.Publish(tt.channel, tt.event, tt.data)
			}
			if !errors.Is(err, tt.want) && !(tt.want == errAny && err != nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if got := m.hears(); got != tt.hears {
				t.Errorf("hears %q, want %q", got, tt.hears)
			}
		})
	}
	if got := h.Published(); got != 4 {
		t.Errorf("%d events are counted, want 4", got)
	}
}

var errAny = errors.New("any error")

// Deliver refuses nothing, where Publish would.
func TestDeliver(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{})
	m := l.enter(h).login(auth.ReadOnly, "")
	m.Subscribe([]byte("c"))
	large := strings.Repeat("x", 3<<20)
	for range 2 {
		if err := h.Publish("c", "e", large); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Publish("c", "e", "y"); !errors.Is(err, ErrOverloaded) {
		t.Errorf("Publish: got %v, want ErrOverloaded", err)
	}
	if !h.Deliver(pubsub.Message{Channel: []byte("c"), Event: []byte("e"), Data: []byte("z")}) {
		t.Error("Deliver: the channel is not found")
	}
	if h.Deliver(pubsub.Message{Channel: []byte("d")}) {
		t.Error("Deliver: a channel that does not exist is found")
	}
	if got := m.hears(); !strings.HasSuffix(got, "c e z") || strings.Contains(got, "y") {
		t.Errorf("got %.20q… of %d bytes", got, len(got))
	}
}

// Publishing costs no more than the frame.
func TestPublishAllocates(t *testing.T) {
	l := newLoop(t)
	h := newHub(t, Config{})
	m := l.enter(h).login(auth.ReadWrite, "")
	m.Subscribe([]byte("quiet"))
	p := Publication{Channel: []byte("other"), Event: []byte("e"), Data: []byte("1")}
	if got := testing.AllocsPerRun(100, func() { m.Publish(p) }); got != 0 {
		t.Errorf("an event that nobody hears: got %v allocations, want 0", got)
	}
}
