package faults

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestInParallelCallsEach(t *testing.T) {
	const n = 100
	var called [n]atomic.Int32
	if err := inParallel(n, 7, func(i int) error { called[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range called {
		if got := called[i].Load(); got != 1 {
			t.Errorf("%d: got %d calls, want 1", i, got)
		}
	}
}

func TestInParallelEndsWithAnError(t *testing.T) {
	want := errors.New("the third")
	var mu sync.Mutex
	most := 0
	err := inParallel(1000, 1, func(i int) error {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, i)
		if i == 2 {
			return want
		}
		return nil
	})
	if !errors.Is(err, want) || most != 2 {
		t.Errorf("got %v after %d, want %v after 2", err, most, want)
	}
}
