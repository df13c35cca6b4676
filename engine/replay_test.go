package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A keeper publishes to one connection, as a hub does: it keeps the newest events of
// some channels, and gives them again. An event is its channel and its number there,
// from 1; the channels whose names begin with "-" keep nothing.
type keeper struct {
	tl       *testLoop
	tc       *testConn
	size     int // events that a channel keeps
	channels []*keptChannel
	working  bool
	falls    int
}

type keptChannel struct {
	name   string
	events []string
	next   int  // the first event that the connection was not given
	behind bool // it is given them as Room allows
}

// newKeeper returns a keeper of channels for a new connection.
func newKeeper(tl *testLoop, size int, channels ...string) *keeper {
	k := &keeper{tl: tl, tc: tl.open(), size: size}
	for _, name := range channels {
		k.channels = append(k.channels, &keptChannel{name: name})
	}
	tl.keeper, tl.work = k, k.work
	return k
}

// publish publishes an event of so many bytes at most.
func (k *keeper) publish(c *keptChannel, size int) {
	name := fmt.Sprintf("%s %d", c.name, len(c.events)+1)
	c.events = append(c.events, name+strings.Repeat(".", max(size-len(name), 0)))
	k.tl.Wake()
}

func (k *keeper) work() time.Duration {
	k.working = true
	defer func() { k.working = false }()
	for _, c := range k.channels {
		for c.next < len(c.events) {
			room := writeMax
			if c.behind {
				if room = k.tl.Room(k.tc.ID()); room <= 0 {
					break
				}
				if lost := len(c.events) - k.size - c.next; lost > 0 {
					c.next += lost
					k.tl.Lost(k.tc.ID(), delivery.Lost{Channel: c.name, N: uint64(lost), Offset: uint64(c.next)})
				}
			}
			k.deliver(c, room)
		}
		c.behind = c.behind && c.next < len(c.events)
	}
	return -1
}

// deliver gives the connection an event, and more as far as there is room.
func (k *keeper) deliver(c *keptChannel, room int) {
	run := new(delivery.Run)
	for c.next < len(c.events) {
		f := text(c.events[c.next])
		if room -= len(f); room < 0 && len(run.Items) > 0 {
			break
		}
		c.next++
		item := delivery.Item{Frame: f, Channel: c.name}
		if c.name[0] != '-' {
			item.Offset = uint64(c.next)
		}
		run.Items, run.Joined = append(run.Items, item), append(run.Joined, f...)
	}
	k.tl.Deliver([]uint64{k.tc.ID()}, run)
}

func (k *keeper) fallBehind(id uint64, channel string, offset uint64) {
	k.falls++
	for _, c := range k.channels {
		if c.name != channel {
			continue
		}
		if k.working || id != k.tc.ID() || offset == 0 || int(offset) > c.next {
			k.tl.t.Fatalf("%s falls back to %d, and %d were given; within Work: %v", channel, offset, c.next, k.working)
		}
		c.next, c.behind = int(offset)-1, true
		k.tl.Wake()
	}
}

// account reads what the client got and holds it against what was published. It
// returns how many events it was told are lost.
func (k *keeper) account() map[string]int {
	k.tl.t.Helper()
	next, lost := map[string]int{}, map[string]int{}
	for _, m := range trim(k.tc.texts()) {
		var channel string
		var n int
		if _, err := fmt.Sscanf(m, "lost %d of %s", &n, &channel); err == nil {
			lost[channel] += n
			next[channel] += n
			continue
		}
		if _, err := fmt.Sscanf(m, "%s %d", &channel, &n); err != nil || n != next[channel]+1 {
			k.tl.t.Fatalf("got %q after %d", m, next[channel])
		}
		next[channel] = n
	}
	for _, c := range k.channels {
		if next[c.name] != len(c.events) {
			k.tl.t.Fatalf("the client knows of %d events of %s, there are %d", next[c.name], c.name, len(c.events))
		}
	}
	return lost
}

// With Replay a reader that stalls however it likes loses nothing of channels that keep
// enough, is told of each event that is lost otherwise, and stays; what waits for it is
// within the limit.
func TestReplayCountsAgree(t *testing.T) {
	var fell, lost, kept int
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		most := 1000 + random.IntN(3000)
		tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: most, SlowReaders: Replay, Lost: lossNotice})
		k := newKeeper(tl, []int{5, 1000}[seed%2], "a", "b", "-c", "-d")
		k.tc.room = random.IntN(300)
		for range 400 {
			k.publish(k.channels[random.IntN(4)], 50+random.IntN(50))
			switch random.IntN(8) {
			case 0:
				k.tc.read(random.IntN(700))
			case 1:
				tl.turn()
			}
			if k.tc.out != nil && k.tc.out.behind() > most+120 { // and a notice
				t.Fatalf("seed %d: %d bytes wait, the limit is %d", seed, k.tc.out.behind(), most)
			}
			k.tc.wantCounted()
		}
		k.tc.read(unlimited)
		for tl.phase.Load() != asleep {
			tl.turn()
		}
		k.tc.wantOpen()
		told := k.account()
		if seed%2 == 1 && told["a"]+told["b"] > 0 {
			t.Fatalf("seed %d: %v are lost of channels that keep everything", seed, told)
		}
		fell += k.falls
		lost += told["a"] + told["b"]
		kept += told["-c"] + told["-d"]
	}
	if fell < 300 || lost < 300 || kept < 300 {
		t.Errorf("%d times it fell back, %d events were lost of channels with a history, %d of others", fell, lost, kept)
	}
}

