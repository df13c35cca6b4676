package rate

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	type step struct {
		now  int // in ticks
		n    int
		want bool
	}
	for _, tt := range []struct {
		name  string
		rate  int
		steps []step
	}{
		{"a second's worth at once", 2, []step{{100, 1, true}, {100, 1, true}, {100, 1, false}}},
		{"one comes back after its share", 2, []step{{0, 1, true}, {0, 1, true}, {1, 1, false}, {2, 1, true}, {2, 1, false}}},
		{"one a second", 1, []step{{0, 1, true}, {3, 1, false}, {4, 1, true}, {4, 1, false}}},
		{"what is refused costs nothing", 1, []step{{0, 1, true}, {2, 1, false}, {3, 1, false}, {4, 1, true}}},
		{"a large one is waited for", 4, []step{{0, 12, true}, {7, 1, false}, {9, 1, true}}},
		{"full is full", 1, []step{{0, 1, true}, {1 << 30, 1, true}, {1 << 30, 1, false}}},
		{"the largest", Max, []step{{0, Max, true}, {0, 1, false}, {1, Max, true}, {1, 1, false}}},
		{"more than the largest", 1, []step{{0, 1 << 40, true}, {1 << 20, 1, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b Bucket
			for i, s := range tt.steps {
				if got := b.Take(time.Duration(s.now)*Tick, s.n, tt.rate); got != s.want {
					t.Errorf("step %d: got %t, want %t", i, got, s.want)
				}
			}
		})
	}
}

// A lower rate counts from now on: what was spent at the higher one is paid back in
// the second that it was for.
func TestBucketWhoseRateChanges(t *testing.T) {
	for _, tt := range []struct {
		name         string
		before, then int
	}{{"lower", 1000, 5}, {"higher", 5, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			var b Bucket
			for range tt.before {
				b.Take(0, 1, tt.before)
			}
			if b.Take(0, 1, tt.then) {
				t.Error("it was not empty")
			}
			got := 0
			for range 2000 {
				if b.Take(time.Second, 1, tt.then) {
					got++
				}
			}
			if got != tt.then {
				t.Errorf("a second later %d are left, want %d", got, tt.then)
			}
		})
	}
}

// Messages and bytes are limited each for itself, and what is refused costs nothing.
func TestMeter(t *testing.T) {
	var m Meter
	for i, step := range []struct {
		now             time.Duration
		size            int
		messages, bytes int
		want            bool
	}{
		{0, 1 << 20, 0, 0, true},
		{0, 10, 1, 0, true},
		{0, 10, 1, 0, false},
		{0, 10, 0, 10, true},
		{0, 10, 0, 10, false},
		{time.Second, 20, 1, 10, true},
		{time.Second + Tick, 1, 0, 10, false},
		{3 * time.Second, 1, 1, 10, true},
	} {
		if got := m.Within(step.now, step.size, step.messages, step.bytes); got != step.want {
			t.Errorf("step %d: got %t, want %t", i, got, step.want)
		}
	}
}

// What is spent beside a message is waited for like it.
func TestMeterSpend(t *testing.T) {
	var m Meter
	for i, step := range []struct {
		now   time.Duration
		spend int
		want  bool
	}{
		{0, 5, true}, // 6 at 2 a second
		{2*time.Second + Tick, 0, false},
		{2*time.Second + 2*Tick, 0, true},
		{2*time.Second + 2*Tick, 0, false},
	} {
		if got := m.Within(step.now, 1, 2, 0); got != step.want {
			t.Errorf("step %d: got %t, want %t", i, got, step.want)
		}
		m.Spend(step.spend, 2)
	}
}

// A meter that is full has limited nothing, so nobody need keep it.
func TestMeterFull(t *testing.T) {
	for name, m := range map[string]Meter{"messages": {messages: Bucket{full: grainsPerSecond}}, "bytes": {bytes: Bucket{full: grainsPerSecond}}} {
		if m.Full(time.Second-Tick) || !m.Full(time.Second) {
			t.Errorf("%s: got %t and %t, want false before the second is over", name, m.Full(time.Second-Tick), m.Full(time.Second))
		}
	}
}
