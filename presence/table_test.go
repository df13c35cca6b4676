package presence

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// told returns what a table has to tell when the time has come.
func tell(t *Table, q *Queue, now time.Duration) (all []*Notice) {
	t.Work(q, now, func(n *Notice) { all = append(all, n) })
	return all
}

// who is a connection of no user.
func who(i int) *Who { return &Who{Client: fmt.Sprint("c", i)} }

// The first change is told at once, those that follow together when the interval is over.
func TestInterval(t *testing.T) {
	table, q := NewTable(), new(Queue)
	c := Config{Mode: Clients}
	table.Watch(table.Join(q, 0, "c", c, who(0)))
	first := table.Join(q, 0, "c", c, who(1))
	if got := tell(table, q, 0); len(got) != 1 || len(got[0].Joined) != 1 || got[0].From != 1 || got[0].Version != 2 {
		t.Fatalf("the first: got %+v", got)
	}
	for i := range 50 {
		now := time.Duration(i) * time.Millisecond
		m := table.Join(q, now, "c", c, who(10+i))
		if i < 20 {
			table.Leave(q, now, m)
		}
		if got := tell(table, q, now); got != nil {
			t.Fatalf("after %v: got %+v", now, got[0])
		}
	}
	table.Leave(q, 50*time.Millisecond, first)
	if got := tell(table, q, DefaultInterval-1); got != nil {
		t.Fatalf("just before: got %+v", got[0])
	}
	got := tell(table, q, DefaultInterval)
	if len(got) != 1 || len(got[0].Joined) != 30 || len(got[0].Left) != 21 || got[0].From != 2 || got[0].Version != 73 || got[0].Clients != 31 {
		t.Fatalf("after the interval: got %+v", got)
	}
	if got := tell(table, q, time.Hour); got != nil {
		t.Errorf("without a change: got %+v", got[0])
	}
}

// Where nobody watches, nothing is put off and nothing is told.
func TestNobodyWatches(t *testing.T) {
	table, q := NewTable(), new(Queue)
	m := table.Join(q, 0, "c", Config{Mode: Clients}, who(0))
	table.Join(q, 0, "c", Config{Mode: Clients}, who(1))
	if _, ok := q.Next(); ok {
		t.Error("there is something to do")
	}
	if n := table.Watch(m); n != (Counts{Version: 2, Clients: 2}) {
		t.Errorf("Watch: got %+v", n)
	}
	table.Unwatch(m)
	table.Leave(q, 0, m)
	if _, ok := q.Next(); ok {
		t.Error("there is something to do after the last has gone")
	}
}

// With too many changes, or members, a notice has the numbers alone, and the next one
// the names again.
func TestCrowds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		joins  int
		info   int
		named  bool
	}{
		{"as many changes as are listed", Config{Mode: Clients}, maxChanges, 0, true},
		{"one more", Config{Mode: Clients}, maxChanges + 1, 0, false},
		{"as many members", Config{Mode: Clients, MaxListed: 11}, 10, 0, true},
		{"a member more", Config{Mode: Clients, MaxListed: 10}, 10, 0, false},
		{"large ones", Config{Mode: Clients}, 40, 1000, false},
	} {
		table, q := NewTable(), new(Queue)
		watcher := table.Join(q, 0, "c", tt.config, who(0))
		table.Watch(watcher)
		var members []*Member
		for i := range tt.joins {
			members = append(members, table.Join(q, 0, "c", tt.config, &Who{Client: fmt.Sprint("m", i), Info: string(make([]byte, tt.info))}))
		}
		got := tell(table, q, 0)
		if len(got) != 1 || got[0].Clients != tt.joins+1 || (len(got[0].Joined) == tt.joins) != tt.named || !tt.named && got[0].Joined != nil {
			t.Errorf("%s: got %+v", tt.name, got)
		}
		for _, m := range members[1:] {
			table.Leave(q, 0, m)
		}
		tell(table, q, time.Second)
		table.Leave(q, time.Minute, members[0])
		if got := tell(table, q, time.Minute); len(got) != 1 || len(got[0].Left) != 1 || got[0].Clients != 1 {
			t.Errorf("%s, when few are left: got %+v", tt.name, got)
		}
	}
}

// A member that leaves is named if there were at most MaxListed members before it left, and
// not if there was one more.
func TestLeavingACrowd(t *testing.T) {
	table, q := NewTable(), new(Queue)
	c := Config{Mode: Clients, MaxListed: 3}
	table.Watch(table.Join(q, 0, "c", c, who(0)))
	var members []*Member
	for i := range 3 {
		members = append(members, table.Join(q, 0, "c", c, who(1+i)))
	}
	tell(table, q, 0)
	for i, named := range []int{0, 1, 1} {
		now := time.Duration(i+1) * time.Second
		table.Leave(q, now, members[i])
		got := tell(table, q, now)
		if len(got) != 1 || len(got[0].Left) != named || got[0].Clients != 3-i {
			t.Errorf("leaving %d: got %+v, want %d named", i+1, got, named)
		}
	}
}

