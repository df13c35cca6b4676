package faults

import (
	"sync"
	"sync/atomic"
)

// inParallel calls f for each number below n, so many at once, and returns the first error. After that no more begin.
func inParallel(n, atOnce int, f func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	running.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// each calls f for each number below n, a few at once, and returns the first error. All are called, whatever goes wrong.
func each(n int, f func(i int) error) error {
	const atOnce = 32
	var failed atomic.Pointer[error]
	_ = inParallel(n, atOnce, func(i int) error { // none of these fails
		if err := f(i); err != nil {
			failed.CompareAndSwap(nil, &err)
		}
		return nil
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
