package faults

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// tick is how exact a server's deadlines are (engine/deadline.go).
const tick = 250 * time.Millisecond

// halfopen lets clients begin handshakes and messages that they do not end, beside clients that behave.
func halfopen(ctx context.Context, t *trial) error {
	deadline := scaled(t, 15*time.Second, 2*time.Second)
	overTLS := freeAddr()
	_, portTLS, _ := net.SplitHostPort(overTLS)
	s, a, end, err := t.serve(ctx, gathering{channel: "c", members: scaled(t, 500, 100)}, pace{rate: 20, size: 200},
		"-handshake-timeout", deadline.String(), "-message-timeout", deadline.String(), "-tls-self-signed", "-tls-port", portTLS)
	if err != nil {
		return err
	}
	defer end()
	d := dialer{addr: s.addr}
	k := knock(ctx, d, 100)
	defer k.stop()
	rest(ctx, time.Second)
	k.forget()
	routines := s.highest(ctx, "go_goroutines")
	calm := a.listenFor(ctx, scaled(t, 10*time.Second, time.Second))
	calmKnocks, calmRoutines := k.forget(), routines()

	a.forget()
	routines = s.highest(ctx, "go_goroutines")
	if err := t.leaveHalf(ctx, s, deadline, halves(d, overTLS, scaled(t, 1, 20))); err != nil {
		return err
	}
	most := routines()
	with, withKnocks := summarize(a.forget()), k.forget()
	t.checkSpeed(unharmed(with, calm), "others hear events with "+unharmedText, "without: %v; with: %v", calm, with)
	t.checkSpeed(unharmed(withKnocks, calmKnocks), "others connect with "+unharmedText, "without: %v; with: %v", calmKnocks, withKnocks)
	t.check(calmRoutines > 0 && most > 0 && most <= calmRoutines+2, "the server has at most 2 goroutines more than without",
		"without: %.0f; with: at most %.0f", calmRoutines, most)
	k.stop()
	t.check(k.failed == 0 && withKnocks.count > 0, "all other clients that connect are let in", "%d of %d were not; the last error is %s",
		k.failed, calmKnocks.count+withKnocks.count, said(k.last, "none"))
	a.checkHeard(ctx, "the others")
	return nil
}

// A half is something that clients begin and do not end.
type half struct {
	name    string
	count   int
	begin   func(ctx context.Context, l *laggard) error
	drip    string                 // what they send after that, a byte a second
	right   func(l *laggard) error // reads to the end of the connection; nil if that is as it must be
	counted counter                // by the server
}

// What a server counts.
var (
	timeouts   = counter{"rocket_connections_refused_total", "reason", "timeout"}
	unfinished = counter{"rocket_disconnects_total", "code", "4408"}
)

// laggard is a client that does not come to an end.
type laggard struct {
	conn   net.Conn
	in     *bufio.Reader
	began  time.Duration // when what it does not end began, or before
	lasted time.Duration // from then until its connection ended
	wrong  error         // how that was wrong
}

// halves are all that may be half done.
func halves(d dialer, overTLS string, part int) []half {
	return []half{
		{"handshakes at 1 byte/s", 10_000 / part, d.beginNothing, d.request(), (*laggard).wantTimeout, timeouts},
		{"half ClientHellos", 1000 / part, dialer{addr: overTLS}.beginTLS, "", (*laggard).wantEnd, timeouts},
		{"half messages", 2000 / part, d.beginMessage, "", (*laggard).wantClose, unfinished},
	}
}

// beginNothing connects.
func (d dialer) beginNothing(ctx context.Context, l *laggard) error {
	l.began = now()
	conn, err := d.dialTCP(ctx)
	if err != nil {
		return err
	}
	l.conn, l.in = conn, bufio.NewReaderSize(conn, 512)
	return nil
}

// beginTLS connects and sends half a ClientHello (RFC 8446 §4.1.2).
func (d dialer) beginTLS(ctx context.Context, l *laggard) error {
	if err := d.beginNothing(ctx, l); err != nil {
		return err
	}
	hello := clientHello()
	_, err := l.conn.Write(hello[:len(hello)/2])
	return err
}

// beginMessage opens a connection and sends half a message.
func (d dialer) beginMessage(ctx context.Context, l *laggard) error {
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	l.conn, l.in, l.began = c.conn, c.in, now()
	frame := codec.AppendMaskedFrame(nil, codec.OpText, []byte(subscribe("c")), mask)
	_, err = l.conn.Write(frame[:len(frame)/2])
	return err
}

// clientHello is the first record of a TLS client.
func clientHello() []byte {
	near, far := net.Pipe()
	go func() {
		_ = tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake() // there is no server that answers
	}()
	b := make([]byte, 16<<10)
	n, _ := far.Read(b) // a pipe without a deadline does not fail
	far.Close()
	near.Close()
	return b[:n]
}