// Beside so many replies that hardly anything else may wait, events with a history cost
// a client nothing: not its connection, not an event, and the server not a second try of
// an event that has no room.
func TestReplayBesideReplies(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 10_000, SlowReaders: Replay, Lost: lossNotice})
	k := newKeeper(tl, 1000, "a")
	k.tc.room = 0
	k.publish(k.channels[0], 100)
	tl.turn()
	for range 47 { // of 182 bytes each
		k.tc.SendFrame(text(pad("reply")))
	}
	for range 200 {
		k.publish(k.channels[0], 100)
		tl.turn()
	}
	if k.falls != 1 || k.tc.out.behind() > 10_000 {
		t.Errorf("it fell back %d times, %d bytes wait", k.falls, k.tc.out.behind())
	}
	k.tc.read(unlimited)
	for tl.phase.Load() != asleep {
		tl.turn()
	}
	k.tc.wantOpen()
	got := trim(k.tc.texts())
	if got = slices.DeleteFunc(got, func(m string) bool { return m == "reply" }); len(got) != 201 || got[200] != "a 201" {
		t.Errorf("got %d events, %q last", len(got), got[len(got)-1])
	}
}

// An event that is too large for what is left waits for all that is queued, and is not
// tried again before.
func TestReplayOfALargeEvent(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 400, SlowReaders: Replay, Lost: lossNotice})
	k := newKeeper(tl, 1000, "a")
	k.tc.room = 10
	k.tc.SendFrame(text(pad("reply")))
	k.publish(k.channels[0], 100)
	for range 20 {
		tl.turn()
	}
	if k.falls != 1 {
		t.Errorf("it fell back %d times, want once", k.falls)
	}
	k.tc.read(unlimited)
	for tl.phase.Load() != asleep {
		tl.turn()
	}
	k.tc.wantOpen()
	if got := trim(k.tc.texts()); !slices.Equal(got, []string{"reply", "a 1"}) {
		t.Errorf("got %q", got)
	}
}

// A client that falls back is not told of a loss in that channel by the same turn: it is
// given those events again, or told then.
func TestNoNoticeOfWhatComesAgain(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: Replay, Lost: lossNotice})
	k := newKeeper(tl, 1000, "a", "b")
	k.tc.room = 10
	for range 4 {
		k.publish(k.channels[0], 100)
	}
	tl.work = func() time.Duration {
		defer func() { tl.work = k.work }()
		pause := k.work()
		for _, channel := range []string{"a", "b"} {
			tl.Lost(k.tc.ID(), delivery.Lost{Channel: channel, Offset: 4})
		}
		return pause
	}
	tl.turn()
	k.tc.read(unlimited)
	for tl.phase.Load() != asleep {
		tl.turn()
	}
	if got := trim(k.tc.texts()); k.falls != 1 || !slices.Equal(got, []string{"a 1", "lost 0 of b", "a 2", "a 3", "a 4"}) {
		t.Errorf("got %q after %d falls", got, k.falls)
	}
}

// A reload that ends the policy leaves what fell back to the worker.
func TestReplayEndsByAReload(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{MaxQueuedBytes: 1000, SlowReaders: Replay, Lost: lossNotice})
	k := newKeeper(tl, 1000, "a")
	k.tc.room = 10
	for range 50 {
		k.publish(k.channels[0], 60)
		tl.turn()
	}
	tl.rehome(newTable(at("/", Endpoint{Protocol: tl, MaxQueuedBytes: 1000, Lost: lossNotice})))
	k.tc.read(unlimited)
	for tl.phase.Load() != asleep {
		tl.turn()
	}
	k.tc.wantOpen()
	if k.account(); k.falls == 0 {
		t.Error("it never fell back")
	}
}

// A reload that begins the policy, or makes its limit smaller, finds more events waiting
// than it would have let wait. It costs the client some of them, and not its connection.
func TestReplayBeginsByAReload(t *testing.T) {
	for _, before := range []Endpoint{
		{MaxQueuedBytes: 2000, SlowReaders: DropOldest, Lost: lossNotice},
		{MaxQueuedBytes: 20_000, SlowReaders: Replay, Lost: lossNotice},
	} {
		tl := newTestLoop(t, Config{}, before)
		k := newKeeper(tl, 1000, "a", "-b")
		k.tc.room = 10
		for i := range 60 {
			k.publish(k.channels[i%2], 60)
			tl.turn()
		}
		tl.rehome(newTable(at("/", Endpoint{Protocol: tl, MaxQueuedBytes: 2000, SlowReaders: Replay, Lost: lossNotice})))
		for i := range 60 {
			k.publish(k.channels[i%2], 60)
			tl.turn()
			k.tc.wantCounted()
		}
		k.tc.read(unlimited)
		for tl.phase.Load() != asleep {
			tl.turn()
		}
		k.tc.wantOpen()
		if told := k.account(); told["a"] == 0 {
			t.Errorf("after %d: nothing is lost of a; the test shows nothing", before.SlowReaders)
		}
	}
}
