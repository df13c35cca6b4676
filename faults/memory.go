package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Of the memory limit, what waits for the readers that stall takes nine tenths: less than their caps, so no client is
// disconnected.
const (
	memoryLimit   = 128 << 20
	memoryMargin  = 16 << 20 // of what is resident above it: the program itself, and what was given back only just now
	memoryEvent   = 64_000   // bytes of data
	memoryEach    = 15       // events for each of them, nearly 1 MiB
	memoryStalled = 120
)

// memory fills the queues of readers that stall until memory is short.
func memory(ctx context.Context, t *trial) error {
	s, a, end, err := t.serve(ctx, gathering{channel: "c", members: scaled(t, 1000, 200)}, pace{rate: 20, size: 200},
		"-memory-limit", fmt.Sprint(memoryLimit), "-send-buffer", "4096")
	if err != nil {
		return err
	}
	defer end()
	d := dialer{addr: s.addr}
	window := scaled(t, 5*time.Second, time.Second)
	rest(ctx, window/4)
	calm := a.listenFor(ctx, window)
	watch := s.watch(ctx)
	crowd, err := t.stall(ctx, d, memoryStalled, memoryChannel)
	if err != nil {
		return err
	}
	defer crowd.end()
	if err := t.fillQueues(ctx, s, d); err != nil {
		return err
	}
	short := a.listenFor(ctx, window)
	t.checkSpeed(unharmed(short, calm), "clients that are there have "+unharmedText, "before: %v; meanwhile: %v", calm, short)
	if err := t.refuseNewcomers(ctx, s, d); err != nil {
		return err
	}
	a.checkHeard(ctx, "clients that are there")
	peak := watch()
	t.check(peak.resident < memoryLimit+memoryMargin && peak.queued > memoryLimit/10*8, "resident memory stays below the limit and 16 MiB",
		"at most %.1f MiB of %.1f, with %.1f MiB waiting", mib(peak.resident), mib(memoryLimit+memoryMargin), mib(peak.queued))
	crowd.end()
	return t.welcomeNewcomers(ctx, s, d)
}

// welcomeNewcomers lets a client connect again and again until it is accepted. It does not connect often, and nothing
// else goes on: load could make the server look for memory that is not in use any more.
func (t *trial) welcomeNewcomers(ctx context.Context, s *server, d dialer) error {
	const limit = 5 * time.Second
	left := now()
	letIn := func() bool {
		rest(ctx, 250*time.Millisecond)
		return visit(ctx, d) == nil
	}
	if err := t.until(ctx, 3*time.Minute, "newcomers are let in again", letIn); err != nil {
		return err
	}
	again := now() - left
	t.check(again < limit && s.log.contains("memory is no longer short"),
		"newcomers are let in within 5 s of when those that stall have left, and the log says so", "after %s", millis(again))
	return nil
}

// memoryChannel is a channel for each reader that stalls: events that wait for several readers are in memory once.
func memoryChannel(place int) string { return fmt.Sprintf("stalled %d", place) }

// fillQueues publishes to the readers that stall, and waits until the server finds that memory is short.
func (t *trial) fillQueues(ctx context.Context, s *server, d dialer) error {
	publisher, err := pace{dialer: d}.open(ctx)
	if err != nil {
		return err
	}
	defer publisher.abort()
	fill := []byte(strings.Repeat("x", memoryEvent-stampLen))
	for n := range memoryEach * memoryStalled {
		if err := publisher.do(publishCommand(memoryChannel(n%memoryStalled), stamp{int64(n + 1), 0}, fill)); err != nil {
			return err
		}
	}
	return t.until(ctx, patience, "memory is short", func() bool {
		s.read("rocket_queue_bytes") // its garbage brings the next collection, which is when the server finds out
		return s.log.contains("memory is short; new connections are refused")
	})
}

// visit is a newcomer that leaves at once.
func visit(ctx context.Context, d dialer) error {
	c, err := d.open(ctx)
	if err == nil {
		c.abort()
	}
	return err
}

// refuseNewcomers lets clients connect while memory is short.
func (t *trial) refuseNewcomers(ctx context.Context, s *server, d dialer) error {
	const newcomers = 100
	before, err := s.metrics()
	if err != nil {
		return err
	}
	told := 0
	for range newcomers {
		var no *refused
		err := visit(ctx, d)
		if errors.As(err, &no) && no.status == http.StatusServiceUnavailable && no.retryAfter != "" {
			told++
		}
	}
	after, err := s.metrics()
	if err != nil {
		return err
	}
	const name = "rocket_connections_refused_total"
	counted := int(after.sum(name, "reason", "no_memory") - before.sum(name, "reason", "no_memory"))
	t.check(told == newcomers && counted == told, "newcomers get 503 with Retry-After, each counted; the log says why",
		"%d of %d do, %d are counted", told, newcomers, counted)
	thrown := after.sum("rocket_slow_readers_total")
	t.check(thrown == 0, "no connected client is disconnected", "%.0f are", thrown)
	return nil
}
