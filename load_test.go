package webrocket_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// TestLoad accounts for every delivery while many connections come and go.
//
// Each publisher numbers its events on each channel. A subscriber hears, from
// the reply to its subscribe on, each publisher's events in order, without a
// gap and none twice. Those that stay hear each publisher's last event.
func TestLoad(t *testing.T) {
	l := &load{channels: 200, subscribers: 2000, publishers: 20, rounds: 12, moves: 9600}
	if testing.Short() {
		l = &load{channels: 20, subscribers: 200, publishers: 5, rounds: 8, moves: 500}
	}
	files, err := engine.FileLimit()
	if err != nil {
		t.Fatal(err)
	}
	if need := uint64(2*(l.subscribers+l.publishers) + 500); files < need {
		t.Skipf("this takes %d open files, and the limit is %d", need, files)
	}
	l.run(t)
}

// TestLoadCompressed is TestLoad where some hear everything compressed.
func TestLoadCompressed(t *testing.T) {
	l := &load{channels: 20, subscribers: 200, publishers: 5, rounds: 8, moves: 1000, compressed: true}
	l.run(t)
}

type load struct {
	channels, subscribers, publishers int
	rounds                            int // events of each publisher to each channel
	moves                             int // subscribers that go elsewhere, in all
	compressed                        bool

	t       *testing.T
	address string
	begun   [][]atomic.Int32 // by publisher and channel: events that may be on their way
	move    chan struct{}    // one for each move, closed when nothing more is published
	heard   atomic.Int64
}

func (l *load) run(t *testing.T) {
	l.t = t
	h := webrocket.NewJSONHandler()
	h.Compression = l.compressed
	for c := range l.channels {
		h.Channels = append(h.Channels, strconv.Itoa(c))
	}
	quiet := func(c *webrocket.Config) { c.PingInterval = -1 } // who hears events alone may do so for longer
	l.address = serve(t, hubs{"/": h}, quiet).Addr().String()
	l.move = make(chan struct{}, l.moves)
	for range l.publishers {
		l.begun = append(l.begun, make([]atomic.Int32, l.channels))
	}

	var ready, subscribing, publishing sync.WaitGroup
	ready.Add(l.subscribers)
	for id := range l.subscribers {
		subscribing.Go(func() {
			s := &loadSubscriber{load: l, id: id, random: rand.New(rand.NewPCG(uint64(id), 1))}
			defer s.hangUp()
			err := s.arrive()
			ready.Done()
			if err == nil {
				err = s.stay()
			}
			if err != nil {
				t.Errorf("subscriber %d: %v", id, err)
			}
		})
	}
	ready.Wait()
	if !t.Failed() {
		for p := range l.publishers {
			publishing.Go(func() {
				if err := l.publish(p); err != nil {
					t.Errorf("publisher %d: %v", p, err)
				}
			})
		}
	}
	publishing.Wait()
	close(l.move)
	subscribing.Wait()
	t.Logf("%d publishes, %d moves, %d deliveries", l.publishers*l.channels*l.rounds, l.moves, l.heard.Load())
}

// publish sends each round to all channels at once, then awaits the replies.
func (l *load) publish(p int) error {
	c, err := l.login("read-write", "")
	if err != nil {
		return err
	}
	defer c.conn.Close()
	for n := 1; n <= l.rounds; n++ {
		for channel := range l.channels {
			l.begun[p][channel].Store(int32(n))
			c.queue(fmt.Sprintf(`{"publish":{"event":"%s","channel":"%d","data":[%d,%d]},"id":%d}`, l.eventName(), channel, p, n, channel))
		}
		c.flush()
		for channel := range l.channels {
			_, reply, err := c.next()
			if err != nil {
				return err
			}
			if want := fmt.Sprintf(`{"ok":true,"id":%d}`, channel); string(reply) != want {
				return fmt.Errorf("got %s, want %s", reply, want)
			}
		}
		for range l.moves / l.publishers / l.rounds {
			l.move <- struct{}{}
		}
	}
	return nil
}

// eventName is that of all events: a long one is worth to be compressed.
func (l *load) eventName() string {
	if l.compressed {
		return strings.Repeat("e", engine.DefaultCompressionThreshold)
	}
	return "e"
}

func (l *load) login(access, lines string) (*rawClient, error) {
	c, err := connectOffering(l.t, l.address, "/", lines)
	if err != nil {
		return nil, err
	}
	c.command(`{"auth":{"access":"` + access + `","secret":""}}`)
	if _, reply, err := c.next(); err != nil || terse(string(reply)) != `{"ok":true}` {
		_ = c.conn.Close()
		return nil, errors.Join(fmt.Errorf("auth: got %q", reply), err)
	}
	return c, nil
}

// A loadSubscriber hears two channels at a time.
type loadSubscriber struct {
	*load
	id       int
	random   *rand.Rand
	conn     *rawClient
	subs     map[int]*loadSubscription // by channel: those of the present
	last     map[[2]int]int            // by channel and publisher: the last that this connection heard
	commands int
}

// loadSubscription is what one subscription has to hear.
type loadSubscription struct {
	after []int // by publisher: the first event is at most the next
	last  []int // by publisher: the last that was heard, 0 if none was
}

