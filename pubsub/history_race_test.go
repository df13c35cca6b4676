package pubsub

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/pubsub/delivery"
)

// Publishers, loops and clients that hop between them, at the same time: every client
// has all messages in order and once, or was told which it has not.
func TestHistoryConcurrent(t *testing.T) {
	const loops, publishers, clients, hops, each = 3, 2, 6, 300, 20
	h := newHistoryHub(500)
	h.LimitHistory(50_000)
	stop := make(chan struct{})
	var running, working sync.WaitGroup
	var shards []*hopLoop
	for range loops {
		l := &hopLoop{t: t, wake: make(chan struct{}, 1), positions: map[uint64]uint64{}}
		l.shard = NewShard(l)
		shards = append(shards, l)
		running.Go(func() { l.run(stop) })
	}
	var published, recovered atomic.Int64
	for range publishers {
		working.Go(func() {
			for i := range clients * hops * each {
				m := Message{Channel: []byte("c"), Key: fmt.Append(nil, i)} // one of both publishes it
				p, err := h.Publish(m, Always)
				if err != nil {
					t.Error(err)
				}
				if !p.Duplicate {
					published.Add(1)
				}
				if i%100 == 0 {
					h.Sweep(time.Duration(i) * time.Millisecond)
					if _, err := h.History([]byte("c"), Query{Limit: 10}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var ids atomic.Uint64
	for c := range clients {
		working.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 2))
			start := Start{}
			for range hops {
				id, l, sub := ids.Add(1), shards[r.IntN(loops)], new(Subscriber)
				sub.Init(l.shard, id)
				sub.SetForm(Form(r.IntN(4)))
				l.do(func() {
					b, err := h.SubscribeFrom(math.MaxInt, sub, []byte("c"), start)
					if err != nil || b.Recovered && b.Offset != start.Since.Offset {
						t.Errorf("got %+v, %v for %+v", b, err, start)
					}
					if b.Recovered {
						recovered.Add(1)
					}
					l.positions[id] = b.Offset
				})
				for range r.IntN(5) {
					l.do(func() {}) // the loop turns
				}
				l.do(func() {
					sub.Leave()
					start.Since = Position{h.Epoch(), l.positions[id]}
					delete(l.positions, id)
				})
			}
		})
	}
	working.Wait()
	close(stop)
	running.Wait()
	if got := published.Load(); got != clients*hops*each {
		t.Errorf("published %d, want %d", got, clients*hops*each)
	}
	if recovered.Load() == 0 {
		t.Error("nobody has recovered")
	}
	checkHub(t, h)
	t.Logf("%d of %d recovered", recovered.Load(), clients*hops)
}

// A hopLoop is an event loop that runs.
type hopLoop struct {
	t         *testing.T
	shard     *Shard
	wake      chan struct{}
	positions map[uint64]uint64
	turns     int
	full      []uint64

	mu    sync.Mutex
	posts []func()
}

// do runs f on the loop and waits for it.
func (l *hopLoop) do(f func()) {
	done := make(chan struct{})
	l.mu.Lock()
	l.posts = append(l.posts, func() { f(); close(done) })
	l.mu.Unlock()
	l.Wake()
	<-done
}

func (l *hopLoop) run(stop chan struct{}) {
	for {
		l.mu.Lock()
		posts := l.posts
		l.posts = nil
		l.mu.Unlock()
		for _, f := range posts {
			f()
		}
		state := l.shard.Work()
		for _, id := range l.full {
			l.shard.Resume(id)
		}
		if more := len(l.full) > 0; !more && state == Idle {
			select {
			case <-stop:
				return
			case <-l.wake:
			}
		}
		l.full = l.full[:0]
	}
}

func (l *hopLoop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *hopLoop) Deliver(ids []uint64, run *delivery.Run) int {
	for _, id := range ids {
		id &^= delivery.Several
		for _, item := range run.Items {
			if _, _, offset := parse(item.Frame); offset != l.positions[id]+1 {
				l.t.Errorf("%d: got %d after %d", id, offset, l.positions[id])
			}
			l.positions[id] = item.Offset
		}
	}
	return len(ids)
}

func (l *hopLoop) Room(id uint64) int {
	if l.turns++; l.turns%3 == 0 {
		l.full = append(l.full, id)
		return 0
	}
	return 500
}

func (l *hopLoop) TimeLeft() time.Duration { return 0 }

func (l *hopLoop) Lost(id uint64, lost delivery.Lost) {
	if l.positions[id]+lost.N != lost.Offset {
		l.t.Errorf("%d: is at %d and has lost %+v", id, l.positions[id], lost)
	}
	l.positions[id] = lost.Offset
}
