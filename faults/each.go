package faults

import "sync"

// each calls f for 0 … n-1, a few at the same time, and returns the first error.
func each(n int, f func(i int) error) error {
	const atOnce = 32
	places := make(chan int)
	var working sync.WaitGroup
	var once sync.Once
	var first error
	for range min(n, atOnce) {
		working.Go(func() {
			for i := range places {
				if err := f(i); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	for i := range n {
		places <- i
	}
	close(places)
	working.Wait()
	return first
}
