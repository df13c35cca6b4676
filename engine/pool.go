package engine

// How much a loop keeps for reuse. What a burst leaves above that is freed.
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
