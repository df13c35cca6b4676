package pubsub

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// A walk is interrupted after each possible number of members, and somebody
// comes or goes there. Whoever is a member throughout gets every frame once.
func TestWalkInterrupted(t *testing.T) {
	const channel, members = "c", 5
	actions := []struct {
		name string
		do   func(h *Hub, s *sink, all []*Subscriber, i int)
		gone bool // member i is not a member throughout
	}{
		{"nothing", func(*Hub, *sink, []*Subscriber, int) {}, false},
		{"join", func(h *Hub, s *sink, _ []*Subscriber, i int) {
			subscribe(h, s.subscriber(uint64(100+i)), []byte(channel))
		}, false},
		{"leave", func(h *Hub, _ *sink, all []*Subscriber, i int) {
			h.Unsubscribe(all[i], []byte(channel))
		}, true},
		{"die", func(_ *Hub, _ *sink, all []*Subscriber, i int) { all[i].Leave() }, true},
		{"leave and come back", func(h *Hub, _ *sink, all []*Subscriber, i int) {
			h.Unsubscribe(all[i], []byte(channel))
			subscribe(h, all[i], []byte(channel))
		}, true},
		{"another takes the place", func(h *Hub, s *sink, all []*Subscriber, i int) {
			all[i].Leave()
			subscribe(h, s.subscriber(uint64(100+i)), []byte(channel))
		}, true},
		{"all leave but one", func(_ *Hub, _ *sink, all []*Subscriber, i int) {
			for j, sub := range all {
				if j != i {
					sub.Leave()
				}
			}
		}, false},
		{"a further subscription", func(h *Hub, _ *sink, all []*Subscriber, i int) {
			subscribe(h, all[i], []byte("other"))
			subscribe(h, all[(i+1)%members], []byte("other"))
			h.Unsubscribe(all[i], []byte("other"))
		}, false},
	}
	for _, action := range actions {
		for stop := 1; stop < members; stop++ {
			for i := range members {
				t.Run(fmt.Sprintf("%s/stop after %d/member %d", action.name, stop, i), func(t *testing.T) {
					h, s := newHub(), newSink(t)
					all := s.members(h, channel, members)
					publish(t, h, channel, "1", "2")
					if got := s.work(stop); got != More {
						t.Fatalf("Work: got %v, want More", got)
					}
					servedBefore := slices.Contains(s.served, uint64(i))
					action.do(h, s, all, i)
					if err := put(h, Refuse, channel, []byte("3")); err != nil {
						t.Fatal(err)
					}
					s.rest()

					for j, sub := range all {
						heard := strings.Join(s.heard[uint64(j)], "")
						want := "123"
						if action.gone && j == i {
							want = ""
							if servedBefore {
								want = "12"
							}
							if sub.Len() > 0 { // came back: only what is new
								want += "3"
							}
						} else if sub.Len() == 0 { // left as one of all the others
							if heard != "" && heard != "12" {
								t.Errorf("member %d left in the middle: got %q", j, heard)
							}
							continue
						}
						if heard != want {
							t.Errorf("member %d: got %q, want %q", j, heard, want)
						}
					}
					for id, heard := range s.heard {
						if id >= 100 && !slices.Equal(heard, []string{"3"}) {
							t.Errorf("%d joined in the middle: got %q, want only 3", id, heard)
						}
					}
					checkHub(t, h)
				})
			}
		}
	}
}

// Everybody leaves in the middle of a walk; the channel's next members hear
// nothing of it.
func TestWalkAbandoned(t *testing.T) {
	h, s := newHub("c"), newSink(t)
	all := s.members(h, "c", 3)
	publish(t, h, "c", "1")
	s.work(1)
	publish(t, h, "c", "2")
	for _, sub := range all {
		sub.Leave()
	}
	fresh := s.subscriber(9)
	subscribe(h, fresh, []byte("c"))
	publish(t, h, "c", "3")
	s.rest()
	if got := s.heard[9]; !slices.Equal(got, []string{"3"}) {
		t.Errorf("the new member: got %q, want only 3", got)
	}
	if n := len(s.served); n != 2 {
		t.Errorf("got %d deliveries, want 2: one before all left, one to the new member", n)
	}
	if got := s.shard.backlog.Load(); got != 0 {
		t.Errorf("backlog: got %d, want 0", got)
	}
}

