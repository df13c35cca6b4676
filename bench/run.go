package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const handshakeKey = "cm9ja2V0LWJlbmNoLWtleQ==" // 16 bytes, as RFC 6455 §4.1 wants

var handshakeAccept = func() string {
	sum := sha1.Sum([]byte(handshakeKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

// run is what the workers of one run share. Fields are set before the workers start, unless another word is said.
type run struct {
	opts    *Options
	plan    *plan
	dialect Dialect
	stream  bool // of the dialect
	acks    bool // of the dialect

	timesAcks bool // how long they take is recorded

	auth        bool
	secret      string
	greets      bool // the dialect is a greetedDialect
	target      *url.URL
	tls         *tls.Config // nil: without
	address     *net.TCPAddr
	publishers  []*net.TCPAddr // for connections that only publish, in turn; none: address
	subscribers []*net.TCPAddr // for all others, in turn; none: address
	sources     []net.IP
	request     []byte
	payload     []byte
	hold        int64 // how long a churner stays, in nanoseconds

	streams   []stream
	receiving [][]int32 // per worker, per stream: receivers
	where     []place   // per connection of the plan
	workers   []*worker

	started time.Time
	over    atomic.Bool
	changed chan struct{} // something has changed that a goroutine may wait for
	done    sync.WaitGroup
}

type place struct{ worker, local int32 }

// stream is the publishes of one publisher to one channel. It belongs to the worker of its publisher.
type stream struct {
	streamPlan
	worker   int32
	frame    []byte // a publish without its stamp
	stampAt  int    // of the stamp, within the frame
	stampPos int    // and within the frame's payload
	answered uint32
	limit    uint32          // of sent
	sent     atomic.Uint32   // read by any worker
	by       []atomic.Uint32 // per worker: how far it has received; nil if there is one worker
}

func (r *run) clock() int64 { return int64(time.Since(r.started)) }

func (r *run) local(conn int32) int32 { return r.where[conn].local }

func (r *run) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// streamsOf is how many streams a connection receives.
func (r *run) streamsOf(c *conn) uint32 {
	channel := r.plan.conns[c.plan].channel
	if channel == none {
		return 0
	}
	return uint32(r.plan.first[channel+1] - r.plan.first[channel])
}

// newRun lays a plan out over the workers and starts them.
func newRun(opts *Options, d Dialect, target *url.URL, p *plan) (*run, error) {
	r := &run{
		opts: opts, plan: p, dialect: d, stream: d.Stream(), acks: d.Acks(),
		timesAcks: opts.Nodes > 1 && opts.History > 0,
		greets:    greets(d), auth: opts.Secret != "" || !opts.NoAuth, secret: opts.Secret,
		target: target, payload: payload(opts.Payload), hold: int64(opts.Hold),
		started: cmp.Or(opts.since, time.Now()), changed: make(chan struct{}, 1),
	}
	var err error
	if r.tls, err = clientConfig(opts, target); err != nil {
		return nil, err
	}
	if err := r.resolve(); err != nil {
		return nil, err
	}
	_, subprotocol := d.Handshake()
	r.request = handshakeRequest(target, subprotocol)
	for i := range opts.Threads {
		w, err := newWorker(r, i)
		if err != nil {
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	r.placeConns()
	r.placeStreams()
	for _, w := range r.workers {
		r.done.Add(1)
		go func() {
			defer r.done.Done()
			w.loop()
		}()
	}
	return r, nil
}

func (r *run) resolve() error {
	port := r.target.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[r.target.Scheme]
	}
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(r.target.Hostname(), port))
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	r.address = addr
	if r.publishers, err = resolveAll(r.opts.publishTo); err != nil {
		return fmt.Errorf("the publishers' nodes: %w", err)
	}
	if r.subscribers, err = resolveAll(r.opts.subscribeTo); err != nil {
		return fmt.Errorf("the subscribers' nodes: %w", err)
	}
	sources := r.opts.Sources
	if len(sources) == 0 && addr.IP.IsLoopback() && addr.IP.To4() != nil {
		sources = loopbackSources(len(r.plan.conns))
	}
	for _, s := range sources {
		ip := net.ParseIP(s).To4()
		if ip == nil || addr.IP.To4() == nil {
			return fmt.Errorf("source %q: only IPv4 addresses to an IPv4 target are supported", s)
		}
		r.sources = append(r.sources, ip)
	}
	return nil
}

func resolveAll(names []string) (all []*net.TCPAddr, err error) {
	for _, name := range names {
		addr, err := net.ResolveTCPAddr("tcp", name)
		if err != nil {
			return nil, err
		}
		all = append(all, addr)
	}
	return all, nil
}

// sockaddr is an address as the kernel wants it. Each worker has its own: package unix writes to it.
func sockaddr(ip net.IP, port int) (unix.Sockaddr, int) {
	if v4 := ip.To4(); v4 != nil {
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())}, unix.AF_INET6
}

// connsPerSource is well below half of the usual range of 28,000 local ports: connect(2) looks at every second port
// first, and when those are taken, each connect searches thousands.
const connsPerSource = 10_000

// loopbackSources are as many of 127.0.0.2, 127.0.0.3, … as conns connections need; none if one address is enough.
func loopbackSources(conns int) []string {
	if conns <= connsPerSource {
		return nil
	}
	var list []string
	for i := range (conns + connsPerSource - 1) / connsPerSource {
		list = append(list, fmt.Sprintf("127.0.%d.%d", i/250, 2+i%250))
	}
	return list
}

func sockaddrs(list []*net.TCPAddr) (all []unix.Sockaddr) {
	for _, addr := range list {
		one, _ := sockaddr(addr.IP, addr.Port)
		all = append(all, one)
	}
	return all
}

func handshakeRequest(target *url.URL, subprotocol string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", target.RequestURI(), target.Host)
	fmt.Fprintf(&b, "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", handshakeKey)
	if subprotocol != "" {
		fmt.Fprintf(&b, "Sec-WebSocket-Protocol: %s\r\n", subprotocol)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// placeConns gives each connection to a worker: those of a channel to the same one if there are enough channels, so
// that a channel's publishes and deliveries meet without a word between threads.
func (r *run) placeConns() {
	r.where = make([]place, len(r.plan.conns))
	byChannel := int(r.plan.channels) >= 4*len(r.workers)
	for i := range r.plan.conns {
		p := &r.plan.conns[i]
		key := int32(i)
		switch {
		case byChannel && p.channel != none:
			key = p.channel
		case byChannel && len(p.streams) > 0:
			key = r.plan.streams[p.streams[0]].channel
		}
		w := r.workers[int(key)%len(r.workers)]
		r.where[i] = place{int32(w.id), int32(len(w.conns))}
		c := conn{local: int32(len(w.conns)), plan: int32(i), role: p.role, group: p.group}
		if p.channel != none {
			c.channel = channelName(p.channel)
			c.base = uint32(r.plan.first[p.channel])
			c.cell = w.newCells(int(r.plan.first[p.channel+1] - r.plan.first[p.channel]))
		}
		w.conns = append(w.conns, c)
	}
}

func (r *run) placeStreams() {
	closed := false
	for _, g := range r.plan.groups {
		closed = closed || g.inFlight > 0
	}
	for _, w := range r.workers {
		r.receiving = append(r.receiving, r.plan.receivers(func(conn int32) bool { return int(r.where[conn].worker) == w.id }))
		for _, g := range r.plan.groups {
			wg := workerGroup{group: g, latency: newLatency()}
			if g.arrivals {
				wg.arrivals = make([][]int64, maxRounds)
			}
			w.groups = append(w.groups, wg)
		}
	}
	r.streams = make([]stream, len(r.plan.streams))
	first := r.plan.streamsIn(0)
	for i, p := range r.plan.streams {
		s := &r.streams[i]
		s.streamPlan, s.worker, s.limit = p, r.where[p.conn].worker, maxSeq
		if n := r.opts.Count; n > 0 && p.group == 0 {
			s.limit = uint32(min((n+first-1)/first, maxSeq))
		}
		s.frame, s.stampAt, s.stampPos = publishFrame(r.dialect, channelName(p.channel), r.payload)
		owner := r.workers[s.worker]
		owner.groups[p.group].own = append(owner.groups[p.group].own, int32(i))
		if !closed {
			continue
		}
		for _, w := range r.workers {
			w.windows = append(w.windows, newWindow(max(r.plan.groups[p.group].inFlight, 1), r.receiving[w.id][i]))
		}
		if len(r.workers) > 1 {
			s.by = make([]atomic.Uint32, len(r.workers))
			owner.foreign = append(owner.foreign, int32(i))
		}
	}
}

// publishFrame builds a publish whose stamp is still zero, and says where the stamp is.
func publishFrame(d Dialect, channel string, payload []byte) (frame []byte, stampAt, stampPos int) {
	message := d.AppendPublish(nil, channel, payload)
	pos := bytes.Index(message, payload) + 1
	frame = appendFrame(nil, d.Opcode(), message)
	return frame, len(frame) - len(message) + pos, pos
}

// call has every worker do f and waits for all of them.
func (r *run) call(f func(w *worker)) {
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Add(1)
		w.post(func() {
			defer wg.Done()
			f(w)
		})
	}
	wg.Wait()
}

// sum adds up what f returns for each worker.
func (r *run) sum(f func(w *worker) int64) int64 {
	var total atomic.Int64
	r.call(func(w *worker) { total.Add(f(w)) })
	return total.Load()
}

// err is the first failure of a worker.
func (r *run) err() error {
	for _, w := range r.workers {
		if err := w.failed.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// open connects the connections for which want is true and waits until each is set up.
func (r *run) open(ctx context.Context, want func(connPlan) bool) error {
	target := int32(r.ready())
	for i, c := range r.plan.conns {
		if want(c) && r.workers[r.where[i].worker].conns[r.where[i].local].state == connIdle {
			target++
		}
	}
	r.call(func(w *worker) {
		w.openPace = newSchedule(r.clock(), r.opts.ConnectRate/float64(len(r.workers)))
		for i := range w.conns {
			if c := &w.conns[i]; c.state == connIdle && want(r.plan.conns[c.plan]) {
				w.opening = append(w.opening, int32(i))
			}
		}
	})
	return r.wait(ctx, r.opts.ConnectTimeout, "connections to be set up", func() bool { return r.ready() >= int(target) })
}

func (r *run) ready() int {
	n := 0
	for _, w := range r.workers {
		n += int(w.ready.Load())
	}
	return n
}

var errTimeout = errors.New("timed out")

// wait returns when ok is true, a worker has failed, the time is up or ctx is done.
func (r *run) wait(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		if err := r.err(); err != nil {
			return err
		}
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("%w after %v waiting for %s", errTimeout, limit, what)
		case <-r.changed:
		case <-look.C:
		}
	}
}

// rest lets the run go on for d.
func (r *run) rest(ctx context.Context, d time.Duration) error {
	return r.restUntil(ctx, d, func() bool { return false })
}

// restUntil lets the run go on for d, or until it has enough.
func (r *run) restUntil(ctx context.Context, d time.Duration, enough func() bool) error {
	err := r.wait(ctx, d, "", enough)
	if errors.Is(err, errTimeout) {
		return nil
	}
	return err
}

// load starts to publish.
func (r *run) load() {
	start := r.clock()
	r.call(func(w *worker) {
		for i := range w.groups {
			g := &w.groups[i]
			g.loading = true
			g.pace = newSchedule(start, g.rate*float64(len(g.own))/float64(max(r.plan.streamsIn(i), 1)))
			if g.inFlight == 0 {
				continue
			}
			for _, stream := range g.own {
				w.fill(&r.streams[stream], stream)
			}
		}
	})
}

// unload stops to publish and settles.
func (r *run) unload(ctx context.Context) error {
	r.call(func(w *worker) {
		for i := range w.groups {
			w.groups[i].loading = false
		}
		w.churn = schedule{}
	})
	return r.settle(ctx)
}

// settle waits until everything has arrived, or nothing more comes.
func (r *run) settle(ctx context.Context) error {
	quiet, last := 0, int64(-1) // looks without anything new
	for {
		left := r.sum(func(w *worker) int64 { return w.outstanding() + w.unanswered() })
		if left == 0 {
			return nil
		}
		quiet++
		if left != last {
			quiet, last = 0, left
		}
		if quiet > int(r.opts.Drain/drainLook) {
			return nil
		}
		if err := r.rest(ctx, drainLook); err != nil {
			return err
		}
	}
}

// drainLook is how often the run looks what is still to come. Silence is counted in looks, not by the clock: in a
// process that is stopped for a while nothing arrives, and nothing is lost.
const drainLook = 10 * time.Millisecond

// exhausted reports whether the first group has published as often as it may.
func (r *run) exhausted() bool {
	if r.opts.Count == 0 {
		return false
	}
	for i := range r.streams {
		if s := &r.streams[i]; s.group == 0 && s.sent.Load() < s.limit {
			return false
		}
	}
	return true
}

// publishes is how often was published in all.
func (r *run) publishes() int64 {
	var n int64
	for i := range r.streams {
		n += int64(r.streams[i].sent.Load())
	}
	return n
}

// publishOnce publishes once to every stream, for scenarios that have no load of their own.
func (r *run) publishOnce() {
	r.call(func(w *worker) {
		for i := range w.groups {
			for _, s := range w.groups[i].own {
				w.publish(&w.groups[i], s, r.clock())
			}
		}
	})
}

// check ends the count of what was delivered.
func (r *run) check() Check {
	var total Check
	var mu sync.Mutex
	r.call(func(w *worker) {
		c := w.Check
		c.Lost += w.outstanding()
		c.Unanswered += w.unanswered()
		mu.Lock()
		total.add(c)
		mu.Unlock()
	})
	return total
}

// measureFrom starts the window that counts.
func (r *run) measureFrom() {
	from := r.clock()
	r.call(func(w *worker) {
		w.nextTick = from + secondNS
		for i := range w.groups {
			g := &w.groups[i]
			g.latency.from, g.latency.to = from, math.MaxInt64
			g.latency.second.Reset()
			g.seconds, g.ticked = nil, g.counts.deliveries
		}
		w.answers.from, w.answers.to = from, math.MaxInt64
	})
}

// measureTo ends the window: what is scheduled later does not count.
func (r *run) measureTo() {
	to := r.clock()
	r.call(func(w *worker) {
		for i := range w.groups {
			w.groups[i].latency.to = to
		}
		w.answers.to = to
	})
}

// close ends all connections and workers.
func (r *run) close() {
	r.over.Store(true)
	for _, w := range r.workers {
		w.post(func() {})
	}
	r.done.Wait()
	for _, w := range r.workers {
		w.close()
	}
}
