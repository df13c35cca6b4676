package pubsub

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// newHistoryHub returns a hub with historyForms whose channels keep so many messages
// for a minute; those whose names begin with "plain" keep none.
func newHistoryHub(size int) *Hub {
	h := NewHub()
	historyForms(h)
	keepHistory(h, History{Size: size, TTL: time.Minute})
	return h
}

func keepHistory(h *Hub, keep History) {
	h.SetHistory(func(channel string) History {
		if strings.HasPrefix(channel, "plain") {
			return History{}
		}
		return keep
	})
}

// post publishes empty messages to a channel and returns the offset of the last.
func post(t testing.TB, h *Hub, channel string, n int, now time.Duration) uint64 {
	t.Helper()
	var last Published
	for range n {
		var err error
		if last, err = h.Publish(Message{Channel: []byte(channel), At: now}, Refuse); err != nil {
			t.Fatalf("Publish(%s): %v", channel, err)
		}
	}
	return last.Offset
}

// from subscribes behind a position of this epoch.
func from(t testing.TB, h *Hub, s *Subscriber, channel string, offset uint64) Begun {
	t.Helper()
	b, err := h.SubscribeFrom(math.MaxInt, s, []byte(channel), Start{Since: Position{h.Epoch(), offset}})
	if err != nil {
		t.Fatalf("SubscribeFrom(%s, %d): %v", channel, offset, err)
	}
	return b
}

// offsets are those that a member has heard, a loss as "lost N to O".
func (p *paced) offsets(id uint64) string {
	var all []string
	for _, frame := range p.heard[id] {
		if !strings.HasPrefix(frame, "lost") {
			_, _, offset := parse([]byte(frame))
			frame = strconv.FormatUint(offset, 10)
		}
		all = append(all, frame)
	}
	return strings.Join(all, " ")
}

// paced is a sink that is a Replayer. What a member has lost stands among the frames
// that it has heard.
type paced struct {
	*sink
	room  map[uint64]int // 0: 64 KiB
	full  map[uint64]bool
	asked int // calls of Room
	time  time.Duration
}

func newPaced(t testing.TB) *paced {
	p := &paced{sink: &sink{t: t, heard: map[uint64][]string{}}, room: map[uint64]int{}, full: map[uint64]bool{}, time: time.Hour}
	p.shard = NewShard(p)
	return p
}

func (p *paced) Room(id uint64) int {
	p.asked++
	switch {
	case p.full[id]:
		return 0
	case p.room[id] > 0:
		return p.room[id]
	}
	return aheadMax
}

func (p *paced) TimeLeft() time.Duration {
	p.time /= 2
	return p.time
}

func (p *paced) Lost(id uint64, l delivery.Lost) {
	p.heard[id] = append(p.heard[id], fmt.Sprintf("lost %d to %d", l.N, l.Offset))
}