// arrive connects and subscribes.
func (s *loadSubscriber) arrive() (err error) {
	s.subs, s.last = map[int]*loadSubscription{}, map[[2]int]int{}
	lines := ""
	if s.compressed && s.random.IntN(2) == 0 {
		lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	}
	if s.conn, err = s.login("read-only", lines); err != nil {
		return err
	}
	for len(s.subs) < 2 {
		if err := s.subscribe(); err != nil {
			return err
		}
	}
	return nil
}

// stay moves when there is a move to make, and hears the rest of it.
func (s *loadSubscriber) stay() error {
	mover := s.id%2 == 0
	for mover {
		if _, more := <-s.move; !more {
			break
		}
		if err := s.elsewhere(); err != nil {
			return err
		}
	}
	for s.missing() {
		if err := s.hear(); err != nil {
			return fmt.Errorf("some events are missing: %w", err)
		}
	}
	return s.command(`{"unsubscribe":{"channel":"none"},"id":%d}`) // nothing may come before this
}

// elsewhere leaves in one of the ways there are, and subscribes elsewhere.
func (s *loadSubscriber) elsewhere() error {
	switch s.random.IntN(8) {
	case 0: // breaks off
		s.hangUp()
		return s.arrive()
	case 1: // says goodbye
		s.conn.command(`{"disconnect":true}`)
		for {
			op, payload, err := s.conn.next()
			if err != nil {
				return err
			}
			if op == codec.OpClose {
				break
			}
			if string(payload) == `{"ok":true}` {
				clear(s.subs) // not one event more
			} else if err := s.event(payload); err != nil {
				return err
			}
		}
		s.hangUp()
		return s.arrive()
	}
	for channel := range s.subs {
		if err := s.command(`{"unsubscribe":{"channel":"` + strconv.Itoa(channel) + `"},"id":%d}`); err != nil {
			return err
		}
		delete(s.subs, channel)
		break
	}
	return s.subscribe()
}

// subscribe adds a channel that it does not hear.
func (s *loadSubscriber) subscribe() error {
	channel := s.random.IntN(s.channels)
	for s.subs[channel] != nil {
		channel = s.random.IntN(s.channels)
	}
	if err := s.command(`{"subscribe":{"channel":"` + strconv.Itoa(channel) + `"},"id":%d}`); err != nil {
		return err
	}
	sub := &loadSubscription{last: make([]int, s.publishers)}
	for p := range s.begun {
		sub.after = append(sub.after, int(s.begun[p][channel].Load()))
	}
	s.subs[channel] = sub
	return nil
}

// command sends one and hears until its reply.
func (s *loadSubscriber) command(format string) error {
	s.commands++
	s.conn.command(fmt.Sprintf(format, s.commands))
	want := fmt.Appendf(nil, `{"ok":true,"id":%d}`, s.commands)
	for {
		_, payload, err := s.conn.next()
		if err != nil {
			return err
		}
		if bytes.Equal(payload, want) {
			return nil
		}
		if err := s.event(payload); err != nil {
			return err
		}
	}
}

func (s *loadSubscriber) hear() error {
	_, payload, err := s.conn.next()
	if err != nil {
		return err
	}
	return s.event(payload)
}

// event checks one event against the books.
func (s *loadSubscriber) event(payload []byte) error {
	channel, p, n, ok := parseLoadEvent(payload, s.eventName())
	if !ok || p >= s.publishers {
		return fmt.Errorf("got %.100q, want an event", payload)
	}
	s.heard.Add(1)
	sub := s.subs[channel]
	if sub == nil {
		return fmt.Errorf("got %s without a subscription", payload)
	}
	key := [2]int{channel, p}
	switch last := s.last[key]; {
	case n <= last:
		return fmt.Errorf("got %s after %d: twice or out of order", payload, last)
	case sub.last[p] > 0 && n != last+1:
		return fmt.Errorf("got %s after %d: something is lost", payload, last)
	case sub.last[p] == 0 && n > sub.after[p]+1:
		return fmt.Errorf("got %s first of all, and subscribed after %d: something is lost", payload, sub.after[p])
	}
	sub.last[p], s.last[key] = n, n
	return nil
}

// parseLoadEvent reads {"event":"e","channel":"1","data":[2,3]}.
func parseLoadEvent(b []byte, event string) (channel, publisher, n int, ok bool) {
	b, ok1 := bytes.CutPrefix(b, []byte(`{"event":"`+event+`","channel":"`))
	c, b, ok2 := bytes.Cut(b, []byte(`","data":[`))
	p, b, ok3 := bytes.Cut(b, []byte(`,`))
	b, ok4 := bytes.CutSuffix(b, []byte(`]}`))
	channel, err1 := strconv.Atoi(string(c))
	publisher, err2 := strconv.Atoi(string(p))
	n, err3 := strconv.Atoi(string(b))
	return channel, publisher, n, ok1 && ok2 && ok3 && ok4 && err1 == nil && err2 == nil && err3 == nil
}

// missing reports whether there is more to come.
func (s *loadSubscriber) missing() bool {
	for _, sub := range s.subs {
		for p, last := range sub.last {
			if last < s.rounds && (last > 0 || sub.after[p] < s.rounds) {
				return true
			}
		}
	}
	return false
}

func (s *loadSubscriber) hangUp() {
	if s.conn != nil {
		_ = s.conn.conn.Close()
	}
}
