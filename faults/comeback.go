package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// keeping writes a configuration whose only hub has the rules, and returns its file.
func (t *trial) keeping(rules string) (file string, err error) {
	file = filepath.Join(t.dir, "rocket.json")
	return file, os.WriteFile(file, fmt.Appendf(nil, `{"Hubs": [{"Path": "/", "Rules": [%s]}]}`, rules), 0o600)
}

// keepsMany is a rule under which nothing of a short absence is lost.
const keepsMany = `{"Match": "**", "History": {"Size": 1000, "TTL": "1m"}}`

// comeback kills the server again and again while followers leave and come back.
func comeback(ctx context.Context, t *trial) error {
	kills, members := scaled(t, 10, 2), scaled(t, 1000, 100)
	file, err := t.keeping(keepsMany)
	if err != nil {
		return err
	}
	s, err := t.startServer(ctx, file)
	if err != nil {
		return err
	}
	defer func() { s.stop() }()
	d := dialer{addr: s.addr}
	l := &load{t: t, channel: "c"}
	if err := l.publish(ctx, pace{dialer: d, rate: 50, size: 100, returns: true}); err != nil {
		return err
	}
	defer l.stop()
	g := follow(ctx, d, "c", members, 4*time.Second)
	defer g.end()
	for i := range kills {
		if err := t.killOnce(ctx, s, l, g); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
	}
	all, err := g.settle(ctx, t, l)
	if err != nil {
		return err
	}
	want := int64(kills * members)
	t.check(all.told["epoch"] == want && len(all.told) == 1, "after each kill each client that comes back is told that its position is of another epoch",
		"%d kills, %d clients, told: %v", kills, members, all.told)
	t.check(all.recovered > 0 && all.joined == all.recovered+want+int64(members), "each that only lost its connection recovers, and no other",
		"%d of %d returns recovered", all.recovered, all.joined-int64(members))
	t.checkFollowed(all, "they")
	return nil
}

// killOnce kills the server, starts it again, and waits until all have been there at the same time.
func (t *trial) killOnce(ctx context.Context, s *server, l *load, g *following) error {
	rest(ctx, scaled(t, 2*time.Second, time.Second))
	// All have a position in this epoch, and so each is told of the next one.
	g.calm.Store(true)
	mark := l.sent.Load()
	if err := t.until(ctx, patience, "all followers are there", func() bool { return g.above(mark) }); err != nil {
		return err
	}
	g.calm.Store(false)
	failed := l.failed.Load()
	if err := s.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.ended
	if err := t.until(ctx, patience, "the publisher knows", func() bool { return l.failed.Load() > failed }); err != nil {
		return err
	}
	return s.start(ctx)
}
