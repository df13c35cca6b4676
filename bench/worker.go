package bench

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	readBuffer = 256 << 10
	turnEvents = 512
	secondNS   = int64(1e9)
)

// worker is one generator thread: an epoll set and everything that its connections need. Fields without another word
// belong to its goroutine.
type worker struct {
	run    *run
	id     int
	ep     int
	wake   int // eventfd
	buf    []byte
	sealed []byte // what is received with TLS, before it is decrypted into buf
	events []unix.EpollEvent
	conns  []conn

	address     unix.Sockaddr
	publishers  []unix.Sockaddr // for connections that only publish, in turn; none: address
	subscribers []unix.Sockaddr // for all others, in turn; none: address
	family      int
	sources     []unix.Sockaddr
	now         int64 // when the worker last looked at the clock

	verifier
	groups  []workerGroup
	windows []window // per stream, for closed loops
	joins   latency  // from the time a connect was due to the last answer of the set-up
	answers latency  // from the time a publish was due to its answer, where run.timesAcks

	opening     []int32 // connections that still have to connect
	openPace    schedule
	handshaking int
	dirty       []int32
	churn       schedule
	idle        []int32 // churners without a socket
	stayed      []stay  // churners, by the time at which they leave

	runAt, runCount int64 // deliveries of the same read that were scheduled at the same time

	foreign  []int32 // streams that this worker publishes in a closed loop and others receive
	notified atomic.Bool

	reads, bytes int64
	toSteady     int64 // messages that steady subscribers got
	pings        int64
	handshakes   int64  // of TLS, done
	agreed       string // by the first of them: version, cipher, key exchange
	refusals     map[string]int64
	nextTick     int64
	progress     int64 // deliveries at the last tick
	stalls       int   // ticks without progress

	ready  atomic.Int32
	tally  workerTally
	inbox  inbox
	failed atomic.Pointer[error]
}

type workerGroup struct {
	group
	latency  latency
	pace     schedule
	own      []int32 // streams that this worker publishes
	seconds  []Second
	arrivals [][]int64 // per number: latencies
	loading  bool
	counts   counts
	ticked   int64 // deliveries at the last tick
}

// counts only grow; for a difference take two copies.
type counts struct{ deliveries, publishes int64 }

type stay struct {
	conn  int32
	until int64
}

// workerTally is what others may read at any time. It is brought up to date once per turn.
type workerTally struct {
	delivered, bad, p99 atomic.Int64
}

// inbox is work that others leave for a worker.
type inbox struct {
	mu    sync.Mutex
	items []func()
	some  atomic.Bool
}

func newWorker(r *run, id int) (*worker, error) {
	w := &worker{run: r, id: id, buf: make([]byte, readBuffer), events: make([]unix.EpollEvent, turnEvents)}
	if r.tls != nil {
		w.sealed = make([]byte, readBuffer)
	}
	w.address, w.family = sockaddr(r.address.IP, r.address.Port)
	w.publishers, w.subscribers = sockaddrs(r.publishers), sockaddrs(r.subscribers)
	for _, ip := range r.sources {
		source, _ := sockaddr(ip, 0)
		w.sources = append(w.sources, source)
	}
	w.joins, w.answers, w.refusals, w.nextTick = newLatency(), newLatency(), map[string]int64{}, secondNS
	w.joins.from = 0
	var err error
	if w.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		unix.Close(w.ep)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: none}
	return w, unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, w.wake, &ev)
}

// post leaves work for the worker. Any goroutine.
func (w *worker) post(f func()) {
	w.inbox.mu.Lock()
	w.inbox.items = append(w.inbox.items, f)
	w.inbox.mu.Unlock()
	if !w.inbox.some.Swap(true) {
		one := [8]byte{1}
		_, _ = unix.Write(w.wake, one[:]) // full only if a wake is pending
	}
}

func (w *worker) takeInbox() {
	if !w.inbox.some.Swap(false) {
		return
	}
	w.inbox.mu.Lock()
	items := w.inbox.items
	w.inbox.items = nil
	w.inbox.mu.Unlock()
	for _, f := range items {
		f()
	}
}

