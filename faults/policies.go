package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nu7hatch/webrocket/codec"
)

// policies lets readers stall for a while and read on, at a hub for each policy.
func policies(ctx context.Context, t *trial) error {
	file := filepath.Join(t.dir, "rocket.json")
	names := []string{"disconnect", "drop-oldest", "conflate", "replay"}
	if err := os.WriteFile(file, policyHubs(names), 0o600); err != nil {
		return err
	}
	s, err := t.startServer(ctx, file, "-send-buffer", "4096", "-close-timeout", "60s")
	if err != nil {
		return err
	}
	defer s.stop()
	for _, name := range names {
		p := &policyTrial{t: t, s: s, name: name, hub: dialer{addr: s.addr, path: "/" + name}}
		err := p.try(ctx)
		p.end()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// policyCap is what may wait for each reader.
const policyCap = 64 << 10

// policyHubs is a configuration with a hub for each policy. That of replay keeps the events of all channels of a
// stream but the last.
func policyHubs(names []string) []byte {
	var file struct{ Hubs []policyHub }
	for _, name := range names {
		h := policyHub{Path: "/" + name, SlowReaders: name, MaxQueuedBytes: policyCap}
		if name == "replay" {
			h.keep(streamChannels-1, 100_000)
		}
		file.Hubs = append(file.Hubs, h)
	}
	b, _ := json.Marshal(file) // it always can be
	return b
}

// policyHub is a hub in a configuration.
type policyHub struct {
	Path, SlowReaders string
	MaxQueuedBytes    int
	Rules             []keeping `json:",omitempty"`
}

// keeping is a rule for a channel that keeps events.
type keeping struct {
	Match   string
	History struct {
		Size, Bytes int
		TTL         string
	}
}

// keep makes the first n channels of a stream keep so many events.
func (h *policyHub) keep(n, events int) {
	for i := range n {
		k := keeping{Match: streamChannel(i)}
		k.History.Size, k.History.Bytes, k.History.TTL = events, 64<<20, "1h"
		h.Rules = append(h.Rules, k)
	}
}

// policyTrial is a stream at one hub, with readers that read it at once, and readers that stall.
type policyTrial struct {
	t    *trial
	s    *server
	name string // of the policy
	hub  dialer

	publisher   *client
	quick, slow []*listener
	before      metrics
	published   int
	mostQueued  int // bytes that waited for one connection
	stale       int // times that a slow one was through, and lacked the newest event of a name
}

func (p *policyTrial) end() {
	for _, l := range append(p.quick, p.slow...) {
		l.abort()
	}
	if p.publisher != nil {
		p.publisher.abort()
	}
}

func (p *policyTrial) try(ctx context.Context) error {
	if err := p.join(ctx); err != nil {
		return err
	}
	var err error
	if p.before, err = p.s.metrics(); err != nil {
		return err
	}
	if p.name == "disconnect" {
		return p.tryDisconnect()
	}
	for range scaled(p.t, 4, 2) {
		if err := p.tryRound(); err != nil {
			return err
		}
	}
	return p.judge()
}

func (p *policyTrial) join(ctx context.Context) error {
	readers := scaled(p.t, 20, 5)
	return p.joinSome(ctx, readers, readers)
}

func (p *policyTrial) joinSome(ctx context.Context, quicks, slows int) error {
	stalling := p.hub
	stalling.buffer = 4 << 10
	for range quicks {
		quick, err := p.hub.listen(ctx)
		if err != nil {
			return err
		}
		p.quick = append(p.quick, quick)
	}
	for range slows {
		slow, err := stalling.listen(ctx)
		if err != nil {
			return err
		}
		p.slow = append(p.slow, slow)
	}
	var err error
	p.publisher, err = pace{dialer: p.hub}.open(ctx)
	return err
}

// stallFor is how many events are published while the slow ones do not read: some ten times what may wait for them.
func (p *policyTrial) stallFor() int { return scaled(p.t, 800, 320) }

// publish publishes so many events more. The quick ones have to hear them at once: never does more wait for them than
// one batch, which is less than the cap, and has no two events of the same channel and name.
func (p *policyTrial) publish(events int) error {
	const batch = streamTopics
	for end := p.published + events; p.published < end; {
		next := min(p.published+batch, end)
		if err := p.publishTo(next); err != nil {
			return err
		}
		for _, l := range p.quick {
			if err := l.hear(next); err != nil {
				return fmt.Errorf("a quick reader: %w", err)
			}
		}
		if err := p.look(); err != nil {
			return err
		}
	}
	return nil
}

func (p *policyTrial) publishTo(end int) error {
	asked := end - p.published
	for ; p.published < end; p.published++ {
		if err := p.publisher.send(streamCommand(p.published)); err != nil {
			return err
		}
	}
	for range asked {
		reply, err := p.publisher.receive()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(reply, []byte(`{"ok":true`)) {
			return fmt.Errorf("a publish was answered with %s", reply)
		}
	}
	return nil
}

// look notes how much waits for the slowest.
func (p *policyTrial) look() error {
	resp, err := p.s.get("/api/connections/slowest?limit=1")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Connections []struct {
			QueuedBytes int `json:"queuedBytes"`
		} `json:"connections"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	for _, c := range answer.Connections {
		p.mostQueued = max(p.mostQueued, c.QueuedBytes)
	}
	return nil
}

// tryDisconnect lets the slow readers read on when they have been disconnected.
func (p *policyTrial) tryDisconnect() error {
	if err := p.publish(p.stallFor()); err != nil {
		return err
	}
	told := 0
	for _, l := range p.slow {
		var end *closed
		if err := l.hear(p.published); errors.As(err, &end) && end.code == codec.StatusTryAgainLater && end.reason != "" {
			told++
		}
	}
	grew, err := p.grown()
	if err != nil {
		return err
	}
	slow, closes := grew("rocket_slow_readers_total", "policy", "disconnect"), grew("rocket_disconnects_total", "code", "1013")
	p.check(told == len(p.slow) && slow == told && closes == told, "each slow reader is told 1013 and why, and counted once",
		"%d of %d are told, %d slow readers, %d disconnects", told, len(p.slow), slow, closes)
	most, gapless, sum := 0, 0, hearing{}
	for _, l := range p.slow {
		sum.add(&l.hearing)
		most = max(most, l.heard)
		if l.gapless() {
			gapless++
		}
	}
	p.check(gapless == len(p.slow) && most < p.published, "what they hear before is whole, in order and gapless",
		"%d of %d hear it so, up to %d events of %d", gapless, len(p.slow), most, p.published)
	p.checkOthers()
	return nil
}

// tryRound lets the slow ones stall, and read on while more is published, until they have caught up.
func (p *policyTrial) tryRound() error {
	if err := p.publish(p.stallFor()); err != nil {
		return err
	}
	const more = 200
	end := p.published + more
	failed := make([]error, len(p.slow))
	var reading sync.WaitGroup
	for i, l := range p.slow {
		reading.Go(func() { failed[i] = l.hear(end) })
	}
	err := p.publish(more)
	if err != nil {
		p.end() // nobody waits for the rest
	}
	reading.Wait()
	if err := errors.Join(err, errors.Join(failed...)); err != nil {
		return err
	}
	for _, l := range p.slow {
		if !l.current(p.published) {
			p.stale++
		}
	}
	return nil
}

// judge compares what the slow ones have heard with what was published, and with what the server has counted.
func (p *policyTrial) judge() error {
	grew, err := p.grown()
	if err != nil {
		return err
	}
	var sum hearing
	right := 0
	for _, l := range p.slow {
		sum.add(&l.hearing)
		whole := l.inOrder() && l.heard+l.lost+l.skipped == p.published
		told := l.skipped == 0 && l.lost > 0
		thinned := l.lost == 0 && l.skipped > 0
		unkept := l.missing[streamChannels-1] == l.lost
		if whole && (p.name == "drop-oldest" && told || p.name == "conflate" && thinned || p.name == "replay" && told && unkept) {
			right++
		}
	}
	dropped := grew("rocket_dropped_events_total", "policy", p.name)
	times := grew("rocket_slow_readers_total", "policy", p.name)
	closes := grew("rocket_disconnects_total")
	switch p.name {
	case "replay":
		p.check(right == len(p.slow) && sum.lost == dropped && times >= len(p.slow),
			"each hears every event of the channels with a history, once, in order; of the other one it is told which are lost; the metric has as many",
			"%d of %d, %d events: %d heard, %d of the other channel lost in %d notices; %d by the metric", right, len(p.slow), p.published*len(p.slow), sum.heard, sum.lost, sum.notices, dropped)
	case "drop-oldest":
		p.check(right == len(p.slow) && sum.lost == dropped && times >= len(p.slow),
			"each hears whole events, once, in order; with those that it is told are lost they are all; the metric has as many",
			"%d of %d, %d events: %d heard, %d lost in %d notices; %d by the metric", right, len(p.slow), p.published*len(p.slow), sum.heard, sum.lost, sum.notices, dropped)
	default:
		p.check(right == len(p.slow) && sum.skipped == dropped && times >= len(p.slow),
			"each hears whole events, once, none old after new; with those that the metric says were left out they are all",
			"%d of %d, %d events: %d heard, %d not; %d by the metric", right, len(p.slow), p.published*len(p.slow), sum.heard, sum.skipped, dropped)
	}
	p.check(p.stale == 0, "a reader that has caught up has the newest event of each channel and name", "%d times not, of %d", p.stale, scaled(p.t, 4, 2)*len(p.slow))
	p.check(closes == 0, "no client is disconnected", "%d are", closes)
	p.checkOthers()
	return nil
}

// checkOthers is what must hold whatever the policy.
func (p *policyTrial) checkOthers() {
	right := 0
	for _, l := range p.quick {
		if l.gapless() && l.heard == p.published {
			right++
		}
	}
	p.check(right == len(p.quick), "the others hear everything, once, in order", "%d of %d hear %d events", right, len(p.quick), p.published)
	const most = policyCap + streamLongest + 100 // one event is on its way
	p.check(p.mostQueued <= most && p.mostQueued > policyCap/2, "what waits for one reader is at most the cap and an event",
		"at most %d bytes of %d", p.mostQueued, most)
}

func (p *policyTrial) check(holds bool, must, saw string, args ...any) {
	p.t.check(holds, p.name+": "+must, saw, args...)
}

// grown returns by how much metrics have grown since the slow ones joined.
func (p *policyTrial) grown() (func(name string, labels ...string) int, error) {
	after, err := p.s.metrics()
	if err != nil {
		return nil, err
	}
	return func(name string, labels ...string) int {
		return int(after.sum(name, labels...) - p.before.sum(name, labels...))
	}, nil
}
