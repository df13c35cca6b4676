//go:build race

package engine

import (
	"fmt"
	"runtime"
	"sync/atomic"
)

// An owner knows which goroutine runs a loop. The race detector by itself
// misses most calls from other goroutines: Send wakes the loop, and what wakes
// it also orders the two.
type owner struct {
	goroutine atomic.Uint64 // 0 before the loop has begun

	taken  atomic.Bool // buffer is in use
	buffer [64]byte    // so that the check does not allocate
}

// begin notes that the calling goroutine runs the loop, unless one does
// already.
func (o *owner) begin() {
	if o.goroutine.Load() == 0 {
		o.takeOver()
	}
}

// takeOver notes that the calling goroutine runs the loop from now on.
func (o *owner) takeOver() { o.goroutine.Store(o.caller()) }

// own panics unless the calling goroutine runs the loop.
func (o *owner) own(method string) {
	if runs := o.goroutine.Load(); runs != 0 && runs != o.caller() {
		panic(fmt.Sprintf("engine: %s was called from a goroutine that is not the event loop's; use Loop.Post", method))
	}
}

// caller returns the number of the calling goroutine.
func (o *owner) caller() uint64 {
	if !o.taken.CompareAndSwap(false, true) {
		return goroutine(make([]byte, len(o.buffer)))
	}
	defer o.taken.Store(false)
	return goroutine(o.buffer[:])
}

// goroutine returns the number of the calling goroutine, from the first line of
// its stack: "goroutine 7 [running]:".
func goroutine(buffer []byte) (n uint64) {
	for _, c := range buffer[len("goroutine "):runtime.Stack(buffer, false)] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return n
}