// loop runs until the run is over, on a thread of its own.
func (w *worker) loop() {
	runtime.LockOSThread() // not unlocked: the thread is pinned and ends with the goroutine
	pinThread(w.run.opts.CPUs, w.id)
	for !w.run.over.Load() {
		w.now = w.run.clock()
		w.takeInbox()
		wait := w.due()
		n, errno := epollWait(w.ep, w.events, wait)
		if errno != 0 && errno != unix.EINTR {
			w.fail(fmt.Errorf("epoll_wait: %w", errno))
			continue
		}
		w.now = w.run.clock()
		if errno == 0 {
			w.handle(w.events[:n])
		}
		w.publishTally()
	}
	w.endHandshakes()
}

// endHandshakes gives up what is under way: only this thread can.
func (w *worker) endHandshakes() {
	for i := range w.conns {
		if s := w.conns[i].secured; s != nil {
			s.end()
		}
	}
}

func (w *worker) handle(events []unix.EpollEvent) {
	for i := range events {
		ev := &events[i]
		if ev.Fd == none {
			var b [8]byte
			_, _ = unix.Read(w.wake, b[:])
			continue
		}
		c := &w.conns[ev.Fd]
		if ev.Pad != c.gen || c.state == connIdle {
			continue
		}
		if err := w.event(c, ev.Events); err != nil {
			w.lostConn(c, err)
		}
		w.flushDirty()
		w.publishDue()
	}
}

func (w *worker) event(c *conn, events uint32) error {
	if c.state == connConnecting {
		if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
			return nil
		}
		return w.connected(c)
	}
	if events&unix.EPOLLOUT != 0 {
		if err := w.flush(c); err != nil {
			return err
		}
	}
	if events&^uint32(unix.EPOLLOUT) != 0 {
		return w.read(c)
	}
	return nil
}

// due does what the clock asks for and returns how long the worker may wait.
func (w *worker) due() int64 {
	w.openDue()
	w.churnDue()
	w.publishDue()
	w.flushDirty()
	w.tick()
	wait := min(w.openPace.wait(w.now, secondNS), w.churn.wait(w.now, secondNS))
	for i := range w.groups {
		if g := &w.groups[i]; g.loading && len(g.own) > 0 {
			wait = g.pace.wait(w.now, wait)
		}
	}
	if len(w.stayed) > 0 {
		wait = min(wait, max(w.stayed[0].until-w.now, 0))
	}
	if w.run.over.Load() || w.inbox.some.Load() {
		return 0
	}
	return min(wait, w.nextTick-w.now)
}

// openDue starts as many connects as the pace and the bound on handshakes allow.
func (w *worker) openDue() {
	for len(w.opening) > 0 && w.handshaking < w.run.opts.Handshakes {
		at, ok := w.now, true
		if w.openPace.every != 0 {
			at, ok = w.openPace.take(w.now)
		}
		if !ok {
			return
		}
		i := w.opening[0]
		w.opening = w.opening[1:]
		if err := w.open(i, at); err != nil {
			w.fail(err)
			return
		}
	}
	if len(w.opening) == 0 {
		w.openPace = schedule{}
	}
}

func (w *worker) churnDue() {
	for len(w.stayed) > 0 && w.stayed[0].until <= w.now {
		if c := &w.conns[w.stayed[0].conn]; c.state == connReady {
			w.leave(c)
		}
		w.stayed = w.stayed[1:]
	}
	for len(w.idle) > 0 {
		at, ok := w.churn.take(w.now)
		if !ok {
			return
		}
		i := w.idle[len(w.idle)-1]
		w.idle = w.idle[:len(w.idle)-1]
		if err := w.open(i, at); err != nil {
			w.fail(err)
			return
		}
	}
}

// publishDue sends what the open-loop schedules ask for by now.
func (w *worker) publishDue() {
	for i := range w.groups {
		g := &w.groups[i]
		if !g.loading || g.rate == 0 || len(g.own) == 0 {
			continue
		}
		for {
			n := g.pace.n
			at, ok := g.pace.take(w.now)
			if !ok {
				break
			}
			w.publish(g, g.own[n%int64(len(g.own))], at)
		}
	}
	w.flushDirty()
}

