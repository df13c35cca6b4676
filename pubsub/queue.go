package pubsub

// A queue holds audiences, first in, first out. The zero value is empty.
type queue struct {
	items []*audience
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(a *audience) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, a)
}

func (q *queue) pop() *audience {
	a := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return a
}
