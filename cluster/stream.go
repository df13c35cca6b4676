package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A stream is one log in NATS: a stream of JetStream with one subject. What is stored is sent
// on to another subject, the feed, with its number and time. A stream is the world of its
// follower.
type stream struct {
	logs       *logs
	hub        *hub.Hub
	number     int // in the hub
	source     pubsub.Source
	name       string // of the stream
	first      string // name of that of the first log of the hub
	in, feed   string // subjects
	collecting string // begins the subjects by which nodes collect small batches
	follower   follower
	appender   appender

	alone time.Duration // until when it gives no batch to another node; the goroutine of run alone

	wake chan struct{}
	jobs chan func() // what waits for answers of NATS

	latency latencies              // of publishes
	made    bool                   // the stream has the settings of this node; the goroutine of jobs alone
	leader  atomic.Pointer[string] // the server that leads the stream, as it was known lately
	placed  struct {               // the message that is being placed; the follower alone
		at    int64         // its time
		began time.Duration // when its events were published, by the clock of this process
	}
	age  atomic.Int64    // for how long it stores messages, if it is made
	told map[string]bool // problems that have been logged; the goroutine of jobs alone
}

// latencies are how long publishes took until they were stored.
type latencies struct {
	mu        sync.Mutex
	histogram measure.Histogram // guarded by mu
}

func (l *latencies) observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.histogram.Observe(d)
}

// Times and sizes of a stream.
const (
	logTickEvery = 100 * time.Millisecond
	leaderEvery  = 50 // ticks
	jsWithin     = 2 * time.Second
	readMost     = 1000    // messages
	readBytes    = 4 << 20 // of them
	refusedPause = 100 * time.Millisecond
	slack        = 30 * time.Second // that messages are stored for longer than histories and keys need
	doubleWithin = 2 * time.Minute  // in which NATS itself drops a message that comes twice
)

// logFormat is the version of what is in a log.
const logFormat = "3"

func newStream(l *logs, h *hub.Hub, i int) *stream {
	cluster, place := l.node.config.Name, placeOf(h.Name())
	s := &stream{
		logs: l, hub: h, number: i, name: fmt.Sprintf("RK_%s_%s_%d", cluster, place, i), first: fmt.Sprintf("RK_%s_%s_0", cluster, place),
		in: fmt.Sprintf("rk.%s.l.%s.%d", cluster, place, i), feed: fmt.Sprintf("rk.%s.f.%s.%d", cluster, place, i),
		collecting: fmt.Sprintf("rk.%s.c.%s.%d", cluster, place, i),
		wake:       make(chan struct{}, 1), jobs: make(chan func(), 4), told: make(map[string]bool),
	}
	s.appender = appender{
		id: l.node.exchange.id, timeout: l.config.PublishTimeout, most: 1 << 20, seen: measure.Now(),
		latency: s.latency.observe, wake: s.wakeUp,
	}
	if most := l.conn.MaxPayload(); most > 0 {
		s.appender.reach(int(most))
	}
	s.follower = follower{
		world: s, appender: &s.appender, newEpoch: newID, copies: s.copies(),
		window: func() (time.Duration, int) { k := h.Keeping(); return k.Keys, k.KeysMax },
	}
	if e := l.node.config.Embedded; e == nil || e.Peers() > 0 {
		s.follower.wait = aloneAfter
	}
	return s
}