// publish appends the next publish of a stream to what its connection sends.
func (w *worker) publish(g *workerGroup, stream int32, at int64) {
	s := &w.run.streams[stream]
	c := &w.conns[w.run.local(s.conn)]
	seq := s.sent.Load() + 1
	if seq > s.limit || c.state != connReady {
		return
	}
	var stamp [stampLen]byte
	putStamp(stamp[:], uint32(stream), seq, at)
	maskAt(stamp[:], s.stampPos)
	start := len(c.out)
	c.out = append(c.out, s.frame...)
	copy(c.out[start+s.stampAt:], stamp[:])
	s.sent.Store(seq)
	if w.run.acks {
		c.acks = append(c.acks, asked{stream, at})
	}
	g.counts.publishes++
	w.mark(c)
}

// deliver checks one delivery and notes when it came.
func (w *worker) deliver(c *conn, m *Message) {
	if w.run.greets && c.channel == "" {
		return // a publisher subscribes, too, and hears the others
	}
	want := w.run.payload
	if len(m.Data) != len(want) || string(m.Data[1+stampLen:]) != string(want[1+stampLen:]) || m.Data[0] != '"' {
		w.Corrupted++
		return
	}
	stream, seq, at, ok := parseStamp(m.Data[1:])
	if !ok {
		w.Corrupted++
		return
	}
	i := stream - c.base
	if i >= c.streams || string(m.Channel) != c.channel {
		w.Astray++
		return
	}
	fresh, skipped := w.see(c.cell+i, seq)
	if !fresh {
		return
	}
	g := &w.groups[c.group]
	g.counts.deliveries++
	if at != w.runAt {
		w.recordRun(c)
		w.runAt = at
	}
	w.runCount++
	if w.windows != nil && c.role == steady {
		for n := seq - skipped; n <= seq; n++ {
			if w.windows[stream].arrived(n) {
				w.reached(int32(stream))
			}
		}
	}
	if g.arrivals != nil && int(seq) < len(g.arrivals) {
		g.arrivals[seq] = append(g.arrivals[seq], w.now-at)
	}
}

// recordRun puts the deliveries since the last call, all scheduled at the same time, into the histogram at once.
func (w *worker) recordRun(c *conn) {
	if w.runCount > 0 {
		w.groups[c.group].latency.record(w.runAt, w.now, w.runCount)
		w.runCount = 0
	}
}

// acked takes the answer to the oldest publish.
func (w *worker) acked(c *conn) {
	if c.ackHead == len(c.acks) {
		return
	}
	stream := c.acks[c.ackHead].stream
	if w.run.timesAcks {
		w.answers.record(c.acks[c.ackHead].at, w.now, 1)
	}
	c.ackHead++
	if c.ackHead == len(c.acks) {
		c.acks, c.ackHead = c.acks[:0], 0
	} else if c.ackHead == 4096 {
		c.acks, c.ackHead = c.acks[:copy(c.acks, c.acks[c.ackHead:])], 0
	}
	s := &w.run.streams[stream]
	s.answered++
	if w.windows != nil {
		w.fill(s, stream)
	}
}

// reached is called when all receivers of this worker have more of a stream.
func (w *worker) reached(stream int32) {
	s := &w.run.streams[stream]
	if s.by != nil {
		s.by[w.id].Store(w.windows[stream].done)
		if owner := w.run.workers[s.worker]; owner != w {
			if !owner.notified.Swap(true) {
				owner.post(owner.collect)
			}
			return
		}
	}
	w.fill(s, stream)
}

// collect looks what the other workers have received of this worker's streams.
func (w *worker) collect() {
	if !w.notified.Swap(false) {
		return
	}
	for _, stream := range w.foreign {
		w.fill(&w.run.streams[stream], stream)
	}
}