// What waits when a member joins reaches it too; what is being walked does not.
func TestJoinBetweenPublishAndWork(t *testing.T) {
	h, s := newHub(), newSink(t)
	s.members(h, "c", 2)
	publish(t, h, "c", "1")
	s.work(1)
	publish(t, h, "c", "2")
	subscribe(h, s.subscriber(9), []byte("c"))
	publish(t, h, "c", "3")
	s.rest()
	if got := strings.Join(s.heard[9], ""); got != "23" {
		t.Errorf("got %q, want 23", got)
	}
}

func TestRunsAreJoinedUpToTheirLimit(t *testing.T) {
	const small = 1000
	tests := []struct {
		name  string
		sizes []int
		runs  []int // frames of each Deliver
	}{
		{"one", []int{small}, []int{1}},
		{"three small", []int{small, small, small}, []int{3}},
		{"just full", []int{runMax / 2, runMax / 2, small}, []int{2, 1}},
		{"one byte too many", []int{runMax / 2, runMax/2 + 1}, []int{1, 1}},
		{"larger than a run", []int{small, runMax * 3, small, small}, []int{1, 1, 2}},
		{"many", slices.Repeat([]int{small}, 200), []int{65, 65, 65, 5}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, s := newHub(), newSink(t)
			s.members(h, "c", 1)
			var want []string
			for i, size := range test.sizes {
				f := fmt.Sprintf("%d:", i)
				f += strings.Repeat("x", size-len(f))
				want = append(want, f)
				publish(t, h, "c", f)
			}
			var runs []int
			before := 0
			s.inWork = func(s *sink, _ int) {
				runs = append(runs, len(s.heard[0])-before)
				before = len(s.heard[0])
			}
			s.rest()
			if !slices.Equal(runs, test.runs) {
				t.Errorf("frames in each run: got %v, want %v", runs, test.runs)
			}
			if !slices.Equal(s.heard[0], want) {
				t.Errorf("the %d frames came changed or in another order", len(want))
			}
			checkHub(t, h)
		})
	}
}

// A published frame is handed on as it is, not copied for each member.
func TestFramesAreShared(t *testing.T) {
	h := newHub()
	frame := []byte("hello")
	var got [][]byte
	s := &capture{func(_ []uint64, frames [][]byte) { got = append(got, frames...) }}
	shard := NewShard(s)
	for id := range uint64(3) {
		sub := new(Subscriber)
		sub.Init(shard, id)
		subscribe(h, sub, []byte("c"))
	}
	if err := put(h, Refuse, "c", frame); err != nil {
		t.Fatal(err)
	}
	shard.Work()
	if len(got) != 1 || &got[0][0] != &frame[0] {
		t.Errorf("got %q, want the very frame that was published", got)
	}
}

// capture hands what comes to a function.
type capture struct {
	f func(ids []uint64, frames [][]byte)
}

func (c *capture) Wake() {}

func (c *capture) Deliver(ids []uint64, run *delivery.Run) int {
	c.f(ids, framesOf(run))
	return len(ids)
}

func TestShiftLetsGo(t *testing.T) {
	list := [][]byte{{1}, {2}, {3}}
	list = shift(list, 2)
	if len(list) != 1 || !bytes.Equal(list[0], []byte{3}) {
		t.Errorf("got %v, want the last", list)
	}
	for i, f := range list[:3][1:] {
		if f != nil {
			t.Errorf("entry %d still holds a frame", i+1)
		}
	}
	if got := shift(make([][]byte, frameListMax+1), frameListMax+1); got != nil {
		t.Errorf("a large empty list: got capacity %d, want nil", cap(got))
	}
}
