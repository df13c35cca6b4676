package cluster

import (
	"strconv"
	"testing"
)

// filled returns an outbox with n events of a size, each for another channel.
func filled(most, n, size int) *outbox {
	o := newOutbox(1)
	o.setMax(most)
	for i := range n {
		o.put(&record{hub: []byte("/"), channel: []byte(strconv.Itoa(i)), event: []byte("e"), data: make([]byte, size)})
	}
	return o
}

// No message is larger than NATS takes: neither a batch, nor what says what is gone.
func TestMessagesFit(t *testing.T) {
	const most = 4096
	o := filled(most, 100, 1000)
	for _, b := range o.take() {
		if len(b) > most {
			t.Errorf("a batch has %d bytes", len(b))
		}
	}
	o = filled(most, 20_000, 1000)
	o.take()
	if o.first == 1 {
		t.Fatal("nothing is gone")
	}
	for _, m := range o.answer(1, o.top()) {
		if len(m) > most {
			t.Errorf("an answer has %d bytes", len(m))
		}
	}
}

// An answer is no flood: who lacks much asks again.
func TestAnswerIsBounded(t *testing.T) {
	o := filled(1<<20, 70, 100_000)
	o.take()
	size := 0
	for _, m := range o.answer(1, o.top()) {
		size += len(m)
	}
	if size < answerMax || size > answerMax+100_100 {
		t.Errorf("got %d bytes", size)
	}
	if got := o.answer(o.top()+1, o.top()+9); len(got) != 0 {
		t.Errorf("got %d messages that have not been sent", len(got))
	}
}

// Publishers are slowed while much waits to be sent, and only then; also if some of it is gone
// before it is sent.
func TestBehind(t *testing.T) {
	for _, n := range []int{20, 200} {
		o := newOutbox(1)
		if o.behind() {
			t.Error("nothing waits")
		}
		o = filled(1<<20, n, 100_000)
		if !o.behind() {
			t.Errorf("%d events wait, and nobody is slowed", n)
		}
		if o.take(); o.behind() {
			t.Error("all has been sent")
		}
	}
}