// wantTimeout wants a handshake to be answered with 408 (RFC 9110 §15.5.9).
func (l *laggard) wantTimeout() error {
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusRequestTimeout {
		return &refused{status: resp.StatusCode}
	}
	return l.wantEnd()
}

// wantEnd wants the end of the connection, without another byte.
func (l *laggard) wantEnd() error {
	if b, err := l.in.ReadByte(); err == nil {
		return fmt.Errorf("a byte %x", b)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// wantClose wants a Close frame that says that a message did not end.
func (l *laggard) wantClose() error {
	_, err := (&client{conn: l.conn, in: l.in}).receive()
	var end *closed
	if errors.As(err, &end) && end.code == 4408 {
		return nil
	}
	return err
}

// comeEvery is how soon after the last one the next one comes: it is not a storm that is tried here.
const comeEvery = 500 * time.Microsecond

// leaveHalf lets everybody begin, and waits until the server has ended them all.
func (t *trial) leaveHalf(ctx context.Context, s *server, deadline time.Duration, all []half) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading, dripping sync.WaitGroup
	defer reading.Wait()
	defer dripping.Wait()
	defer cancel()
	crowds := make([][]laggard, len(all))
	due := now()
	for i, h := range all {
		crowds[i] = make([]laggard, h.count)
		defer leave(crowds[i])
		if err := inParallel(h.count, 16, func(j int) error {
			rest(ctx, due+time.Duration(j)*comeEvery-now())
			l := &crowds[i][j]
			if err := h.begin(ctx, l); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			reading.Go(func() { l.await(deadline, h.right) })
			return nil
		}); err != nil {
			return err
		}
		due += time.Duration(h.count) * comeEvery
		if h.drip != "" {
			dripping.Go(func() { drip(ctx, crowds[i], h.drip) })
		}
	}
	t.notef("all have begun")
	reading.Wait()
	for i, h := range all {
		t.checkHalf(h, crowds[i], deadline)
	}
	t.checkCounts(ctx, s, all)
	return ctx.Err()
}

// leave ends the connections of a crowd.
func leave(crowd []laggard) {
	for i := range crowd {
		if conn := crowd[i].conn; conn != nil {
			conn.Close()
		}
	}
}

// await reads until the server ends the connection.
func (l *laggard) await(deadline time.Duration, right func(*laggard) error) {
	_ = l.conn.SetReadDeadline(time.Now().Add(deadline + patience)) // reading fails, too
	l.wrong = right(l)
	l.lasted = now() - l.began
}

// dripSteps is into how many groups a crowd is divided that send at different times of a second.
const dripSteps = 200

// drip lets each of a crowd send a byte of text a second.
func drip(ctx context.Context, crowd []laggard, text string) {
	due := now()
	for n := range dripSteps * len(text) {
		rest(ctx, due-now())
		if ctx.Err() != nil {
			return
		}
		for i := n % dripSteps; i < len(crowd); i += dripSteps {
			_, _ = crowd[i].conn.Write([]byte{text[n/dripSteps]}) // it fails when the server has ended it
		}
		due += time.Second / dripSteps
	}
}

// checkHalf leaves findings on how a crowd was ended. What a server sees is up to a tick old, so it may be a tick early.
func (t *trial) checkHalf(h half, crowd []laggard, deadline time.Duration) {
	wrong, early := 0, 0
	var last error
	lasted := make([]time.Duration, len(crowd))
	for i := range crowd {
		l := &crowd[i]
		lasted[i] = l.lasted
		if l.wrong != nil {
			wrong++
			last = l.wrong
		}
		if l.lasted < deadline-tick {
			early++
		}
	}
	shortest, longest := slices.Min(lasted), slices.Max(lasted)
	saw := fmt.Sprintf("%d, after %.2f to %.2f s", len(crowd), shortest.Seconds(), longest.Seconds())
	if wrong > 0 {
		saw += fmt.Sprintf("; %d otherwise, such as %v", wrong, last)
	}
	t.check(wrong == 0 && early == 0, fmt.Sprintf("%s: all are ended, not before their deadline (%v, exact to %v)", h.name, deadline, tick), "%s", saw)
	t.checkSpeed(longest < deadline+tick+time.Second, h.name+": all are ended within a second after it", "%s", saw)
}

// checkCounts compares what the server has counted with how many were left half.
func (t *trial) checkCounts(ctx context.Context, s *server, all []half) {
	want := map[counter]int{}
	for _, h := range all {
		want[h.counted] += h.count
	}
	for c, n := range want {
		t.checkCount(ctx, s, c, n)
	}
}
