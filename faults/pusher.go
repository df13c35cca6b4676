package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// pusherApps does bad things to an application for Pusher clients.
func pusherApps(ctx context.Context, t *trial) error {
	// Webhooks take a minute, in which little happens.
	hooks, failed := t.aside(), make(chan error, 1)
	go func() { failed <- webhooks(ctx, hooks) }()
	err := drainPages(ctx, t)
	if err == nil {
		err = presenceAfterKill(ctx, t)
	}
	if hookErr := <-failed; err == nil {
		err = hookErr
	}
	t.adopt(hooks)
	return err
}

// drainPages ends a server while another listens at its port: pages come to that one.
func drainPages(ctx context.Context, t *trial) error {
	window, n := scaled(t, 20*time.Second, 3*time.Second), scaled(t, 15_000, 1_500)
	old, err := t.serveApp(ctx, "", "-reuse-port", "-drain", window.String())
	if err != nil {
		return err
	}
	defer old.stop()
	all := make([]*page, n)
	for i := range all {
		all[i] = &page{dialer: appDialer(old), channel: "news"}
	}
	ps, err := openPages(ctx, all)
	if err != nil {
		return err
	}
	defer ps.end()
	next := old.successor()
	if err := next.start(ctx); err != nil {
		return err
	}
	defer next.stop()
	began := now()
	if err := old.signal(syscall.SIGTERM); err != nil {
		return err
	}
	status, err := old.waitEnd(ctx, window+patience)
	if err != nil {
		return err
	}
	back := func() int { return ps.count(func(p *page) bool { return p.inside.Load() }) }
	err = t.until(ctx, patience, "all pages are back", func() bool { return back() == n })
	there := next.read("rocket_app_connections")
	t.check(err == nil && status == 0 && there == float64(n), "no page is left out: each that is closed comes to the new server",
		"%d of %d are subscribed, %.0f connections there; the old one ended with status %d; %s", back(), n, there, status, said(err, "no error"))
	codes := ps.codes()
	t.check(codes[4200] > 0 && codes[4200]+codes[4100] >= n, "pages are closed with 4200, which brings them back at once, and the last ones with 4100: a second later",
		"%v", codes)
	var times []time.Duration
	for _, p := range all {
		times = append(times, time.Duration(p.arrived.Load())-began)
	}
	tenths, halves := shares(times, window, 10), shares(times, window, 2)
	t.checkSpeed(slices.Max(tenths) <= 2*n/10, "pages that wait 0 or 1 s do not come at once: none of ten parts of the window has more than twice its share",
		"shares of a thousand: %v", perMille(tenths))
	t.check(halves[0] > 0 && halves[1] > 0, "they come in both halves of the window", "%d and %d", halves[0], halves[1])
	if _, err := next.ask("POST", "events", `{"name":"e","channel":"news","data":"x"}`); err != nil {
		return err
	}
	heard := func() int { return ps.count(func(p *page) bool { return p.heard.Load() == 1 }) }
	err = t.until(ctx, patience, "all hear an event", func() bool { return heard() == n })
	t.check(err == nil, "an event then reaches all, once", "%d of %d", heard(), n)
	return nil
}

// presenceAfterKill kills a server whose presence channel has many members, some of whom leave before it is back.
func presenceAfterKill(ctx context.Context, t *trial) error {
	n := scaled(t, 1000, 100)
	s, err := t.serveApp(ctx, fmt.Sprintf(`, "MaxMembers": %d`, n))
	if err != nil {
		return err
	}
	defer s.stop()
	const room = "presence-room"
	var all []*page
	for i := range n + n/10 { // some have two tabs
		all = append(all, &page{dialer: appDialer(s), channel: room, user: fmt.Sprintf("u%d", i%n)})
	}
	ps, err := openPages(ctx, all)
	if err != nil {
		return err
	}
	defer ps.end()
	settle := func(what string, members int, is func(p *page) bool) (list, agree, pages int, err error) {
		agrees := func(p *page) bool { return is(p) && p.inside.Load() && p.knows() == members }
		pages = ps.count(is)
		_ = t.until(ctx, patience, what, func() bool { return ps.count(agrees) == pages }) // the finding says it
		list, err = s.present(room)
		return list, ps.count(agrees), pages, err
	}
	everybody := func(*page) bool { return true }
	if _, _, _, err := settle("all know each other", n, everybody); err != nil {
		return err
	}
	if err := s.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.ended
	gone := map[*page]bool{}
	for i := n / 2; i < n; i++ { // they have one tab each
		gone[all[i]] = true
		ps.leave[i]()
	}
	left := n - len(gone)
	began := now()
	if err := s.start(ctx); err != nil {
		return err
	}
	stays := func(p *page) bool { return !gone[p] }
	list, agree, pages, err := settle("those that are left know each other", left, stays)
	if err != nil {
		return err
	}
	t.check(list == left && agree == pages, "kill -9, and half of the members leave before it is back: the HTTP API and each page have those that are left, and no other",
		"%d of %d on the list; %d of %d pages agree, after %s", list, left, agree, pages, millis(now()-began))
	// One of two tabs ends, and members with one tab leave.
	for i := range n / 20 {
		gone[all[n+i]] = true
		ps.leave[n+i]()
	}
	for i := n / 4; i < n/2; i++ {
		gone[all[i]] = true
		ps.leave[i]()
	}
	left = n / 4
	list, agree, pages, err = settle("those that are left then know each other", left, stays)
	if err != nil {
		return err
	}
	t.check(list == left && agree == pages, "then others leave, and tabs of those that stay: the same", "%d of %d on the list; %d of %d pages agree", list, left, agree, pages)
	return nil
}

