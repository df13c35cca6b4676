package faults

import (
	"testing"
	"time"
)

func TestMillis(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{1234 * time.Microsecond, "1.2 ms"},
		{12340 * time.Microsecond, "12 ms"},
		{99900 * time.Microsecond, "100 ms"},
		{1234 * time.Millisecond, "1234 ms"},
	} {
		if got := millis(test.d); got != test.want {
			t.Errorf("%v: got %q, want %q", test.d, got, test.want)
		}
	}
}

// Nothing is harmed or unharmed by itself: without latencies on both sides there is no comparison.
func TestUnharmed(t *testing.T) {
	some := func(p99 time.Duration) latency { return latency{count: 100, p99: p99} }
	for _, test := range []struct {
		name          string
		with, without latency
		want          bool
	}{
		{"the same", some(time.Second), some(time.Second), true},
		{"10 ms more", some(11 * time.Millisecond), some(time.Millisecond), true},
		{"more than that", some(12 * time.Millisecond), some(time.Millisecond), false},
		{"twice as much", some(2 * time.Second), some(time.Second), true},
		{"more than twice as much", some(3 * time.Second), some(time.Second), false},
		{"nothing heard with the fault", latency{}, some(time.Second), false},
		{"nothing heard without it", some(time.Millisecond), latency{}, false},
	} {
		if got := unharmed(test.with, test.without); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
