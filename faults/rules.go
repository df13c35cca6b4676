package faults

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// ruleSets are what the rules are in turn: histories that are long, short, gone, and those of another rule.
var ruleSets = []string{
	keepsMany,
	`{"Match": "**", "History": {"Size": 5, "TTL": "1m"}}`,
	``,
	`{"Match": "c", "History": {"Size": 1000, "TTL": "1m"}, "Rewind": 3}, ` + keepsMany,
	`{"Match": "c", "Publish": "grant"}, ` + keepsMany,
}

// rules changes the rules of a hub while followers leave and come back, and others stay.
func rules(ctx context.Context, t *trial) error {
	file, err := t.keeping(ruleSets[0])
	if err != nil {
		return err
	}
	members := scaled(t, 500, 100)
	s, staying, end, err := t.serve(ctx, gathering{channel: "c", members: members}, pace{rate: 50, size: 100}, file)
	if err != nil {
		return err
	}
	defer end()
	g := follow(ctx, dialer{addr: s.addr}, "c", members, 3*time.Second)
	defer g.end()
	window := scaled(t, 3*time.Second, time.Second)
	rest(ctx, window/2)
	calm := staying.listenFor(ctx, window)
	staying.forget()
	times := scaled(t, 40, 10)
	for i := range times {
		if _, err := t.keeping(ruleSets[(i+1)%len(ruleSets)]); err != nil {
			return err
		}
		before := strings.Count(s.log.String(), `"msg":"reloaded`)
		if err := s.signal(syscall.SIGHUP); err != nil {
			return err
		}
		err := t.until(ctx, patience, "the rules are in force", func() bool { return strings.Count(s.log.String(), `"msg":"reloaded`) > before })
		if err != nil {
			return fmt.Errorf("reload %d: %w", i+1, err)
		}
		rest(ctx, time.Second/2)
	}
	with := summarize(staying.forget())
	all, err := g.settle(ctx, t, staying.load)
	if err != nil {
		return err
	}
	t.check(all.recovered > 0 && all.told["no_history"] > 0 && all.told["expired"] > 0,
		"who comes back recovers where the rules of that moment let it, or is told why not",
		"%d reloads, %d returns: %d recovered, told: %v, %d notices of lost events",
		times, all.joined-int64(members), all.recovered, all.told, all.notices)
	t.checkFollowed(all, "those that come back")
	staying.checkHeard(ctx, "those that stay")
	t.checkSpeed(unharmed(with, calm), "they have "+unharmedText, "without: %v; with: %v", calm, with)
	return nil
}