// Where a subscription begins: four of seven messages are kept.
func TestWhereASubscriptionBegins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		start  Start
		want   Begun // Epoch and Top are those of all
		heard  string
		strict bool // it fails if it is strict
	}{
		{"plain", Start{}, Begun{Offset: 7}, "", false},
		{"the newest", Start{Since: Position{"this", 7}}, Begun{Offset: 7, Recovered: true}, "", false},
		{"one missed", Start{Since: Position{"this", 6}}, Begun{Offset: 6, Recovered: true}, "7", false},
		{"just kept", Start{Since: Position{"this", 3}}, Begun{Offset: 3, Recovered: true}, "4 5 6 7", false},
		{"one too old", Start{Since: Position{"this", 2}}, Begun{Offset: 7, Reason: ReasonExpired, Lost: 1}, "", true},
		{"the beginning", Start{Since: Position{"this", 0}}, Begun{Offset: 7, Reason: ReasonExpired, Lost: 3}, "", true},
		{"ahead", Start{Since: Position{"this", 8}}, Begun{Offset: 7, Reason: ReasonAhead}, "", true},
		{"another epoch", Start{Since: Position{"x", 6}}, Begun{Offset: 7, Reason: ReasonEpoch}, "", true},
		{"back", Start{Rewind: 2}, Begun{Offset: 5}, "6 7", false},
		{"further back than is kept", Start{Rewind: 100}, Begun{Offset: 3}, "4 5 6 7", false},
		{"back instead", Start{Since: Position{"x", 6}, Rewind: 1}, Begun{Offset: 6, Reason: ReasonEpoch}, "7", true},
		{"not back if recovered", Start{Since: Position{"this", 5}, Rewind: 1}, Begun{Offset: 5, Recovered: true}, "6 7", false},
		{"back from too old", Start{Since: Position{"this", 1}, Rewind: 3}, Begun{Offset: 4, Reason: ReasonExpired, Lost: 2}, "5 6 7", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, p := newHistoryHub(4), newPaced(t)
			post(t, h, "c", 7, 0)
			if tt.start.Since.Epoch == "this" {
				tt.start.Since.Epoch = h.Epoch()
			}
			tt.want.Epoch, tt.want.Top, tt.want.Fresh = h.Epoch(), 7, true
			sub := p.subscriber(1)
			got, err := h.SubscribeFrom(9, sub, []byte("c"), tt.start)
			if got != tt.want || err != nil {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			other, strict := p.subscriber(2), tt.start
			strict.Strict = true
			if _, err := h.SubscribeFrom(9, other, []byte("c"), strict); errors.Is(err, ErrNotRecovered) != tt.strict || (other.Len() == 0) != tt.strict {
				t.Errorf("strict: got %v and %d subscriptions, want an error: %v", err, other.Len(), tt.strict)
			}
			p.rest()
			if got := p.offsets(1); got != tt.heard {
				t.Errorf("heard %q, want %q", got, tt.heard)
			}
			post(t, h, "c", 1, 0)
			p.rest()
			if got, want := p.offsets(1), strings.TrimSpace(tt.heard+" 8"); got != want {
				t.Errorf("heard %q then, want %q", got, want)
			}
			checkHub(t, h)
		})
	}
}

