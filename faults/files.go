package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// full is what a server counts when it has as many connections as it may have.
var full = counter{"rocket_connections_refused_total", "reason", "full"}

// files floods a server with twice as many connections as it may have open files: of clients that shake hands, and of
// some that never speak.
func files(ctx context.Context, t *trial) error {
	limit := scaled(t, 4000, 1000)
	deadline := scaled(t, 5*time.Second, 2*time.Second)
	s, err := t.startLimited(ctx, limit, "-handshake-timeout", deadline.String())
	if err != nil {
		return err
	}
	defer s.stop()
	d := dialer{addr: s.addr}
	a, err := t.gather(ctx, gathering{channel: "c", members: limit / 8, dialer: d})
	if err != nil {
		return err
	}
	defer a.end()
	if err := a.load.publish(ctx, pace{dialer: d, rate: 20, size: 200}); err != nil {
		return err
	}
	calm := a.listenFor(ctx, scaled(t, 5*time.Second, time.Second))
	before := s.files()
	f := flooding{t: t, s: s, dialer: d, size: 2 * limit, deadline: deadline}
	f.room = int(s.read("rocket_connections_limit") - s.read("rocket_connections"))

	if err := f.withClients(ctx, a, calm); err != nil {
		return err
	}
	if err := f.withMutes(ctx); err != nil {
		return err
	}
	err = t.until(ctx, patience, "files are closed", func() bool { return s.files() <= before })
	t.check(err == nil && !s.hasEnded(), "the server lives, and has as many open files as before", "%d before, %d after, limit %d", before, s.files(), limit)
	a.checkHeard(ctx, "connected clients")
	return nil
}

// flooding is many connections that come at the same time and stay.
type flooding struct {
	t        *trial
	s        *server
	dialer   dialer
	size     int           // of a flood
	room     int           // how many may be let in
	deadline time.Duration // of handshakes
	refused  int           // so far
}

// floodAtOnce is how many clients of a flood connect at the same time.
const floodAtOnce = 256

// withClients floods with clients that behave. Meanwhile the members of the audience, which were connected before, hear
// its events.
func (f *flooding) withClients(ctx context.Context, a *audience, calm latency) error {
	held := make([]*client, f.size)
	leave := func() {
		for _, c := range held {
			if c != nil {
				c.abort()
			}
		}
	}
	defer leave()
	seen := sights{}
	a.forget()
	due := now()
	if err := inParallel(f.size, floodAtOnce, func(i int) error {
		rest(ctx, due+time.Duration(i)*comeEvery-now())
		c, err := f.dialer.open(ctx)
		held[i] = c
		seen.note(err)
		return ctx.Err()
	}); err != nil {
		return err
	}
	rest(ctx, scaled(f.t, 2*time.Second, time.Second/4))
	with := summarize(a.forget())
	f.refused += seen.told + seen.turnedAway
	f.t.checkSpeed(unharmed(with, calm), "connected clients hear events with "+unharmedText, "without: %v; with: %v", calm, with)
	f.t.check(seen.served == f.room && seen.odd == 0,
		"of a flood as many are let in as there is room for; the others get 503 with Retry-After, or are closed", "room for %d: %v", f.room, &seen)
	f.t.checkCount(ctx, f.s, full, f.refused)
	leave()
	return f.checkNewcomers(ctx, "after the flood")
}

// withMutes floods with connections that send nothing, as fast as they can come.
func (f *flooding) withMutes(ctx context.Context) error {
	conns := make([]net.Conn, f.size)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	seen := sights{}
	if err := inParallel(f.size, floodAtOnce, func(i int) error {
		conn, err := f.dialer.dialTCP(ctx)
		if err != nil {
			seen.note(err)
			return ctx.Err()
		}
		conns[i] = conn
		reading.Go(func() { seen.note(f.outlast(conn)) })
		return nil
	}); err != nil {
		return err
	}
	_, err := f.dialer.open(ctx)
	refusal := new(sights)
	refusal.note(err)
	f.t.check(refusal.told+refusal.turnedAway == 1, "while no client speaks, a new one is refused at once", "%v", refusal)
	reading.Wait()
	f.refused += seen.turnedAway + refusal.told + refusal.turnedAway
	f.t.check(seen.late >= f.room && seen.late+seen.turnedAway == f.size,
		"of those that never speak as many stay as there is room for, until their deadline; the others are closed at once", "room for %d: %v", f.room, &seen)
	f.t.checkCount(ctx, f.s, full, f.refused)
	f.t.checkCount(ctx, f.s, timeouts, seen.late)
	return f.checkNewcomers(ctx, "after their deadline")
}

// outlast stays until the server ends the connection, and returns how.
func (f *flooding) outlast(conn net.Conn) error {
	l := laggard{conn: conn, in: bufio.NewReaderSize(conn, 512)}
	l.await(f.deadline, (*laggard).wantTimeout)
	conn.Close()
	if l.wrong == nil {
		return errLate
	}
	return l.wrong
}

var errLate = errors.New("the handshake came too late")

// checkNewcomers wants as many to be let in as there is room for.
func (f *flooding) checkNewcomers(ctx context.Context, when string) error {
	calm := f.s.read("rocket_connections_limit") - float64(f.room)
	if err := f.s.until(ctx, patience, "the flood has gone", func() bool { return f.s.read("rocket_connections") <= calm }); err != nil {
		return err
	}
	seen := sights{}
	newcomers := make([]*client, f.room)
	err := inParallel(f.room, 16, func(i int) error {
		c, err := f.dialer.open(ctx)
		newcomers[i] = c
		seen.note(err)
		return ctx.Err()
	})
	for _, c := range newcomers {
		if c != nil {
			c.abort()
		}
	}
	f.t.check(seen.served == f.room, "newcomers are let in "+when, "room for %d: %v", f.room, &seen)
	return errors.Join(err, f.s.until(ctx, patience, "they have left", func() bool { return f.s.read("rocket_connections") <= calm }))
}

// sights is how clients were received.
type sights struct {
	mu         sync.Mutex
	served     int
	told       int // 503 with Retry-After
	turnedAway int // closed without a word
	late       int // 408, at the deadline
	odd        int // anything else
	last       error
}

// note counts how one was received.
func (s *sights) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer *refused
	switch {
	case err == nil:
		s.served++
	case errors.Is(err, errLate):
		s.late++
	case errors.As(err, &answer) && answer.status == http.StatusServiceUnavailable && answer.retryAfter != "":
		s.told++
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		s.turnedAway++
	default:
		s.odd++
		s.last = err
	}
}

func (s *sights) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%d let in, %d told 503, %d closed", s.served, s.told, s.turnedAway)
	if s.late > 0 {
		text += fmt.Sprintf(", %d closed at the deadline", s.late)
	}
	if s.odd > 0 {
		text += fmt.Sprintf(", %d otherwise, such as %v", s.odd, s.last)
	}
	return text
}
