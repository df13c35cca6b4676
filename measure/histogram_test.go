package measure

import (
	"testing"
	"time"
)

func TestObserve(t *testing.T) {
	for _, tt := range []struct {
		name   string
		d      time.Duration
		bucket int
	}{
		{"negative", -time.Second, 0},
		{"nothing", 0, 0},
		{"below the first bound", Bound(0) - 1, 0},
		{"at the first bound", Bound(0), 1},
		{"below the second bound", Bound(1) - 1, 1},
		{"below the last bound", Bound(Buckets-1) - 1, Buckets - 1},
		{"at the last bound", Bound(Buckets - 1), Buckets},
		{"a day", 24 * time.Hour, Buckets},
	} {
		var h Histogram
		h.Observe(tt.d)
		if h.Counts[tt.bucket] != 1 || h.Count() != 1 {
			t.Errorf("%s: got %v, want one in bucket %d", tt.name, h.Counts, tt.bucket)
		}
		if want := max(tt.d, 0); h.Sum != want {
			t.Errorf("%s: got the sum %v, want %v", tt.name, h.Sum, want)
		}
	}
}

func TestAdd(t *testing.T) {
	var a, b Histogram
	a.Observe(time.Millisecond)
	b.Observe(time.Millisecond)
	b.Observe(time.Hour)
	a.Add(&b)
	if a.Count() != 3 || a.Sum != time.Hour+2*time.Millisecond {
		t.Errorf("got %d, %v, want 3 with the sum of all", a.Count(), a.Sum)
	}
}

func TestNowDoesNotGoBack(t *testing.T) {
	if a, b := Now(), Now(); b < a || a < 0 {
		t.Errorf("got %v and then %v", a, b)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	for b.Loop() {
		h.Observe(time.Millisecond)
	}
}
