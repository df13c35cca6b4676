package hub

import (
	"container/heap"
	"time"
)

// expiries are the sessions of one loop for which something happens at some time: they
// end, or are told that their token will. The first of them is in front. A session
// without such a time is not among them. The zero value is empty.
type expiries struct {
	queue expiryQueue
	of    map[*Session]*expiry
}

// An expiry is the next time of a session.
type expiry struct {
	session *Session
	at      time.Duration
	index   int // in the queue
}

// add sets the time of a session, in place of an earlier one.
func (e *expiries) add(s *Session, at time.Duration) {
	e.remove(s)
	if e.of == nil {
		e.of = make(map[*Session]*expiry)
	}
	x := &expiry{session: s, at: at}
	e.of[s] = x
	heap.Push(&e.queue, x)
}

// remove leaves a session without a time.
func (e *expiries) remove(s *Session) {
	if x := e.of[s]; x != nil {
		delete(e.of, s)
		heap.Remove(&e.queue, x.index)
	}
}

// at returns the time of a session, never if it has none.
func (e *expiries) at(s *Session) time.Duration {
	if x := e.of[s]; x != nil {
		return x.at
	}
	return never
}

// next removes and returns a session whose time has come, nil if there is none.
func (e *expiries) next(now time.Duration) *Session {
	if len(e.queue) == 0 || e.queue[0].at > now {
		return nil
	}
	s := e.queue[0].session
	e.remove(s)
	return s
}

// expiryQueue is a heap.Interface by time.
type expiryQueue []*expiry

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].at < q[j].at }

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *expiryQueue) Push(x any) {
	e := x.(*expiry)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
