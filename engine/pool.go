package engine

// What a loop keeps for reuse. A burst leaves more; that is for the garbage
// collector.
const (
	poolMax       = 1024    // entries
	pooledMessage = 4 << 10 // bytes of an input's buffer
	pooledFrames  = 64      // entries of an outbox
)

func (l *Loop) getInput() *input {
	if n := len(l.inputs); n > 0 {
		in := l.inputs[n-1]
		l.inputs = l.inputs[:n-1]
		return in
	}
	return new(input)
}

func (l *Loop) putInput(in *input) {
	if len(l.inputs) == poolMax {
		return
	}
	buffer := in.message
	if cap(buffer) > pooledMessage {
		buffer = nil
	}
	*in = input{message: buffer[:0]}
	l.inputs = append(l.inputs, in)
}

func (l *Loop) getOutbox() *outbox {
	if n := len(l.outboxes); n > 0 {
		o := l.outboxes[n-1]
		l.outboxes = l.outboxes[:n-1]
		return o
	}
	return new(outbox)
}

func (l *Loop) putOutbox(o *outbox) {
	if len(l.outboxes) == poolMax || cap(o.frames) > pooledFrames {
		return
	}
	clear(o.frames)
	*o = outbox{frames: o.frames[:0]}
	l.outboxes = append(l.outboxes, o)
}

// bitset has one bit for each slot: 19,000 of them fit a core's first cache.
type bitset []uint64

func (s bitset) has(i uint32) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s bitset) set(i uint32, v bool) {
	if v {
		s[i/64] |= 1 << (i % 64)
	} else {
		s[i/64] &^= 1 << (i % 64)
	}
}

// grow makes room for n bits.
func (s *bitset) grow(n int) {
	for len(*s)*64 < n {
		*s = append(*s, 0)
	}
}