// present returns how many members the HTTP API names.
func (s *server) present(channel string) (int, error) {
	text, err := s.ask("GET", "channels/"+channel+"/users", "")
	if err != nil {
		return 0, err
	}
	var list struct{ Users []struct{ ID string } }
	err = json.Unmarshal(text, &list)
	return len(list.Users), err
}

// webhooks has one endpoint that is well, one that is down, one that is slow, and one that answers 500.
func webhooks(ctx context.Context, t *trial) error {
	down, n := scaled(t, time.Minute, 5*time.Second), 100
	well, away, slow, broken := newReceiver(), newReceiver(), newReceiver(), newReceiver()
	slow.pause = scaled(t, 3*time.Second, time.Second)
	broken.fails.Store(true)
	list := ""
	for i, r := range []*receiver{well, away, slow, broken} {
		if i > 0 {
			list += ", "
		}
		list += fmt.Sprintf(`{"URL": "http://%s/hook", "Events": ["channel_occupied"], "Batch": "100ms"}`, r.addr)
	}
	s, err := t.serveApp(ctx, `, "Webhooks": [`+list+`]`)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, r := range []*receiver{well, slow, broken} {
		if err := r.start(); err != nil {
			return err
		}
		defer r.stop()
	}
	began := now()
	c, err := appDialer(s).open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	sent := make(map[string]time.Duration)
	for i := range n {
		rest(ctx, began+time.Duration(i)*down/time.Duration(n)-now())
		channel := fmt.Sprintf("c%d", i)
		sent[channel] = now()
		if err := c.send(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`); err != nil {
			return err
		}
	}
	rest(ctx, began+down-now())
	broken.fails.Store(false)
	if err := away.start(); err != nil {
		return err
	}
	defer away.stop()
	for _, one := range []struct {
		name string
		*receiver
	}{
		{"is well", well},
		{fmt.Sprintf("was down for %v", down), away},
		{fmt.Sprintf("takes %v for each answer", slow.pause), slow},
		{fmt.Sprintf("answered 500 for %v", down), broken},
	} {
		r := one.receiver
		err := t.until(ctx, 2*down+patience, "it has all", func() bool { return r.distinct() == n })
		t.check(err == nil && r.inOrder(n), "webhooks: an endpoint that "+one.name+" gets every event, in order",
			"%d of %d events in %d requests, %d of them again", r.distinct(), n, r.requests.Load(), r.again())
	}
	var took []time.Duration
	for channel, at := range sent {
		took = append(took, well.first(channel)-at)
	}
	slices.Sort(took)
	t.checkSpeed(took[n/2] < time.Second, "webhooks: the one that is well does not wait for the others: half of the events are there within a second",
		"%s", spread(took))
	err = s.until(ctx, patience, "all is counted", func() bool { return s.read("rocket_webhook_sent_events_total") == float64(4*n) })
	m, metricsErr := s.metrics()
	if metricsErr != nil {
		return metricsErr
	}
	sentEvents, lost, failures, queued := m.sum("rocket_webhook_sent_events_total"), m.sum("rocket_webhook_lost_events_total"),
		m.sum("rocket_webhook_failed_requests_total"), m.sum("rocket_webhook_queued_events")
	t.check(err == nil && lost == 0 && queued == 0 && failures > 0, "webhooks: the metrics have all of it, and none is lost",
		"%.0f of %d sent, %.0f lost, %.0f queued; %.0f requests failed", sentEvents, 4*n, lost, queued, failures)
	return nil
}
