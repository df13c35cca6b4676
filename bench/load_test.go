package bench

import "testing"

func TestWindow(t *testing.T) {
	w := newWindow(2, 3)
	steps := []struct {
		seq   uint32
		moved bool
		done  uint32
	}{
		{1, false, 0},
		{2, false, 0},
		{1, false, 0},
		{2, false, 0},
		{2, false, 0}, // all have 2, one lacks 1
		{1, true, 2},  // and now both are done
		{2, false, 2}, // long done
		{3, false, 2},
		{99, false, 2}, // never sent
		{3, false, 2},
		{3, true, 3},
	}
	for i, s := range steps {
		if moved := w.arrived(s.seq); moved != s.moved || w.done != s.done {
			t.Fatalf("step %d: arrived(%d) = %v, done %d, want %v, %d", i, s.seq, moved, w.done, s.moved, s.done)
		}
	}
	w.arrived(4)
	w.writeOff(5)
	if w.done != 5 {
		t.Errorf("done %d after writeOff(5)", w.done)
	}
	for range 3 {
		w.arrived(6)
	}
	if w.done != 6 {
		t.Errorf("done %d, want 6: a write-off must not be felt later", w.done)
	}
}

func TestSchedule(t *testing.T) {
	s := newSchedule(1000, 1e9/10.0) // every 10 ns
	if _, ok := s.take(999); ok {
		t.Error("an event is due before the start")
	}
	// Nobody looked for a while: what was due keeps its time.
	for _, want := range []int64{1000, 1010, 1020} {
		if at, ok := s.take(1025); !ok || at != want {
			t.Errorf("take = %d, %v, want %d", at, ok, want)
		}
	}
	if at, ok := s.take(1025); ok {
		t.Errorf("take = %d, though nothing is due", at)
	}
	if got := s.wait(1025, 100); got != 5 {
		t.Errorf("wait = %d, want 5", got)
	}
	if got := s.wait(1025, 3); got != 3 {
		t.Errorf("wait at most 3 = %d", got)
	}
	if got := s.wait(2000, 100); got != 0 {
		t.Errorf("wait when late = %d, want 0", got)
	}
	var never schedule
	if _, ok := never.take(1 << 60); ok || never.wait(0, 7) != 7 {
		t.Error("a schedule without a rate has events")
	}
}

func TestScheduleDoesNotDrift(t *testing.T) {
	s := newSchedule(0, 3) // a third of a second is no whole number of nanoseconds
	for range 3_000_000 {
		s.take(1 << 62)
	}
	if at := s.at(); at != 1_000_000e9 {
		t.Errorf("event 3,000,000 at 3 per second is due at %d", at)
	}
}

func TestLatency(t *testing.T) {
	l := newLatency()
	l.record(5, 10, 1) // before the window
	l.from, l.to = 1000, 2000
	l.record(999, 5000, 1)
	l.record(1000, 1_001_000, 98) // 1 ms
	l.record(1999, 5_001_999, 2)  // 5 ms, read after the window's end
	l.record(2000, 9_000_000, 1)
	got := summarize(l.all)
	if got.Count != 100 {
		t.Errorf("%d recorded, want the 100 that were scheduled in the window", got.Count)
	}
	for _, q := range []struct {
		name      string
		got, want float64
	}{{"p50", got.P50, 1}, {"p90", got.P90, 1}, {"p99", got.P99, 5}, {"max", got.Max, 5}} {
		if q.got < q.want*0.998 || q.got > q.want*1.002 {
			t.Errorf("%s = %v ms, want %v", q.name, q.got, q.want)
		}
	}
	l.record(0, 1<<62, 1)
	l.record(10, 0, 1) // clocks do not run backwards, but must not break it either
	if l.second.TotalCount() != 105 {
		t.Errorf("%d in the second, want all 105", l.second.TotalCount())
	}
}

func TestSpread(t *testing.T) {
	tests := []struct {
		name                        string
		conns, channels, publishers int
		streams                     int
		perStream                   int32
	}{
		{"one channel", 10, 1, 1, 1, 10},
		{"several publishers", 10, 1, 3, 3, 10},
		{"more channels than publishers", 12, 6, 4, 6, 2},
		{"more publishers than channels", 12, 3, 5, 5, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := spread(group{}, tt.conns, tt.channels, tt.publishers).seal()
			if len(p.streams) != tt.streams || int(p.first[p.channels]) != tt.streams {
				t.Fatalf("%d streams, want %d", len(p.streams), tt.streams)
			}
			for i, n := range p.receivers(func(int32) bool { return true }) {
				if n != tt.perStream {
					t.Errorf("stream %d has %d receivers, want %d", i, n, tt.perStream)
				}
			}
			for i, s := range p.streams {
				if int32(i) < p.first[s.channel] || int32(i) >= p.first[s.channel+1] {
					t.Errorf("stream %d of channel %d is not among %d..%d", i, s.channel, p.first[s.channel], p.first[s.channel+1]-1)
				}
			}
		})
	}
}

func TestChatPlan(t *testing.T) {
	p := chatPlan(&Options{Conns: 7, Channels: 3})
	if len(p.streams) != 7 {
		t.Fatalf("%d streams, want one per connection", len(p.streams))
	}
	for i, s := range p.streams {
		if p.conns[s.conn].channel != s.channel || p.conns[s.conn].streams[0] != int32(i) {
			t.Errorf("stream %d goes to channel %d, its publisher hears %d", i, s.channel, p.conns[s.conn].channel)
		}
	}
}
