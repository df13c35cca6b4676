package pubsub

import (
	"math/rand/v2"
	"testing"
)

func TestQueueAgainstSlice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q queue[audience]
	var model []*audience
	for step := range 10_000 {
		// Grows for a while, then shrinks for a while.
		if len(model) == 0 || r.IntN(10) < 4+3*(step/1000%2) {
			a := new(audience)
			q.push(a)
			model = append(model, a)
		} else {
			if got := q.pop(); got != model[0] {
				t.Fatalf("step %d: pop gave another than the first", step)
			}
			model = model[1:]
		}
		if q.len() != len(model) {
			t.Fatalf("step %d: len: got %d, want %d", step, q.len(), len(model))
		}
	}
	for len(model) > 0 {
		if q.pop() != model[0] {
			t.Fatal("pop gave another than the first")
		}
		model = model[1:]
	}
	for i, a := range q.items[:cap(q.items)] {
		if a != nil {
			t.Fatalf("entry %d of the empty queue still holds an audience", i)
		}
	}
}