// placeOf returns the part of names in NATS that stands for a hub. NATS limits them to 255
// characters.
func placeOf(hub string) string {
	if len(hub) > placeMax {
		sum := sha256.Sum256([]byte(hub))
		return "H" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return base64.RawURLEncoding.EncodeToString([]byte(hub))
}

// placeMax is how long the name of a hub is that places have whole.
const placeMax = 96

// newID returns a random number that is not 0.
func newID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// stats returns what is known of the log.
func (s *stream) stats() LogStats {
	l := LogStats{Hub: s.hub.Name(), Log: s.number, Live: s.follower.live.Load(), Epoch: s.source.Epoch()}
	s.follower.counted(&l)
	s.appender.counted(&l)
	s.latency.mu.Lock()
	defer s.latency.mu.Unlock()
	l.Publish = s.latency.histogram
	if leader := s.leader.Load(); leader != nil {
		l.Leader = *leader
	}
	l.CutOff = s.appender.cut(measure.Now())
	return l
}

func (s *stream) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// start begins to follow the log.
func (s *stream) start() {
	n := s.logs.node
	acks := s.logs.conn.NewRespInbox()
	handlers := map[string]nats.MsgHandler{s.feed: s.takeFeed, acks: s.takeAck}
	if n.config.Embedded != nil {
		handlers[s.collector(n.config.Node)] = s.takeCollected
	}
	for subject, take := range handlers {
		sub, err := s.logs.conn.Subscribe(subject, take)
		if err == nil {
			err = sub.SetPendingLimits(-1, pendingMax)
		}
		if err != nil {
			n.log.Error("a log cannot be followed", "log", s.name, "error", err)
			return
		}
	}
	n.running.Go(func() { s.run(acks) })
	n.running.Go(s.work)
}

// run sends batches, and keeps time.
func (s *stream) run(acks string) {
	ticks := time.NewTicker(logTickEvery)
	defer ticks.Stop()
	for n := 0; ; {
		now := measure.Now()
		if f := s.appender.next(now); f != nil {
			// What cannot be sent now is sent again later.
			_ = s.logs.conn.PublishMsg(&nats.Msg{Subject: s.to(now, f), Reply: acks, Data: f.data, Header: nats.Header{
				jetstream.MsgIDHeader: []string{f.id}, jetstream.ExpectedStreamHeader: []string{s.name},
			}})
		}
		select {
		case <-s.wake:
		case <-ticks.C:
			s.appender.expire(measure.Now())
			s.follower.tick(measure.Now())
			if n++; n%leaderEvery == 0 && s.follower.live.Load() {
				s.do(s.lookForLeader)
			}
		case <-s.logs.node.done:
			return
		}
	}
}

// work does jobs.
func (s *stream) work() {
	for {
		select {
		case job := <-s.jobs:
			job()
		case <-s.logs.node.done:
			return
		}
	}
}

// do makes work do a job, unless there is too much to do: then it is asked for again.
func (s *stream) do(job func()) {
	select {
	case s.jobs <- job:
	default:
	}
}

// takeFeed takes a message from the feed.
func (s *stream) takeFeed(m *nats.Msg) {
	if one, ok := messageOf(m); ok {
		s.follower.take(measure.Now(), one)
	}
}

// messageOf returns a message of the log.
func messageOf(m *nats.Msg) (message, bool) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return message{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	return message{seq: seq, at: at.UnixNano(), data: m.Data}, err == nil
}

// takeAck takes what NATS says of a batch. That it is stored is seen on the feed; this is
// for what the feed has lost, and for what is refused.
func (s *stream) takeAck(m *nats.Msg) {
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err == nil && ack.Error == nil:
		s.follower.reaches(ack.Seq)
	default: // nobody is there, or it is not the time
		s.appender.again(measure.Now(), refusedPause)
	}
}

// read makes stream a logWorld.
func (s *stream) read(from uint64) {
	s.do(func() {
		list := s.fetch(from)
		var state *logState
		if len(list) <= 1 || list[0].seq != from {
			state, _ = s.state() // without it the follower asks again
		}
		s.follower.filled(measure.Now(), from, list, state)
	})
}

// fetch returns messages of the log from this number on, as far as the replica that answers
// has them, and without a gap.
func (s *stream) fetch(from uint64) (list []message) {
	inbox := s.logs.reads.NewRespInbox()
	sub, err := s.logs.reads.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer func() { _ = sub.Unsubscribe() }()
	request := fmt.Sprintf(`{"seq":%d,"batch":%d,"max_bytes":%d}`, from, readMost, readBytes)
	if err := s.logs.reads.PublishRequest("$JS.API.DIRECT.GET."+s.name, inbox, []byte(request)); err != nil {
		return nil
	}
	for {
		m, err := sub.NextMsg(jsWithin)
		if err != nil || m.Header.Get("Status") != "" {
			return list // with a status that is the end
		}
		one, ok := messageOf(m)
		if !ok || len(list) > 0 && one.seq != list[len(list)-1].seq+1 {
			return list
		}
		list = append(list, one)
	}
}

