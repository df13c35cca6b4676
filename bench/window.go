package bench

import "math/bits"

// window follows one stream in a closed loop: how far have all receivers of one worker got it?
// The zero value has no receivers and is always where it is asked to be.
type window struct {
	left      []int32 // per number modulo its length: receivers that do not have it yet
	receivers int32
	done      uint32 // every receiver has 1..done
}

func newWindow(size int, receivers int32) window {
	w := window{left: make([]int32, 1<<bits.Len(uint(size))), receivers: receivers}
	for i := range w.left {
		w.left[i] = receivers
	}
	return w
}

// arrived takes one delivery of number seq and reports whether done moved.
func (w *window) arrived(seq uint32) bool {
	mask := uint32(len(w.left) - 1)
	if seq-w.done-1 > mask { // long written off, or never sent
		return false
	}
	at := &w.left[seq&mask]
	if *at--; *at > 0 || seq != w.done+1 {
		return false
	}
	for i := w.done + 1; w.left[i&mask] <= 0 && i-w.done <= mask+1; i++ {
		w.left[i&mask] = w.receivers
		w.done = i
	}
	return true
}

// writeOff takes everything up to number sent as done: what is not here by now will not come.
func (w *window) writeOff(sent uint32) {
	for i := range w.left {
		w.left[i] = w.receivers
	}
	w.done = max(w.done, sent)
}
