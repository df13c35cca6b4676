package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// orderlyWithin is how long publishes may go without an ok when a node ends in order: it gives away the logs that it leads.
const orderlyWithin = 2 * time.Second

// A stored is a cluster whose histories are stored in logs, with publishers that publish again
// what was not acknowledged, and listeners that come back with their positions at other nodes.
type stored struct {
	*union
	dirs    []string // of the nodes
	scribes []*scribe
	rovers  []*rover
	places  places
}

// Sizes of the case logs.
const (
	storedChannels = 8
	storedRovers   = 9 // those behind the first three leave and come back all the time
	smallDir       = 160 << 20
)

// ackWithin is how long publishes may go without an ok when the leader of a log is killed: NATS elects another one.
const ackWithin = 10 * time.Second

// storedLogs does to a cluster that stores histories what may happen to its nodes and to their directories.
func storedLogs(ctx context.Context, t *trial) error {
	s := &stored{union: &union{t: t}}
	file, err := t.keeping(`{"Match": "**", "History": {"Size": 20000, "TTL": "1m"}}`)
	if err != nil {
		return err
	}
	if s.machines, err = buildMachines(nodesCount); err != nil {
		return err
	}
	var listen []string
	for i, m := range s.machines {
		listen = append(listen, m.between+":9774")
		s.dirs = append(s.dirs, filepath.Join(t.dir, fmt.Sprintf("dir%d", i)))
	}
	small, unmount, err := t.smallDisk("small", smallDir, 0)
	if err != nil {
		return err
	}
	defer unmount()
	s.dirs[nodesCount-1] = filepath.Join(small, "dir")
	defer s.stop()
	err = s.start(ctx, func(i int) []string {
		return []string{
			file, "-cluster-listen", listen[i], "-cluster-routes", strings.Join(listen, ","), "-cluster-secret", "a secret for tests",
			"-cluster-dir", s.dirs[i], "-cluster-logs", "4", "-cluster-max-bytes", "8388608", "-log-level", "debug",
		}
	})
	if err != nil {
		return err
	}
	faults := []func(context.Context) error{
		s.calm, s.paused, s.oneApart, s.rolling, s.allKilled, s.diskFull, s.oneWiped, s.putBack, s.wiped, s.leaderKilled,
	}
	if t.short {
		faults = []func(context.Context) error{s.calm, s.leaderKilled, s.putBack}
	}
	return s.try(ctx, faults...)
}

// try lets everybody talk and listen while the faults happen, one after the other.
func (s *stored) try(ctx context.Context, faults ...func(context.Context) error) error {
	crowd, end := context.WithCancel(ctx)
	var talking sync.WaitGroup
	defer talking.Wait()
	defer end()
	for i := range storedChannels {
		s.scribes = append(s.scribes, &scribe{stored: s, channel: fmt.Sprintf("c%d", i), at: i % nodesCount})
	}
	for i := range storedRovers {
		s.rovers = append(s.rovers, &rover{stored: s, at: i % nodesCount, hops: i >= nodesCount, known: make(map[string]*position)})
	}
	for _, r := range s.rovers {
		talking.Go(func() { r.run(crowd) })
	}
	if err := s.t.until(ctx, patience, "listeners are there", func() bool { return all(s.rovers[:nodesCount], (*rover).listens) }); err != nil {
		return err
	}
	for _, w := range s.scribes {
		talking.Go(func() { w.run(crowd) })
	}
	if err := s.acknowledged(ctx); err != nil {
		return err
	}
	for _, fault := range faults {
		if err := fault(ctx); err != nil {
			return err
		}
	}
	s.t.checkSpeed(true, "from the end of a fault until each listener has heard, or been told of, all that was acknowledged before it", "%s", spread(s.whole))
	return nil
}

// acknowledged waits until each publisher has an ok for something that it has published since.
func (s *stored) acknowledged(ctx context.Context) error {
	var marks []int
	for _, w := range s.scribes {
		marks = append(marks, w.acknowledged())
	}
	return s.t.until(ctx, patience, "all publishers have an ok", func() bool {
		for i, w := range s.scribes {
			if w.acknowledged() < marks[i]+2 { // the first may have been on its way
				return false
			}
		}
		return true
	})
}

// calm is what is heard without a fault.
func (s *stored) calm(ctx context.Context) error {
	rest(ctx, scaled(s.t, 5*time.Second, 2*time.Second))
	return s.report(ctx, "without a fault", nobody)
}

// paused stops the process of the node that leads most logs for a while.
func (s *stored) paused(ctx context.Context) error {
	const length = 8 * time.Second
	i, led := s.leader()
	if err := s.nodes[i].signal(syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, length)
	if err := s.nodes[i].signal(syscall.SIGCONT); err != nil {
		return err
	}
	return s.report(ctx, fmt.Sprintf("a node that leads %s is stopped for %v", led, length), perhaps)
}

