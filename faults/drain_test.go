package faults

import (
	"slices"
	"testing"
	"time"
)

func TestShares(t *testing.T) {
	const window = 10 * time.Second
	times := []time.Duration{-time.Millisecond, 0, time.Second, 4999 * time.Millisecond, 5 * time.Second, window, window + time.Second}
	if got, want := shares(times, window, 2), []int{4, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := shares(times, window, 10), []int{2, 1, 0, 0, 1, 1, 0, 0, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := perMille([]int{1, 3}), []int{250, 750}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