// Versions go on where a channel was forgotten in between.
func TestVersionsGoOn(t *testing.T) {
	table, q := NewTable(), new(Queue)
	var last uint64
	for range 5 {
		m := table.Join(q, 0, "c", Config{Mode: Users}, who(1))
		table.Join(q, 0, "d", Config{Mode: Users}, who(1))
		if p := table.Page("c", 0, 10, 0); p.Version <= last || p.Members[0].At <= last {
			t.Errorf("got %+v after version %d", p, last)
		}
		table.Leave(q, 0, m)
		last = table.Page("c", 0, 10, 0).Version
	}
}

// Nor do they go back when other channels are forgotten, which had fewer changes.
func TestVersionsOfOthers(t *testing.T) {
	table, q := NewTable(), new(Queue)
	var others []*Member
	for i := range 20 * stripeCount { // some of them share a stripe with the channel
		others = append(others, table.Join(q, 0, fmt.Sprint(i), Config{Mode: Users}, who(1)))
	}
	for range 100 {
		table.Leave(q, 0, table.Join(q, 0, "c", Config{Mode: Users}, who(1)))
	}
	last := table.Page("c", 0, 10, 0).Version
	for _, m := range others {
		table.Leave(q, 0, m)
	}
	if v := table.Page("c", 0, 10, 0).Version; v < last {
		t.Errorf("got version %d after %d", v, last)
	}
}

// A page has 256 KiB at most, or what is asked for, or one entry.
func TestPageSize(t *testing.T) {
	for asked, most := range map[int]int{0: 245, 1 << 30: 245, 10_000: 9, 1: 1} { // of 1,068 bytes or so
		pageSize(t, asked, most)
	}
}

func pageSize(t *testing.T, asked, most int) {
	t.Helper()
	table, q := NewTable(), new(Queue)
	for i := range 1000 {
		table.Join(q, 0, "c", Config{Mode: Clients}, &Who{Client: fmt.Sprint("c", i), Info: string(make([]byte, 1000))})
	}
	var seen int
	var after uint64
	for more := true; more; {
		p := table.Page("c", after, 1000, asked)
		if n := len(p.Members); n == 0 || n > most || p.More && n < most {
			t.Fatalf("a page of %d bytes has %d members, want %d", asked, n, most)
		}
		seen += len(p.Members)
		after, more = p.Members[len(p.Members)-1].At, p.More
	}
	if seen != 1000 {
		t.Errorf("the pages have %d members, want 1000", seen)
	}
}

// Loops join and leave at the same time, and make the notices. In the end the list that
// a reader has put together is that of the table, and nobody is left behind.
func TestConcurrent(t *testing.T) {
	const loops, rounds = 4, 4000
	var clock atomic.Int64
	table := NewTable()
	config := Config{Mode: Users, Interval: MinInterval, MaxListed: 1000}
	var watching Queue
	watcher := table.Join(&watching, 0, "c", config, who(0))
	start := table.Watch(watcher)

	var mu sync.Mutex
	var messages [][]told // guarded by mu
	last := start.Version // guarded by mu
	hear := func(n *Notice) {
		mu.Lock()
		defer mu.Unlock()
		if n.From != last {
			t.Errorf("a notice from %d, the one before was up to %d", n.From, last)
		}
		last = n.Version
		var message []told
		for _, e := range n.Joined {
			message = append(message, told{e, false})
		}
		for _, e := range n.Left {
			message = append(message, told{e, true})
		}
		messages = append(messages, message)
	}
	var all sync.WaitGroup
	stay := make([][]*Member, loops)
	queues := make([]Queue, loops)
	for loop := range loops {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(loop), 1))
			var members []*Member
			q := &queues[loop]
			for i := range rounds {
				now := time.Duration(clock.Add(1)) * time.Millisecond
				if len(members) > 20 || len(members) > 0 && random.IntN(2) == 0 {
					k := random.IntN(len(members))
					table.Leave(q, now, members[k])
					members = append(members[:k], members[k+1:]...)
				} else {
					w := &Who{Client: fmt.Sprint(loop, "-", i), User: fmt.Sprint("u", random.IntN(60))}
					members = append(members, table.Join(q, now, "c", config, w))
				}
				table.Work(q, now, hear)
				if i%100 == 0 {
					p := table.Page("c", 0, 1000, 0)
					if len(p.Members) > 61 || p.Users > 60 {
						t.Errorf("a page has %d members of 60 users", len(p.Members))
					}
				}
			}
			stay[loop] = members
		})
	}
	all.Wait()
	drain := func() {
		for i := range queues {
			for due, ok := queues[i].Next(); ok; due, ok = queues[i].Next() {
				table.Work(&queues[i], due, hear)
			}
		}
	}
	drain()
	list := merge(messages)
	page := table.Page("c", 0, 1000, 0)
	if len(page.Members) != len(list)+1 { // the watcher was there before
		t.Errorf("the notices give %d members, the table has %d", len(list)+1, len(page.Members))
	}
	for _, e := range page.Members {
		if _, ok := list[key{"", e.User}]; !ok && e.Client == "" {
			t.Errorf("%+v is missing", e)
		}
	}
	for i, members := range stay {
		for _, m := range members {
			table.Leave(&queues[i], time.Hour, m)
		}
	}
	drain()
	table.Unwatch(watcher)
	table.Leave(&watching, time.Hour, watcher)
	if s := table.Stats(); s.Members != 0 || s.Channels != 0 {
		t.Errorf("everybody has left, and the table has %+v", s)
	}
}