// oneApart cuts one node off from all others.
func (s *stored) oneApart(ctx context.Context) error {
	const length = 20 * time.Second
	i, led := s.leader()
	if err := s.cut(ctx, length, s.machines[i]); err != nil {
		return err
	}
	return s.report(ctx, fmt.Sprintf("a node that leads %s is cut off from the others for %v", led, length), perhaps)
}

// rolling ends and starts one node after the other, in order.
func (s *stored) rolling(ctx context.Context) error {
	if err := s.acknowledged(ctx); err != nil { // what was done before is over for all publishers
		return err
	}
	s.takeSilence()
	for i := range s.nodes {
		if err := s.restart(ctx, i, nil); err != nil {
			return err
		}
	}
	silence := s.takeSilence()
	s.t.checkSpeed(silence <= orderlyWithin, fmt.Sprintf("when nodes end in order, the leaders of logs among them, no publisher is without an ok for longer than %v", orderlyWithin),
		"%s", millis(silence))
	return s.report(ctx, "the nodes are drained and started again one after the other, with SIGTERM", perhaps)
}

// restart ends a node in order and starts it again. between is done meanwhile.
func (s *stored) restart(ctx context.Context, i int, between func() error) error {
	n := s.nodes[i]
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if status, err := n.waitEnd(ctx, patience); err != nil || status != 0 {
		return fmt.Errorf("a node ends with %d: %w", status, err)
	}
	if between != nil {
		if err := between(); err != nil {
			return err
		}
	}
	return n.start(ctx)
}

// leaderKilled kills the node that leads most logs, again and again.
func (s *stored) leaderKilled(ctx context.Context) error {
	times := scaled(s.t, 20, 1)
	var silences []time.Duration
	leading := 0
	for range times {
		i, led := s.leader()
		if led.logs > 0 {
			leading++
		}
		s.takeSilence()
		if err := s.nodes[i].signal(syscall.SIGKILL); err != nil {
			return err
		}
		<-s.nodes[i].ended
		if err := s.acknowledged(ctx); err != nil {
			return err
		}
		silences = append(silences, s.takeSilence())
		if err := s.nodes[i].start(ctx); err != nil {
			return err
		}
		if err := s.acknowledged(ctx); err != nil {
			return err
		}
	}
	longest := time.Duration(0)
	for _, d := range silences {
		longest = max(longest, d)
	}
	s.t.checkSpeed(longest <= ackWithin && leading == times, fmt.Sprintf("kill -9 of a node that leads logs: publishes are acknowledged again within %v, by themselves", ackWithin),
		"%d kills, %d of a leader; the longest time of a publisher without an ok: %s", times, leading, spread(silences))
	return s.report(ctx, fmt.Sprintf("kill -9 of a node that leads logs, %d times", times), perhaps)
}

// allKilled kills all nodes at the same time, and starts them again.
func (s *stored) allKilled(ctx context.Context) error {
	times := scaled(s.t, 3, 1)
	for range times {
		s.stop()
		if err := s.startAll(ctx); err != nil {
			return err
		}
		if err := s.acknowledged(ctx); err != nil {
			return err
		}
	}
	return s.report(ctx, fmt.Sprintf("kill -9 of all nodes at once, %d times", times), perhaps)
}

// diskFull fills the disk of one node, and makes room again.
func (s *stored) diskFull(ctx context.Context) error {
	const i, length = nodesCount - 1, 15 * time.Second
	filler := filepath.Join(filepath.Dir(s.dirs[i]), "filler")
	s.takeSilence()
	if err := os.WriteFile(filler, make([]byte, smallDir), 0o600); err == nil {
		return errors.New("the disk has more room than it should have")
	}
	rest(ctx, length)
	if err := s.acknowledged(ctx); err != nil {
		return err
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := s.report(ctx, fmt.Sprintf("the disk of one node is full for %v", length), nobody); err != nil {
		return err
	}
	if err := s.restart(ctx, i, nil); err != nil {
		return err
	}
	return s.report(ctx, "there is room again, and that node is started again", nobody)
}

// oneWiped deletes the directory of one node.
func (s *stored) oneWiped(ctx context.Context) error {
	err := s.restart(ctx, 0, func() error { return os.RemoveAll(s.dirs[0]) })
	if err != nil {
		return err
	}
	return s.report(ctx, "the directory of one node is deleted while it is down", perhaps)
}

// putBack puts the directories of all nodes back to what they were some time ago.
func (s *stored) putBack(ctx context.Context) error {
	copies := filepath.Join(s.t.dir, "copies")
	s.stop()
	for i, dir := range s.dirs {
		if err := os.CopyFS(filepath.Join(copies, fmt.Sprint(i)), os.DirFS(dir)); err != nil {
			return err
		}
	}
	if err := s.startAll(ctx); err != nil {
		return err
	}
	if err := s.acknowledged(ctx); err != nil {
		return err
	}
	rest(ctx, scaled(s.t, 5*time.Second, 2*time.Second))
	if err := s.report(ctx, "all nodes are killed and started again", perhaps); err != nil {
		return err
	}
	late := s.rovers[0].twin()
	s.stop()
	for i, dir := range s.dirs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(copies, fmt.Sprint(i)))); err != nil {
			return err
		}
	}
	if err := s.startAll(ctx); err != nil {
		return err
	}
	if err := s.acknowledged(ctx); err != nil {
		return err
	}
	if err := s.report(ctx, "the directories of all nodes are put back to what they were before", everybody); err != nil {
		return err
	}
	return s.comesLate(ctx, late)
}