// A channel that keeps nothing says so, and is heard from now on.
func TestSubscribeFromWithoutHistory(t *testing.T) {
	h, p := newHistoryHub(4), newPaced(t)
	sub := p.subscriber(1)
	got := from(t, h, sub, "plain", 3)
	if want := (Begun{Fresh: true, Reason: ReasonNoHistory}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := post(t, h, "plain", 1, 0); got != 0 {
		t.Errorf("got offset %d, want none", got)
	}
	p.rest()
	if got := len(p.heard[1]); got != 1 {
		t.Errorf("heard %d, want 1", got)
	}
	start := Start{Since: Position{h.Epoch(), 1}, Strict: true}
	if b, err := h.SubscribeFrom(9, p.subscriber(2), []byte("plain2"), start); !errors.Is(err, ErrNotRecovered) || b.Reason != ReasonNoHistory {
		t.Errorf("strict: got %+v, %v", b, err)
	}
	if h.Exists([]byte("plain2")) {
		t.Error("a subscription that was refused has left its channel behind")
	}
	if _, err := h.History([]byte("plain"), Query{}); !errors.Is(err, ErrNoHistory) {
		t.Errorf("History: got %v", err)
	}
}

// A member that subscribes again is told its position, and begins anew if it asks for
// something; it does not leave for that.
func TestSubscribeAgain(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	told := &teller{}
	h.Observe(told)
	sub, other := p.subscriber(1), p.subscriber(2)
	subscribe(h, sub, []byte("c"))
	subscribe(h, other, []byte("c"))
	begun := len(told.lines)
	position := func(name string, s *Subscriber, want uint64) {
		t.Helper()
		b, err := h.SubscribeFrom(9, s, []byte("c"), Start{})
		if err != nil || b.Fresh || b.Offset != want {
			t.Errorf("%s: got %+v, %v, want position %d", name, b, err, want)
		}
	}
	post(t, h, "c", 3, 0)
	position("pending", sub, 0)
	p.work(1)
	served, waiting := sub, other
	if len(p.heard[2]) > 0 {
		served, waiting = other, sub
	}
	position("served by the walk", served, 3)
	position("not yet served", waiting, 0)
	p.rest()
	position("at rest", sub, 3)
	from(t, h, sub, "c", 1)
	position("behind", sub, 1)
	p.rest()
	position("has caught up", sub, 3)
	if got := p.offsets(1); got != "1 2 3 2 3" {
		t.Errorf("heard %q", got)
	}
	start := Start{Since: Position{"x", 1}, Strict: true}
	if _, err := h.SubscribeFrom(9, sub, []byte("c"), start); !errors.Is(err, ErrNotRecovered) || sub.Len() != 0 {
		t.Errorf("strict: got %v and %d subscriptions, want none", err, sub.Len())
	}
	if got := told.lines[begun:]; len(got) != 1 || !strings.HasPrefix(got[0], "left") {
		t.Errorf("the observer was told %q, want that the last left", got)
	}
	checkHub(t, h)
}

// teller notes what an observer is told.
type teller struct{ lines []string }

func (o *teller) ChannelBegan(c string) { o.lines = append(o.lines, "began "+c) }
func (o *teller) ChannelEnded(c string) { o.lines = append(o.lines, "ended "+c) }
func (o *teller) Joined(c string, s *Subscriber) {
	o.lines = append(o.lines, fmt.Sprint("joined ", c, s.ID()))
}

func (o *teller) Left(c string, s *Subscriber) {
	o.lines = append(o.lines, fmt.Sprint("left ", c, s.ID()))
}

// What a position misses is pending on this loop: the log need not hold it.
func TestRecoveryOfWhatIsPending(t *testing.T) {
	h, p := newHistoryHub(1), newPaced(t)
	p.members(h, "c", 1)
	post(t, h, "c", 5, 0) // 1 to 4 are not kept any more
	for id, since := range map[uint64]uint64{10: 0, 12: 2, 14: 4, 15: 5} {
		if b := from(t, h, p.subscriber(id), "c", since); !b.Recovered || b.Offset != since || b.Top != 5 {
			t.Errorf("since %d: got %+v", since, b)
		}
	}
	if b, err := h.SubscribeFrom(9, p.subscriber(16), []byte("c"), Start{Rewind: 3}); err != nil || b.Offset != 4 {
		t.Errorf("back: got %+v, %v, want one, as many as are kept", b, err)
	}
	p.rest()
	for id, want := range map[uint64]string{0: "1 2 3 4 5", 10: "1 2 3 4 5", 12: "3 4 5", 14: "5", 15: "", 16: "5"} {
		if got := p.offsets(id); got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
}

// A client that another loop has served further gets nothing twice here, also if it
// comes in the middle of a walk, and if the loop takes what is pending in several runs.
func TestRecoveryAheadOfTheLoop(t *testing.T) {
	h, p, fast := newHistoryHub(1), newPaced(t), newPaced(t)
	p.members(h, "c", 3)
	fast.members(h, "c", 1)
	large := strings.Repeat("x", runMax/2)
	for range 6 {
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: []byte(large)}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	fast.rest()
	if got := fast.offsets(0); got != "1 2 3 4 5 6" {
		t.Fatalf("the other loop: %q", got)
	}
	p.work(1) // of the first run
	from(t, h, p.subscriber(10), "c", 6)
	from(t, h, p.subscriber(11), "c", 5)
	from(t, h, p.subscriber(12), "c", 4)
	gone := p.subscriber(13)
	from(t, h, gone, "c", 5)
	gone.Leave()
	post(t, h, "c", 1, 0)
	p.rest()
	for id, want := range map[uint64]string{2: "1 2 3 4 5 6 7", 10: "7", 11: "6 7", 12: "5 6 7", 13: ""} {
		if got := p.offsets(id); got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
	checkHub(t, h)
}

// A reader catches up while walks go on, wherever they are interrupted.
func TestCatchingUpBetweenWalks(t *testing.T) {
	const members = 4
	for slice := range members + 1 {
		for behind := range 3 {
			t.Run(fmt.Sprint(slice, "/", behind), func(t *testing.T) {
				h, p := newHistoryHub(100), newPaced(t)
				p.members(h, "c", members)
				post(t, h, "c", 5, 0)
				p.rest()
				post(t, h, "c", 5, 0)
				p.work(slice)
				var readers []*Subscriber
				for i := range behind + 1 {
					s := p.subscriber(uint64(10 + i))
					readers = append(readers, s)
					p.room[s.id] = 3 * (i + 1) // a few frames
					if b := from(t, h, s, "c", uint64(2*i)); !b.Recovered {
						t.Fatalf("got %+v", b)
					}
				}
				for p.work(slice) == More {
					if h.HistoryStats().Bytes < 2000 {
						post(t, h, "c", 1, 0)
					}
				}
				readers[0].Leave()
				top := post(t, h, "c", 1, 0)
				p.rest()
				for id := range uint64(members) {
					wantOffsets(t, p, id, 1, top)
				}
				for i := range behind {
					wantOffsets(t, p, uint64(11+i), uint64(2*i+3), top)
				}
				if strings.HasSuffix(p.offsets(10), strconv.FormatUint(top, 10)) {
					t.Error("who has left heard what came then")
				}
				checkHub(t, h)
			})
		}
	}
}

func wantOffsets(t *testing.T, p *paced, id, first, last uint64) {
	t.Helper()
	var want []string
	for o := first; o <= last; o++ {
		want = append(want, strconv.FormatUint(o, 10))
	}
	if got := p.offsets(id); got != strings.Join(want, " ") {
		t.Errorf("%d: heard %q, want %d to %d", id, got, first, last)
	}
}

// A replay comes in portions for which there is room, other members do not wait for
// it, and a member without room costs nothing until it has some.
func TestReplayIsPaced(t *testing.T) {
	h, p := newHistoryHub(100), newPaced(t)
	data := make([]byte, 10_000)
	publish := func() {
		t.Helper()
		if _, err := h.Publish(Message{Channel: []byte("c"), Data: data}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		publish()
	}
	slow := p.subscriber(1)
	p.time = 0 // one portion in each turn
	from(t, h, slow, "c", 0)
	for _, want := range []int{6, 12, 18, 20} {
		p.work(0)
		if got := len(p.heard[1]); got != want {
			t.Errorf("heard %d messages, want %d", got, want)
		}
	}

	p.full[1] = true
	from(t, h, slow, "c", 0)
	publish()
	subscribe(h, p.subscriber(2), []byte("c"))
	if p.work(0) != Idle {
		t.Error("a member without room makes work")
	}
	asked := p.asked
	publish()
	p.rest()
	if p.asked != asked || len(p.heard[1]) != 20 {
		t.Errorf("asked %d times more, and it heard %d", p.asked-asked, len(p.heard[1]))
	}
	if got := p.offsets(2); got != "21 22" {
		t.Errorf("the other member heard %q, want 21 and 22", got)
	}
	p.full[1] = false
	p.wakes.Store(0)
	p.shard.Resume(1)
	if p.wakes.Load() != 1 {
		t.Error("Resume does not wake the loop")
	}
	p.shard.Resume(1)
	p.shard.Resume(7)
	p.rest()
	if got := len(p.heard[1]); got != 42 {
		t.Errorf("heard %d, want 42", got)
	}

	p.full[1] = true
	from(t, h, slow, "c", 0)
	p.rest()
	slow.Leave()
	p.shard.Resume(1)
	p.rest()
	if got := len(p.shard.catchup.readers) + len(p.shard.catchup.early); got != 0 || len(p.heard[1]) != 42 {
		t.Errorf("after it left: %d readers, and it heard %d", got, len(p.heard[1]))
	}
}

// Replays get on if walks use up every slice, and take half of a slice otherwise.
func TestReplaysAndWalksShareTheTime(t *testing.T) {
	h, p := newHistoryHub(1000), newPaced(t)
	p.members(h, "live", 9)
	post(t, h, "c", 100, 0)
	sub := p.subscriber(100)
	p.room[100] = 1 // a message at a time
	from(t, h, sub, "c", 0)
	for i := range 100 {
		post(t, h, "live", 1, 0)
		p.work(3)
		if got := len(p.heard[100]); got != i+1 {
			t.Fatalf("after %d slices: heard %d", i+1, got)
		}
	}

	h, p = newHistoryHub(1000), newPaced(t)
	post(t, h, "c", 100, 0)
	for id := range uint64(4) {
		p.room[id] = 1
		from(t, h, p.subscriber(id), "c", 0)
	}
	p.time = 64 // and half as much at each look
	p.work(0)
	if total := len(p.heard[0]) + len(p.heard[1]) + len(p.heard[2]) + len(p.heard[3]); total != 1 {
		t.Errorf("got %d portions, want 1: half of the time was over then", total)
	}
	p.rest()
	for id := range uint64(4) {
		wantOffsets(t, p, id, 1, 100)
	}
}

// The log moves on under a reader: it is told how many it does not get.
func TestLogMovesOn(t *testing.T) {
	h, p := newHistoryHub(5), newPaced(t)
	p.members(h, "c", 1)
	post(t, h, "c", 5, 0)
	p.rest()
	sub := p.subscriber(1)
	p.room[1] = 1
	p.time = 0
	from(t, h, sub, "c", 0)
	p.work(0)
	post(t, h, "c", 4, 0)
	p.work(0)
	p.rest()
	if got, want := p.offsets(1), "1 2 lost 2 to 4 5 6 7 8 9"; got != want && got != "1 lost 3 to 4 5 6 7 8 9" {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// A member that gives back what it did not take reads it again.
func TestFallBehind(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	sub, other := p.subscriber(1), p.subscriber(2)
	subscribe(h, sub, []byte("c"))
	post(t, h, "c", 5, 0)
	p.rest()
	post(t, h, "c", 1, 0)
	for _, tt := range []struct {
		name    string
		s       *Subscriber
		channel string
		offset  uint64
		want    bool
	}{
		{"no member", other, "c", 2, false},
		{"no channel", sub, "d", 2, false},
		{"more than it has", sub, "c", 6, false},
		{"no message", sub, "c", 0, false},
		{"what it has had last", sub, "c", 5, true},
		{"less", sub, "c", 3, true},
		{"still less", sub, "c", 2, true},
	} {
		if got := h.FallBehind(tt.s, []byte(tt.channel), tt.offset); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	p.rest()
	if got := p.offsets(1); got != "1 2 3 4 5 2 3 4 5 6" && got != "1 2 3 4 5 6" {
		t.Errorf("heard %q", got)
	}
	if !strings.HasSuffix(p.offsets(1), "2 3 4 5 6") {
		t.Errorf("heard %q, want 2 to 6 at the end", p.offsets(1))
	}
	checkHub(t, h)
}

// A member that is left out of a message goes on behind it, and gets it if it reads the
// log.
func TestExceptInAHistory(t *testing.T) {
	h, p, fast := newHistoryHub(9), newPaced(t), newPaced(t)
	all := p.members(h, "c", 2)
	fast.members(h, "c", 1)
	send := func(except *Subscriber) {
		t.Helper()
		if _, err := h.Publish(Message{Channel: []byte("c"), Except: except}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	early := p.subscriber(9)
	send(nil)
	send(all[0])
	send(early)
	send(early)
	fast.rest()
	from(t, h, early, "c", 3) // ahead of its loop, in the middle of a run
	p.rest()
	if b, _ := h.SubscribeFrom(9, all[0], []byte("c"), Start{}); b.Offset != 4 {
		t.Errorf("got %+v, want the position behind what it was left out of", b)
	}
	from(t, h, all[0], "c", 1)
	send(nil)
	p.rest()
	for id, want := range map[uint64]string{0: "1 3 4 2 3 4 5", 1: "1 2 3 4 5", 9: "5"} {
		if got := p.offsets(id); got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
}

// A form that is not kept is replayed as the one that it is made of, and a costly one
// is finished with its offset.
func TestFormsOfAHistory(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	marks := []string{"", "+", "~", "-"}
	subs := make([]*Subscriber, len(marks))
	for f := range marks {
		subs[f] = p.subscriber(uint64(f))
		subs[f].SetForm(Form(f))
		subscribe(h, subs[f], []byte("c"))
		subscribe(h, subs[f], []byte("plain"))
	}
	post(t, h, "c", 2, 0)
	p.rest()
	post(t, h, "plain", 1, 0)
	p.rest()
	for f, s := range subs {
		from(t, h, s, "c", 1)
		p.rest()
		replayed := "c:2:"
		if marks[f] == "~" {
			replayed = "~c:2:"
		}
		want := []string{marks[f] + "c:1:", marks[f] + "c:2:", marks[f] + "plain:0:", replayed}
		if got := p.heard[uint64(f)]; !slices.Equal(got, want) {
			t.Errorf("form %d: heard %q, want %q", f, got, want)
		}
		page, err := h.History([]byte("c"), Query{Limit: 1, Form: Form(f)})
		if err != nil || len(page.Items) != 1 || string(page.Items[0].Frame) != replayed {
			t.Errorf("form %d: got %+v, %v, want %s", f, page, err, replayed)
		}
	}
}

// A message that a form leaves out has its place in the history, and members of that
// form go on behind it.
func TestFormLeavesOutOfAHistory(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	send := func(event string) {
		t.Helper()
		if _, err := h.Publish(Message{Channel: []byte("c"), Event: []byte(event)}, Refuse); err != nil {
			t.Fatal(err)
		}
	}
	subscriber := func(id uint64) *Subscriber {
		s := p.subscriber(id)
		s.SetForm(2)
		return s
	}
	send("hidden")
	send("e")
	send("hidden")
	for id := range uint64(4) {
		if b := from(t, h, subscriber(id), "c", id); !b.Recovered || b.Top != 3 {
			t.Errorf("since %d: got %+v", id, b)
		}
	}
	p.rest()
	send("hidden")
	if b, err := h.SubscribeFrom(9, subscriber(4), []byte("c"), Start{}); err != nil || b.Offset != 4 {
		t.Errorf("got %+v, %v, want the position behind what is left out", b, err)
	}
	send("e")
	p.rest()
	for id, want := range map[uint64]string{0: "2 5", 1: "2 5", 2: "5", 3: "5", 4: "5"} {
		if got := p.offsets(id); got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
	for limit, want := range map[int][]uint64{1: {5}, 2: {2, 5}, 9: {2, 5}} {
		if page, err := h.History([]byte("c"), Query{Limit: limit, Form: 2}); err != nil || !slices.Equal(offsetsOf(page), want) {
			t.Errorf("got %+v, %v, want %v", page, err, want)
		}
	}
}

// A form that nobody keeps has no history, but is heard.
func TestFormWithoutHistory(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	f := h.AddForm(Encoding{Base: Itself, Encode: func(m Message, _ []byte) []byte { return fmt.Appendf(nil, "*c:%d:", m.Offset) }})
	post(t, h, "c", 2, 0)
	sub := p.subscriber(1)
	sub.SetForm(f)
	if b := from(t, h, sub, "c", 1); b != (Begun{Fresh: true, Reason: ReasonNoHistory}) {
		t.Errorf("got %+v", b)
	}
	post(t, h, "c", 1, 0)
	p.rest()
	if got := p.heard[1]; !slices.Equal(got, []string{"*c:3:"}) {
		t.Errorf("heard %q", got)
	}
	if _, err := h.History([]byte("c"), Query{Form: f}); !errors.Is(err, ErrNoHistory) {
		t.Errorf("got %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a costly form may be kept")
		}
	}()
	h.AddForm(Encoding{Costly: true, Kept: true})
}

// A further form that is kept makes logs begin anew: what they hold lacks it.
func TestFormAddedToLogs(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	post(t, h, "c", 3, 0)
	behind := p.subscriber(1)
	from(t, h, behind, "c", 1)
	h.AddForm(Encoding{Base: Itself, Kept: true, Encode: func(m Message, _ []byte) []byte { return fmt.Appendf(nil, "!c:%d:", m.Offset) }})
	p.rest()
	if got := p.offsets(1); got != "lost 2 to 3" {
		t.Errorf("heard %q", got)
	}
	if b := from(t, h, p.subscriber(2), "c", 2); b.Reason != ReasonExpired || b.Lost != 1 || b.Top != 3 {
		t.Errorf("got %+v", b)
	}
	post(t, h, "c", 2, 0)
	if b := from(t, h, p.subscriber(3), "c", 3); !b.Recovered {
		t.Errorf("got %+v", b)
	}
	p.rest()
	wantOffsets(t, p, 3, 4, 5)
	checkHub(t, h)
}

// Replayed items carry the names of their events where the hub keeps them.
func TestNamesOfReplayedEvents(t *testing.T) {
	for _, keep := range []bool{false, true} {
		h, sink := NewHub(), &named{}
		h.AddForm(Encoding{
			Base: Itself, Kept: true,
			Encode: func(m Message, _ []byte) []byte { return append(slices.Clone(m.Event), m.Data...) },
			Event:  func(frame []byte) string { return string(frame[:1]) },
		})
		keepHistory(h, History{Size: 9, TTL: time.Second})
		if keep {
			h.KeepEvents()
		}
		if _, err := h.Publish(Message{Channel: []byte("c"), Event: []byte("e"), Data: []byte("1")}, Always); err != nil {
			t.Fatal(err)
		}
		var s Subscriber
		s.Init(NewShard(sink), 1)
		from(t, h, &s, "c", 0)
		s.seat.shard.Work()
		want := "c  e1"
		if keep {
			want = "c e e1"
		}
		if !slices.Equal(sink.got, []string{want}) {
			t.Errorf("keep %v: got %q, want %q", keep, sink.got, want)
		}
	}
}

// A Sink that panics in a replay has lost its member some messages, and says so.
func TestPanicInAReplay(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	post(t, h, "c", 3, 0)
	p.inWork = func(s *sink, _ int) {
		s.heard[1] = nil
		s.inWork = nil
		panic("out of order")
	}
	from(t, h, p.subscriber(1), "c", 0)
	func() {
		defer func() { _ = recover() }()
		p.work(0)
		t.Error("no panic")
	}()
	post(t, h, "c", 1, 0)
	p.rest()
	if got := p.offsets(1); got != "lost 0 to 3 4" {
		t.Errorf("heard %q", got)
	}
	p.members(h, "d", 1)
	p.heard[0] = nil
	p.inWork = func(s *sink, _ int) {
		s.heard[0] = nil
		s.inWork = nil
		panic("out of order")
	}
	post(t, h, "d", 2, 0)
	func() {
		defer func() { _ = recover() }()
		p.work(0)
	}()
	post(t, h, "d", 1, 0)
	p.rest()
	if got := p.offsets(0); got != "lost 0 to 2 3" {
		t.Errorf("a walk: heard %q", got)
	}
}

// A Sink that panics while a reader is given the rest of a run: the others who waited
// for that run read the log instead, whether anything comes after it or not.
func TestPanicWhereReadersAreAdmitted(t *testing.T) {
	h, p := newHistoryHub(9), newPaced(t)
	p.members(h, "c", 1)
	post(t, h, "c", 4, 0)
	for id, since := range map[uint64]uint64{10: 1, 11: 2, 12: 3} {
		from(t, h, p.subscriber(id), "c", since)
	}
	struck := ""
	p.inWork = func(s *sink, _ int) {
		struck = fmt.Sprint(s.served[0])
		clear(s.heard)
		s.inWork = nil
		panic("out of order")
	}
	func() {
		defer func() { _ = recover() }()
		p.work(0)
	}()
	p.rest()
	for id, want := range map[uint64]string{0: "lost 0 to 4", 10: "2 3 4", 11: "3 4", 12: "4"} {
		if fmt.Sprint(id) == struck {
			want = "lost 0 to 4"
		}
		if got := p.offsets(id); got != want {
			t.Errorf("%d: heard %q, want %q", id, got, want)
		}
	}
	if len(p.shard.catchup.readers)+len(p.shard.catchup.early) > 0 {
		t.Error("somebody is behind for ever")
	}
}