// fill publishes as much as the closed loop allows.
func (w *worker) fill(s *stream, stream int32) {
	g := &w.groups[s.group]
	if !g.loading || g.inFlight == 0 {
		return
	}
	done := w.windows[stream].done
	for i := range s.by {
		if w.run.receiving[i][stream] > 0 {
			done = min(done, s.by[i].Load())
		}
	}
	if w.run.acks {
		done = min(done, s.answered)
	}
	unfinished := int(s.sent.Load() - done)
	if unfinished >= g.inFlight {
		return
	}
	now := w.run.clock()
	for ; unfinished < g.inFlight; unfinished++ {
		w.publish(g, stream, now)
	}
}

// writeOff gives up on what a closed loop waits for in vain. It is not forgotten: the check finds it lost.
func (w *worker) writeOff() {
	for i := range w.groups {
		g := &w.groups[i]
		if !g.loading || g.inFlight == 0 {
			continue
		}
		for _, stream := range g.own {
			s := &w.run.streams[stream]
			sent := s.sent.Load()
			s.answered = sent
			for _, other := range w.run.workers {
				other.post(func() {
					other.windows[stream].writeOff(sent)
					other.reached(stream)
				})
			}
		}
	}
}

// tick ends a second.
func (w *worker) tick() {
	for w.now >= w.nextTick {
		w.nextTick += secondNS
		for i := range w.groups {
			w.groups[i].tick()
		}
		if len(w.groups) > 0 && len(w.groups[0].seconds) > 0 {
			last := w.groups[0].seconds[len(w.groups[0].seconds)-1]
			w.tally.p99.Store(int64(last.P99 * 1e6))
		}
		w.stalls++
		if w.Delivered != w.progress {
			w.progress, w.stalls = w.Delivered, 0
		}
		if w.stalls == 2 && w.windows != nil {
			w.stalls = 0
			w.writeOff()
		}
	}
}

func (g *workerGroup) tick() {
	h := g.latency.second
	g.seconds = append(g.seconds, Second{
		Deliveries: g.counts.deliveries - g.ticked,
		P50:        float64(h.ValueAtPercentile(50)) / 1e6,
		P99:        float64(h.ValueAtPercentile(99)) / 1e6,
		Max:        float64(h.Max()) / 1e6,
	})
	g.ticked = g.counts.deliveries
	h.Reset()
}

func (w *worker) mark(c *conn) {
	if !c.dirty {
		c.dirty = true
		w.dirty = append(w.dirty, c.local)
	}
}

func (w *worker) flushDirty() {
	for i := 0; i < len(w.dirty); i++ {
		c := &w.conns[w.dirty[i]]
		c.dirty = false
		if c.state == connIdle || c.armed {
			continue
		}
		if err := w.flush(c); err != nil {
			w.lostConn(c, err)
		}
	}
	w.dirty = w.dirty[:0]
}

// lostConn closes a connection that failed. No server has a reason to close one that reads, so the run is over.
func (w *worker) lostConn(c *conn, err error) {
	was := c.state
	w.shut(c)
	if c.role == stalled && was == connReady {
		return
	}
	w.fail(err)
}

// fail ends the run. The first reason counts.
func (w *worker) fail(err error) {
	w.failed.CompareAndSwap(nil, &err)
	w.run.signal()
}

func (w *worker) refusal(text string) {
	if len(w.refusals) < 16 || w.refusals[text] > 0 {
		w.refusals[text]++
	}
}

// outstanding is how many deliveries to this worker's connections have not come.
func (w *worker) outstanding() int64 {
	var n int64
	for i := range w.conns {
		c := &w.conns[i]
		if c.role == stalled || c.state != connReady {
			continue
		}
		for s := range c.streams {
			n += w.owed(c.cell+s, w.run.streams[c.base+s].sent.Load())
		}
	}
	return n
}

// unanswered is how many publishes have no answer yet.
func (w *worker) unanswered() int64 {
	var n int64
	for i := range w.conns {
		n += int64(len(w.conns[i].acks) - w.conns[i].ackHead)
	}
	return n
}

func (w *worker) publishTally() {
	w.tally.delivered.Store(w.Delivered)
	w.tally.bad.Store(w.Duplicated + w.OutOfOrder + w.Astray + w.Corrupted + w.Refused)
}

func (w *worker) close() {
	for i := range w.conns {
		w.shut(&w.conns[i])
	}
	unix.Close(w.wake)
	unix.Close(w.ep)
}
