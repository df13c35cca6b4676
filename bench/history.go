package bench

import (
	"context"
	"slices"
	"time"
)

// A historyDialect is a Dialect whose server can keep what is published, and replay it to those who were away.
type historyDialect interface {
	// ServeHistory is Serve of a Dialect, for a server that keeps so many events of each channel.
	ServeHistory(binary, dir string, port, loops, events int) ([]string, error)
	// AppendRecover is AppendSubscribe for a client that has had the channel's messages up to a position.
	AppendRecover(dst []byte, channel string, since Position) []byte
}

// historyTTL is longer than any run.
const historyTTL = "2h"

// Position is a place in a channel, as the server names it. Without an epoch it is none.
type Position struct {
	Epoch  string
	Offset uint64
}

// appendSubscribe appends what subscribes a connection to its channel, behind its position if it has one.
func (w *worker) appendSubscribe(c *conn) []byte {
	if d, ok := w.run.dialect.(historyDialect); ok && c.position.Epoch != "" && c.role == steady {
		return d.AppendRecover(nil, c.channel, c.position)
	}
	return w.run.dialect.AppendSubscribe(nil, c.channel)
}

// replied notes the position that a reply tells, and takes the events that it brings.
func (w *worker) replied(c *conn, m *Message) {
	if m.Position.Epoch != "" {
		c.position = m.Position
	}
	for i := range m.Replayed {
		e := &m.Replayed[i]
		e.Channel = []byte(c.channel)
		c.position.Offset = e.Position.Offset
		w.deliver(c, e)
	}
}

// recovery lets all subscribers go, publishes what they miss, and lets them come back.
func recovery(ctx context.Context, s *session) error {
	if err := s.connect(ctx, everyConn); err != nil {
		return err
	}
	for range s.opts.Rounds {
		if err := s.miss(ctx); err != nil {
			return err
		}
		if err := s.comeBack(ctx); err != nil {
			return err
		}
	}
	return s.roundOfAll(ctx)
}

// miss ends the connections of all subscribers, and publishes when the server knows of it.
func (s *session) miss(ctx context.Context) error {
	s.enter("away")
	s.run.call(func(w *worker) {
		for i := range w.conns {
			if c := &w.conns[i]; c.channel != "" {
				w.shut(c)
			}
		}
	})
	if err := s.run.rest(ctx, s.opts.Warmup); err != nil {
		return err
	}
	for range s.opts.Missed {
		s.run.publishOnce()
	}
	return s.run.settle(ctx)
}

// comeBack connects the subscribers again and waits until each has what it has missed.
func (s *session) comeBack(ctx context.Context) error {
	s.enter("come back")
	n := len(s.run.plan.conns) - s.run.ready()
	cpu, start := s.serverCPU(), time.Now()
	if err := s.run.open(ctx, everyConn); err != nil {
		return err
	}
	if err := s.run.settle(ctx); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	s.res.Returns = append(s.res.Returns, Return{
		Clients: n, Seconds: took, PerSecond: float64(n) / took, ServerMicros: micros(s.serverCPU()-cpu, int64(n)),
	})
	return nil
}

// compareToPlain gives results of entries with a history what they cost compared with the run of the same server
// without one that was made just before.
func compareToPlain(results []*Result) {
	for _, e := range slices.Concat(Standard, Clustered) {
		for _, c := range ByDialect(results) {
			with, without := c.labelled(e.ID), c.labelled(e.plain())
			for i := range min(len(with), len(without)) {
				if cost := without[i].cost(); cost > 0 && with[i].Good() && without[i].Good() {
					with[i].ToPlain = with[i].cost() / cost
				}
			}
		}
	}
}

// cost is the server's CPU time for what the scenario counts: a delivery, or a client that comes back. 0: unknown.
func (r *Result) cost() float64 {
	if r.Load != nil {
		return r.Load.ServerMicros
	}
	return r.perReturn()
}

// perReturn is the server's CPU time for a client that comes back, in microseconds; 0: unknown.
func (r *Result) perReturn() float64 {
	var all []float64
	for _, b := range r.Returns {
		all = append(all, b.ServerMicros)
	}
	return median(all)
}
