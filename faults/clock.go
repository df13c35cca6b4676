package faults

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// clock stops the machine, as the server sees it, and sets its clock.
func clock(ctx context.Context, t *trial) error {
	if err := freeze(ctx, t); err != nil {
		return err
	}
	if !t.clock {
		t.find(NotRun, "the machine's clock jumps by an hour and back: no client is disconnected", "give -clock")
		return nil
	}
	return jump(ctx, t)
}

// ticking is a server that pings often, with clients.
type ticking struct {
	t          *trial
	s          *server
	a          *audience
	end        func()
	ping, pong time.Duration // after which it pings, and gives up
}

func (t *trial) startTicking(ctx context.Context, args ...string) (*ticking, error) {
	k := &ticking{t: t, ping: time.Second, pong: scaled(t, 3*time.Second, 1500*time.Millisecond)}
	args = append(args, "-ping-interval", k.ping.String(), "-pong-timeout", k.pong.String())
	var err error
	k.s, k.a, k.end, err = t.serve(ctx, gathering{channel: "c", members: scaled(t, 2000, 300)}, pace{rate: 10, size: 100}, args...)
	return k, err
}

// checkNobodyGone checks on both sides that no client was disconnected.
func (k *ticking) checkNobodyGone(when string) {
	m, err := k.s.metrics()
	ended, timeouts := k.a.tally(0).ended, m.sum("rocket_ping_timeouts_total")
	connections, wanted := m.sum("rocket_connections"), k.a.gathering.members+1
	k.t.check(err == nil && ended == 0 && timeouts == 0 && connections == float64(wanted) && k.a.load.failed.Load() == 0,
		when+": no client is disconnected", "%d connections ended, %v ping time-outs, %v of %d connected", ended, timeouts, connections, wanted)
}

// checkLog wants no warning.
func (k *ticking) checkLog(when string) {
	calm := k.s.log.isCalm()
	if !calm {
		k.t.notef("%s", k.s.log)
	}
	k.t.check(calm, when+": the log has no warnings", "warnings: %v", !calm)
}

func (k *ticking) checkHeard(ctx context.Context, when string) {
	tally := k.a.settle(ctx)
	k.t.check(tally.right(), when+": clients hear each event once, in order", "%d events heard, %d lost, %d doubled",
		tally.delivered, tally.lost, tally.doubled)
}

// freeze stops the process for longer than a client may be silent. All have been pinged before, and answer meanwhile.
func freeze(ctx context.Context, t *trial) error {
	k, err := t.startTicking(ctx)
	if err != nil {
		return err
	}
	defer k.end()
	k.a.mute()
	before, members := k.a.pings(), int64(k.a.gathering.members)
	if err := t.until(ctx, patience, "everybody has been pinged", func() bool { return k.a.pings()-before >= members }); err != nil {
		return err
	}
	stopped := k.ping + k.pong + time.Second/2
	waiting, err := k.stopFor(ctx, stopped)
	if err != nil {
		return err
	}
	if err := t.until(ctx, patience, "the server answers", k.s.isReady); err != nil {
		return err
	}
	rest(ctx, k.pong)
	when := fmt.Sprintf("stopped for %v", stopped)
	t.check(waiting >= int(members), when+": everybody's answer to a ping waits when the process goes on",
		"something waits in the sockets of %d connections", waiting)
	k.checkNobodyGone(when)
	k.checkHeard(ctx, when)
	k.checkLog(when)
	return nil
}

// stopFor stops the process while clients answer. It returns for how many of them something waits when it goes on.
func (k *ticking) stopFor(ctx context.Context, d time.Duration) (waiting int, err error) {
	if err := k.s.signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	if err := k.t.until(ctx, patience, "the process has stopped", k.s.isStopped); err != nil {
		return 0, err
	}
	k.a.unmute()
	found := map[int]bool{}
	for began := time.Now(); time.Since(began) < d && ctx.Err() == nil; rest(ctx, d/8) {
		all, err := readSockets()
		if err != nil {
			return 0, err
		}
		all.unread(k.s.port(), found)
	}
	return len(found), k.s.signal(syscall.SIGCONT)
}

// isStopped reports whether all threads of the process have obeyed SIGSTOP.
func (p *process) isStopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.pid()))
	for _, name := range threads {
		b, _ := os.ReadFile(name) // of a thread that has ended it has no state
		if threadState(string(b)) != "T" {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// threadState is the state in a text such as "4711 (a name) T 1 …".
func threadState(stat string) string {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// jump sets the machine's clock forwards and backwards, for some seconds, and back while the server drains.
func jump(ctx context.Context, t *trial) error {
	const window, drain = 1500 * time.Millisecond, time.Second
	k, err := t.startTicking(ctx, "-drain", drain.String())
	if err != nil {
		return err
	}
	defer k.end()
	rest(ctx, time.Second)
	calm := k.a.listenFor(ctx, window)
	w, err := takeWall()
	if err != nil {
		return err
	}
	defer w.restore()
	for _, hours := range []int{1, -1} {
		if err := w.set(time.Duration(hours) * time.Hour); err != nil {
			return err
		}
		before, began := k.a.pings(), now()
		with := k.a.listenFor(ctx, window)
		pings, passed := k.a.pings()-before, now()-began
		when := fmt.Sprintf("the clock is off by %+d h", hours)
		k.checkNobodyGone(when)
		most := int64(k.a.gathering.members) * int64(passed/k.ping+1)
		t.check(pings > 0 && pings <= most, when+": pings go on, and no client gets them more often than due", "%d in %.1f s, of at most %d", pings, passed.Seconds(), most)
		ready := k.s.says("/readyz")
		t.check(ready == http.StatusOK, when+": it is ready", "/readyz: %d", ready)
		t.checkSpeed(unharmed(with, calm), when+": clients have "+unharmedText, "without: %v; with: %v", calm, with)
	}
	k.checkHeard(ctx, "the clock has jumped")
	began := time.Now()
	if err := k.s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	rest(ctx, drain/3)
	w.restore()
	status, err := k.s.waitEnd(ctx, patience)
	if err != nil {
		return err
	}
	took, away := time.Since(began), k.a.tally(0).code[1001]
	t.check(status == 0 && took > drain/2 && took < drain+10*time.Second && away == int64(k.a.gathering.members),
		fmt.Sprintf("the clock jumps during a drain of %v: all clients are closed, in time", drain),
		"status %d after %.1f s, %d clients got 1001", status, took.Seconds(), away)
	k.checkLog("the clock has jumped")
	return nil
}