// What a member takes, beside the texts that say who it is.
func TestBytesPerMember(t *testing.T) {
	const n = 20_000
	for _, tt := range []struct {
		name string
		mode Mode
		user bool
		most float64
	}{
		{"clients", Clients, false, 80},
		{"clients of a user each", Clients, true, 130},
		{"users", Users, true, 130},
	} {
		whos := make([]*Who, n)
		for i := range whos {
			whos[i] = who(i)
			if tt.user {
				whos[i].User = fmt.Sprint("user ", i)
			}
		}
		table, q := NewTable(), new(Queue)
		members := make([]*Member, n)
		before := inUse()
		for i, w := range whos {
			members[i] = table.Join(q, 0, "c", Config{Mode: tt.mode, MaxMembers: n, MaxListed: n}, w)
		}
		if got := float64(inUse()-before) / n; got > tt.most {
			t.Errorf("%s: a member has %.0f bytes, want %.0f at most", tt.name, got, tt.most)
		} else {
			t.Logf("%s: %.0f bytes", tt.name, got)
		}
		for i, m := range members {
			table.Leave(q, 0, m)
			members[i] = nil
		}
		runtime.KeepAlive(table)
		if got := float64(int64(inUse())-int64(before)) / n; got > 8 {
			t.Errorf("%s: %.0f bytes are left of a member that has gone", tt.name, got)
		}
		runtime.KeepAlive(members)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A user who comes back and goes again stays for the whole of LeaveAfter from then on.
func TestLeaveAfterBeginsAnew(t *testing.T) {
	table, q := NewTable(), new(Queue)
	c := Config{Mode: Users, LeaveAfter: 5 * time.Second}
	ann := &Who{Client: "c", User: "ann"}
	table.Leave(q, 0, table.Join(q, 0, "c", c, ann))
	table.Leave(q, 3*time.Second, table.Join(q, 3*time.Second, "c", c, ann))
	for _, tt := range []struct {
		at   time.Duration
		want int
	}{{5 * time.Second, 1}, {8*time.Second - 1, 1}, {8 * time.Second, 0}} {
		tell(table, q, tt.at)
		if got := table.Page("c", 0, 10, 0); len(got.Members) != tt.want || got.Users != tt.want {
			t.Errorf("after %v: got %+v, want %d members", tt.at, got, tt.want)
		}
	}
}

// A user who comes and goes all the time waits to leave once.
func TestLeaveAfterKeepsOneTask(t *testing.T) {
	table, q := NewTable(), new(Queue)
	c := Config{Mode: Users, LeaveAfter: time.Hour}
	ann := &Who{Client: "c", User: "ann"}
	for i := range 1000 {
		now := time.Duration(i) * time.Second
		table.Leave(q, now, table.Join(q, now, "c", c, ann))
		tell(table, q, now)
	}
	if n := len(q.tasks); n != 1 {
		t.Errorf("%d tasks wait, want 1", n)
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{time.Hour + 999*time.Second - 1, 1}, {time.Hour + 999*time.Second, 0}} {
		if tell(table, q, step.at); table.Stats().Members != step.want {
			t.Errorf("after %v: %d members, want %d", step.at, table.Stats().Members, step.want)
		}
	}
}

// A member that has not been told of another Mode yet can watch, also if all that had been
// told have left. What others see then goes on.
func TestWatchBetweenModes(t *testing.T) {
	table, q := NewTable(), new(Queue)
	clients, users := Config{Mode: Clients}, Config{Mode: Users}
	late := table.Join(q, 0, "c", clients, who(1))
	table.Leave(q, 0, table.Join(q, 0, "c", users, who(2)))
	before := table.Page("c", 0, 10, 0).Version
	if n := table.Watch(late); n.Version < before || n.Clients != 1 || table.Stats().Channels != 1 {
		t.Errorf("got %+v and %+v after version %d", n, table.Stats(), before)
	}
	late = table.Obey(q, 0, late, users, who(1))
	got := tell(table, q, 0)
	if len(got) != 1 || len(got[0].Joined) != 1 || got[0].Clients != 1 || got[0].From <= before {
		t.Errorf("by the other Mode: got %+v", got)
	}
	table.Unwatch(late)
	table.Leave(q, 0, late)
	if s := table.Stats(); s.Channels != 0 || s.Members != 0 {
		t.Errorf("the end: got %+v", s)
	}
}