// look makes stream a logWorld.
func (s *stream) look() {
	s.do(func() {
		if err := s.make(); err != nil {
			if !errors.Is(err, errFirst) {
				s.complain(err)
			}
			return
		}
		if state, err := s.state(); err == nil {
			s.follower.looked(measure.Now(), *state)
		}
	})
}

// complain logs what is wrong with the stream, each thing once.
func (s *stream) complain(err error) {
	if s.told[err.Error()] {
		return
	}
	s.told[err.Error()] = true
	s.logs.node.log.Warn("a log is not there; events of channels with a history cannot be published", "log", s.name, "error", err)
}

// state asks the leader how far the log goes.
func (s *stream) state() (*logState, error) {
	ctx, cancel := context.WithTimeout(context.Background(), jsWithin)
	defer cancel()
	js, err := jetstream.New(s.logs.reads)
	if err != nil {
		return nil, err
	}
	of, err := js.Stream(ctx, s.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // it has gone
		s.made = false
		if err = s.make(); err == nil {
			of, err = js.Stream(ctx, s.name)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := s.agrees(of); err != nil {
		s.complain(err)
		return nil, err
	}
	s.noteLeader(of)
	state := of.CachedInfo().State
	return &logState{state.FirstSeq, state.LastSeq}, nil
}

// lookForLeader finds out which server leads the stream.
func (s *stream) lookForLeader() {
	ctx, cancel := context.WithTimeout(context.Background(), jsWithin)
	defer cancel()
	js, err := jetstream.New(s.logs.reads)
	if err != nil {
		return
	}
	of, err := js.Stream(ctx, s.name)
	if err != nil {
		s.leader.Store(nil) // nobody says so
		return
	}
	s.noteLeader(of)
}

// noteLeader takes in which server leads the stream.
func (s *stream) noteLeader(of jetstream.Stream) {
	if c := of.CachedInfo().Cluster; c != nil {
		s.leader.Store(&c.Leader)
	}
}

// agrees returns an error if a stream has been made for another number of logs, or format.
func (s *stream) agrees(of jetstream.Stream) error {
	has := of.CachedInfo().Config.Metadata
	if format := has["rocket.format"]; format != logFormat {
		return fmt.Errorf("it has the format %q, and this version of Rocket has %q: stop all nodes, and delete it", format, logFormat)
	}
	if logs := has["rocket.logs"]; logs != strconv.Itoa(s.logs.config.Logs) {
		return fmt.Errorf("it has been made for %s logs, and this node has %d: give all nodes the same number", logs, s.logs.config.Logs)
	}
	return nil
}

// errFirst says that the first log of the hub, which decides how many there are, is not there
// yet.
var errFirst = errors.New("the first log of the hub is not there")

// make makes the stream, or changes its settings, unless that has been done. Only where the
// first log of the hub is for as many logs as this node has: others do not read more.
func (s *stream) make() error {
	if s.made {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), jsWithin)
	defer cancel()
	js, err := jetstream.New(s.logs.reads)
	if err != nil {
		return err
	}
	if s.number > 0 {
		switch of, err := js.Stream(ctx, s.first); {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return errFirst
		case err != nil:
			return err
		default:
			if err := s.agrees(of); err != nil {
				return err
			}
		}
	}
	want := s.config()
	of, err := js.Stream(ctx, s.name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		if _, err = js.CreateStream(ctx, want); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			err = nil // another node was faster
		}
	case err == nil:
		has := of.CachedInfo().Config
		if has.Metadata["rocket.logs"] == want.Metadata["rocket.logs"] &&
			(has.MaxAge != want.MaxAge || has.MaxBytes != want.MaxBytes || has.Replicas != want.Replicas) {
			_, err = js.UpdateStream(ctx, want)
		}
	}
	if s.made = err == nil; s.made {
		s.age.Store(int64(want.MaxAge))
	}
	return err
}