// comesLate checks that a client is told for each channel which has a position of what is not stored any more, and comes back
// when the log has grown beyond it.
func (s *stored) comesLate(ctx context.Context, late *rover) error {
	if err := s.t.until(ctx, patience, "the logs are longer than before", func() bool { return late.isBehind(s.rovers[0]) }); err != nil {
		return err
	}
	visit, end := context.WithCancel(ctx)
	var visiting sync.WaitGroup
	visiting.Go(func() { late.run(visit) })
	err := s.t.until(ctx, patience, "it is back", late.listens)
	end()
	visiting.Wait()
	met := late.take()
	s.t.check(err == nil && met.returns == 0 && met.notices == storedChannels,
		"a client that comes back when the logs which were put back have grown beyond its positions cannot recover, which it is told for each channel", "%v", &met)
	return ctx.Err()
}

// wiped deletes the directories of all nodes.
func (s *stored) wiped(ctx context.Context) error {
	s.stop()
	for _, dir := range s.dirs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := s.startAll(ctx); err != nil {
		return err
	}
	if err := s.acknowledged(ctx); err != nil {
		return err
	}
	return s.report(ctx, "the directories of all nodes are deleted while they are down", everybody)
}

// ledLogs is how many logs a node leads.
type ledLogs struct{ logs, of int }

func (l ledLogs) String() string { return fmt.Sprintf("%d of %d logs", l.logs, l.of) }

// leader returns the node that leads most logs.
func (s *stored) leader() (node int, led ledLogs) {
	since, leads := map[string]string{}, map[string]int{}
	for i, n := range s.nodes {
		for name, at := range electionsIn(n.log.String()) {
			if at > since[name] {
				since[name], leads[name] = at, i
			}
		}
	}
	var count [nodesCount]int
	for _, i := range leads {
		count[i]++
	}
	for i, n := range count {
		if n > count[node] {
			node = i
		}
	}
	return node, ledLogs{count[node], len(leads)}
}

var anElection = regexp.MustCompile(`"time":"([^"]+)".*new stream leader for '[^']* (RK_[^']+)'`)

// electionsIn returns when the writer of a log has become the leader of which stream, the last time.
func electionsIn(log string) map[string]string {
	found := map[string]string{}
	for _, m := range anElection.FindAllStringSubmatch(log, -1) {
		found[m[2]] = m[1]
	}
	return found
}

// takeSilence returns the longest time that a publisher was without an ok since it was called last.
func (s *stored) takeSilence() (longest time.Duration) {
	for _, w := range s.scribes {
		longest = max(longest, w.takeLongest())
	}
	return longest
}

// Who is told that events may be missing, that is, cannot recover.
type telling int

const (
	nobody    telling = iota
	perhaps           // those that come to a node which is behind the one where they were
	everybody         // all, for each channel
)

// report waits until everything has been heard, or told, and leaves a finding.
func (s *stored) report(ctx context.Context, when string, told telling) error {
	healed := time.Now()
	var marks []int
	for _, w := range s.scribes {
		marks = append(marks, w.acknowledged())
	}
	level := s.t.until(ctx, patience, "everything is heard", func() bool {
		return all(s.rovers, func(r *rover) bool { return r.reached(marks) })
	})
	whole := time.Since(healed)
	s.whole = append(s.whole, whole)
	silence, refused := s.takeSilence(), 0
	for _, w := range s.scribes {
		refused += w.takeRefused()
		if err := w.failed(); err != nil {
			return err
		}
	}
	var sum roved
	allOf := true
	for _, r := range s.rovers {
		one := r.take()
		allOf = allOf && one.notices >= storedChannels
		sum.add(&one)
	}
	must := when + ": listeners that come back at other nodes hear each acknowledged event once, in order, at the same offsets"
	holds := level == nil && sum.right()
	switch told {
	case nobody:
		holds = holds && sum.notices == 0
	case perhaps:
		must += ", or are told that the node is behind"
		begun := min(sum.reasons["lost"], sum.reasons[noLogYet]) // those that were there first are told when the log is
		holds = holds && sum.notices == sum.reasons["ahead"]+sum.reasons[noLogYet]+begun
	case everybody:
		must += ", or cannot recover, which each is told for each channel"
		holds = holds && allOf
	}
	s.t.check(holds, must, "%v; all heard: %s, %s after its end; %d publishes unavailable, no publisher without an ok for longer than %s",
		&sum, said(level, "yes"), millis(whole), refused, millis(silence))
	return ctx.Err()
}
