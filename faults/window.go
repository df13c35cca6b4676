package faults

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Events are kept for keptFor, and up to a second more.
const (
	keptFor  = 2 * time.Second
	keptMore = time.Second
	keptMost = 50
)

// window lets followers stay away for just as long as events are kept, and for longer; and for just as many.
func window(ctx context.Context, t *trial) error {
	file, err := t.keeping(fmt.Sprintf(
		`{"Match": "time:*", "History": {"Size": 1000, "TTL": %q}}, {"Match": "size:*", "History": {"Size": %d, "TTL": "1h"}}`, keptFor, keptMost))
	if err != nil {
		return err
	}
	s, err := t.startServer(ctx, file)
	if err != nil {
		return err
	}
	defer s.stop()
	w := &windowed{t: t, d: dialer{addr: s.addr}}
	if w.publisher, err = (pace{dialer: w.d}).open(ctx); err != nil {
		return err
	}
	defer w.publisher.abort()
	rounds := scaled(t, 5, 1)
	var inTime, late, few, many followed
	for range rounds {
		for _, a := range []struct {
			met    *followed
			kind   string
			events int
			away   time.Duration
		}{
			{&inTime, "time", 1, keptFor - 200*time.Millisecond},
			{&late, "time", 1, keptFor + keptMore + 200*time.Millisecond},
			{&few, "size", keptMost, 0},
			{&many, "size", keptMost + 1, 0},
		} {
			if err := w.once(ctx, a.met, a.kind, a.events, a.away); err != nil {
				return err
			}
		}
	}
	away := w.clients()
	all := int64(rounds) * int64(away)
	t.check(inTime.recovered+w.tooLate.Load() == all && len(inTime.told) == 0, fmt.Sprintf("away for %v less than events are kept: recovered", 200*time.Millisecond),
		"%d of %d; the machine was too busy for %d", inTime.recovered, all, w.tooLate.Load())
	t.check(late.told["expired"] == all && late.recovered == 0, fmt.Sprintf("away for %v longer than events may be kept: told that it has expired", 200*time.Millisecond),
		"%d of %d", late.told["expired"], all)
	t.check(few.recovered == all && few.replayed == all*keptMost, "as many are missed as are kept: recovered, with all of them", "%d of %d, %d events", few.recovered, all, few.replayed)
	t.check(many.told["expired"] == all && many.recovered == 0, "one more is missed: told that it has expired, and nothing is replayed",
		"%d of %d, %d events", many.told["expired"], all, many.replayed)
	for _, met := range []*followed{&late, &few, &many} {
		inTime.add(met)
	}
	t.checkFollowed(&inTime, "all of them")
	return nil
}

// windowed is a server, and what was tried at it.
type windowed struct {
	t         *trial
	d         dialer
	publisher *client
	channels  int
	tooLate   atomic.Int64 // that subscribed later than they should, because the machine is busy
}

func (w *windowed) clients() int { return scaled(w.t, 200, 20) }

// once lets clients go away, publishes what they miss, and lets them come back after a while.
func (w *windowed) once(ctx context.Context, met *followed, kind string, events int, away time.Duration) error {
	w.channels++
	channel := fmt.Sprintf("%s:%d", kind, w.channels)
	all := make([]*follower, w.clients())
	for i := range all {
		all[i] = &follower{dialer: w.d, channel: channel}
		defer all[i].leave()
	}
	if err := each(len(all), func(i int) error { return all[i].come(ctx) }); err != nil {
		return err
	}
	number := int64(0)
	publish := func(n int) error {
		for range n {
			number++
			if err := w.publisher.do(publishCommand(channel, stamp{number, now()}, nil)); err != nil {
				return err
			}
		}
		return nil
	}
	hear := func(i int) error { return all[i].hear(number) }
	if err := publish(1); err != nil {
		return err
	}
	if err := each(len(all), hear); err != nil {
		return err
	}
	// They are connected again when what they miss is published: the time away is that of the subscription.
	again := func(i int) error {
		all[i].leave()
		return all[i].enter(ctx)
	}
	if err := each(len(all), again); err != nil {
		return err
	}
	began := now()
	if err := publish(events); err != nil {
		return err
	}
	rest(ctx, began+away-now())
	begin := func(i int) error {
		err := all[i].begin()
		if away < keptFor && len(all[i].told) > 0 && now()-began >= keptFor {
			all[i].told = nil // the machine is busy: this one was away for longer
			w.tooLate.Add(1)
		}
		return err
	}
	if err := each(len(all), begin); err != nil {
		return err
	}
	if err := publish(1); err != nil {
		return err
	}
	if err := each(len(all), hear); err != nil {
		return err
	}
	for _, f := range all {
		met.add(&f.followed)
	}
	return nil
}