// renew changes the settings of the stream where the rules have changed.
func (s *stream) renew() {
	if age := s.age.Load(); age == 0 || age == int64(s.config().MaxAge) {
		return
	}
	s.do(func() {
		s.made = false
		if err := s.make(); err != nil && !s.told[err.Error()] { // it is tried again
			s.told[err.Error()] = true
			s.logs.node.log.Warn("what a log stores cannot be changed", "log", s.name, "error", err)
		}
	})
}

// copies returns within which time a batch may be stored twice: its sender tries for PublishTimeout, and so
// does a node that has collected it.
func (s *stream) copies() time.Duration {
	return max(doubleWithin, 2*s.logs.config.PublishTimeout+collectedFor)
}

// config returns the settings of the stream.
func (s *stream) config() jetstream.StreamConfig {
	keeping, c := s.hub.Keeping(), &s.logs.config
	return jetstream.StreamConfig{
		Name: s.name, Subjects: []string{s.in}, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		MaxAge: keeping.History + max(keeping.Keys, s.copies()) + slack, MaxBytes: c.MaxBytes, MaxMsgsPerSubject: -1,
		Duplicates: doubleWithin, AllowDirect: true, DenyDelete: true, DenyPurge: true,
		RePublish: &jetstream.RePublish{Source: s.in, Destination: s.feed},
		Metadata:  map[string]string{"rocket.logs": strconv.Itoa(c.Logs), "rocket.format": logFormat},
	}
}

// found makes stream a logWorld.
func (s *stream) found(b []byte, last uint64) {
	_ = s.logs.conn.PublishMsg(&nats.Msg{Subject: s.in, Data: b, Header: nats.Header{
		jetstream.ExpectedLastSeqHeader: []string{strconv.FormatUint(last, 10)}, jetstream.ExpectedStreamHeader: []string{s.name},
	}})
}

// place makes stream a logWorld. It waits for subscribers that cannot be served as fast as
// events come.
func (s *stream) place(p *placed, except *pubsub.Subscriber, at int64, silently bool) {
	if p.index == 0 || s.placed.at != at { // the clocks are read once for a message
		age, now := max(time.Since(time.Unix(0, at)), 0), measure.Now()
		if silently || age > time.Second {
			now -= min(age, placedLongAgo)
		}
		s.placed.at, s.placed.began = at, now
	}
	m := pubsub.Message{
		Channel: p.channel, Event: p.event, Data: p.data, User: string(p.user), Offset: p.offset, At: s.placed.began,
		Except: except, ExceptName: string(p.except),
	}
	for errors.Is(s.hub.Place(m, silently), hub.ErrOverloaded) {
		select {
		case <-time.After(retryAfter):
		case <-s.logs.node.done:
			return
		}
	}
}

// placedLongAgo is more than histories go back.
const placedLongAgo = 25 * time.Hour

// pass makes stream a logWorld.
func (s *stream) pass(offset uint64) { s.source.Pass(offset) }

// forget makes stream a logWorld.
func (s *stream) forget(offset uint64) { s.hub.Forget(&s.source, offset) }

// broke makes stream a logWorld.
func (s *stream) broke(why string) {
	s.logs.node.log.Warn("a log has lost events that were stored, or may have: subscribers are told in a new epoch, and positions of before are not recovered; "+
		"look whether directories or streams of NATS were deleted or put back, or a disk has failed", "log", s.name, "hub", s.hub.Name(), "epoch", s.source.Epoch(), "why", why)
}

// begin makes stream a logWorld.
func (s *stream) begin(epoch string, ended []pubsub.Position) {
	s.logs.node.log.Info("a log is followed", "log", s.name, "epoch", epoch)
	s.hub.Begin(&s.source, epoch, ended)
}
