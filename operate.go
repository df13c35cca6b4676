package webrocket

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/pubsub"
)

// ErrNoConnection says that there is no connection of that ID.
var ErrNoConnection = errors.New("webrocket: there is no such connection")

// Check returns nil if every event loop answers before ctx is done, otherwise
// an error that names one that does not. Any goroutine but a loop's.
func (s *Server) Check(ctx context.Context) error {
	if e := s.running(); e != nil {
		return e.Each(ctx, func(*engine.Loop) {})
	}
	return errors.New("webrocket: the server has not started")
}

// Hubs returns the names of the hubs, sorted.
func (s *Server) Hubs() []string {
	var names []string
	for _, h := range s.hubs() {
		names = append(names, h.Name())
	}
	return names
}

// Channels returns the first n channels of the hub at path whose names begin
// with prefix, and how many there are in all.
func (s *Server) Channels(path, prefix string, order pubsub.Order, n int) (first []pubsub.ChannelStats, total int, err error) {
	h, err := s.hub(path)
	if err != nil {
		return nil, 0, err
	}
	first, total = h.Channels(prefix, order, n)
	return first, total, nil
}

// Patterns is Channels for the patterns that somebody hears.
func (s *Server) Patterns(path, prefix string, order pubsub.Order, n int) (first []pubsub.ChannelStats, total int, err error) {
	h, err := s.hub(path)
	if err != nil {
		return nil, 0, err
	}
	first, total = h.Patterns(prefix, order, n)
	return first, total, nil
}

// ConnStats describes an open connection.
type ConnStats struct {
	ID          string // for Disconnect and Watch; it does not come again while the server runs
	Loop        int
	Hub         string // its name, or the path where there is no hub
	Address     string // of the other side
	Subprotocol string // that the handshake selected, "" if none
	QueuedBytes int    // that wait to be written
	Queued      int    // frames that these are
	Channels    int    // that it hears
}

// Slowest returns the n connections for which most waits to be written, most
// first, or fewer if nothing waits for the others. Any goroutine but a loop's.
func (s *Server) Slowest(ctx context.Context, n int) ([]ConnStats, error) {
	e := s.running()
	if e == nil {
		return nil, nil
	}
	loops := make([][]ConnStats, len(e.Loops()))
	err := e.Each(ctx, func(l *engine.Loop) {
		for _, c := range l.Slowest(n) {
			loops[l.Index()] = append(loops[l.Index()], connStats(c))
		}
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(loops...)
	slices.SortFunc(all, func(a, b ConnStats) int {
		return cmp.Or(b.QueuedBytes-a.QueuedBytes, strings.Compare(a.ID, b.ID))
	})
	return all[:min(n, len(all))], nil
}

func connStats(c *Conn) ConnStats {
	frames, bytes := c.Queued()
	stats := ConnStats{
		ID: protocol.Name(c), Loop: c.Loop().Index(), Hub: c.Path(), Address: protocol.Address(c.RemoteAddr()),
		Subprotocol: c.Subprotocol(),
		QueuedBytes: bytes, Queued: frames,
	}
	if s := protocol.SessionOf(c); s != nil {
		stats.Hub, stats.Channels = s.Hub().Name(), s.Subscriptions()
	}
	return stats
}

// parseConnID returns the loop and the number that an ID names.
func parseConnID(id string) (loop int, number uint64, err error) {
	head, _, _ := strings.Cut(id, "@")
	parts := strings.Split(head, "-")
	if len(parts) != 3 {
		return 0, 0, ErrNoConnection
	}
	loop, err = strconv.Atoi(parts[0])
	if err == nil {
		number, err = strconv.ParseUint(parts[1], 16, 64)
	}
	if err != nil {
		return 0, 0, ErrNoConnection
	}
	return loop, number, nil
}

// Disconnect closes a connection with a code (RFC 6455 §7.4) and a reason of at
// most 123 bytes, whichever node of a cluster it is at, or returns ErrNoConnection, or
// ErrNoAnswer. Any goroutine but a loop's.
func (s *Server) Disconnect(ctx context.Context, id string, code uint16, reason string) error {
	_, err := s.everywhere(ctx, &order{Do: "disconnect", Connection: id, Code: code, Reason: reason}, 0)
	return err
}

// disconnectHere closes connections of this node: one, those of sessions, or those of the
// subscribers of a channel.
func (s *Server) disconnectHere(ctx context.Context, o *order) (done outcome, err error) {
	count := func(c *Conn) {
		c.Close(o.Code, o.Reason)
		done.Count++
	}
	switch {
	case o.Connection != "":
		err = s.find(ctx, o.Connection, count)
	case o.Who != nil:
		err = s.eachOf(ctx, o, func(c *Conn, _ *hub.Session) { count(c) })
	default:
		done.Count, err = s.disconnectChannel(ctx, o)
	}
	return done, err
}

// find calls do with a connection, on its loop, or returns ErrNoConnection.
func (s *Server) find(ctx context.Context, id string, do func(*Conn)) error {
	loop, number, err := parseConnID(id)
	e := s.running()
	if err != nil || e == nil {
		return ErrNoConnection
	}
	if loop < 0 || loop >= len(e.Loops()) {
		return ErrNoConnection
	}
	found := false
	err = e.On(ctx, loop, func(l *engine.Loop) {
		if c := l.Conn(number); c != nil && protocol.Name(c) == id {
			found = true
			do(c)
		}
	})
	if err == nil && !found {
		return ErrNoConnection
	}
	return err
}

// DisconnectChannel closes the connections of all subscribers of a channel, on all nodes of
// a cluster, and says how many it has closed. Each loop closes 512 at a time, and serves its
// other clients in between. Any goroutine but a loop's.
func (s *Server) DisconnectChannel(ctx context.Context, path, channel string, code uint16, reason string) (Done, error) {
	h, err := s.hub(path)
	if err != nil {
		return Done{}, err
	}
	return s.everywhere(ctx, &order{Do: "disconnect", Hub: h.Name(), Channel: channel, Code: code, Reason: reason}, 0)
}

// disconnectChannel is DisconnectChannel for this node.
func (s *Server) disconnectChannel(ctx context.Context, o *order) (int, error) {
	h, err := s.hub(o.Hub)
	if err != nil {
		return 0, err
	}
	e := s.running()
	if e == nil {
		return 0, nil
	}
	closed, errs := make([]int, len(e.Loops())), make([]error, len(e.Loops()))
	var loops sync.WaitGroup
	for i := range e.Loops() {
		loops.Go(func() { closed[i], errs[i] = disconnect(ctx, e, i, h, o) })
	}
	loops.Wait()
	n := 0
	for i := range closed {
		n += closed[i]
		err = cmp.Or(err, errs[i])
	}
	return n, err
}

// closeMax is how many connections a loop closes at a time.
const closeMax = 512

// disconnect is disconnectChannel for one loop.
func disconnect(ctx context.Context, e *engine.Engine, loop int, h *Hub, o *order) (closed int, err error) {
	var members []uint64
	err = e.On(ctx, loop, func(l *engine.Loop) {
		members = protocol.WorkerOf(l).Members(h, o.Channel)
	})
	for err == nil && len(members) > 0 {
		some := members[:min(closeMax, len(members))]
		members = members[len(some):]
		err = e.On(ctx, loop, func(l *engine.Loop) {
			for _, id := range some {
				// The number may be another connection's by now.
				if c := l.Conn(id); c != nil && hears(c, h, o.Channel) {
					c.Close(o.Code, o.Reason)
					closed++
				}
			}
		})
	}
	return closed, err
}

// Watch asks for log records about a sample of the commands of one connection
// or one channel: which commands came and how they ended, never their data.
type Watch struct {
	Hub        string        // the path; with Channel
	Channel    string        // whose commands are logged; or
	Connection string        // the ID of the connection whose commands are logged
	Every      int           // 1 of so many is logged; if zero, all
	For        time.Duration // how long; 0 ends what is being logged
}

// Watch begins to log, and ends what an earlier call has begun. If the hub or
// the connection does not exist, it returns ErrNoHub or ErrNoConnection, and
// the earlier call stays in force. Any goroutine but a loop's.
func (s *Server) Watch(ctx context.Context, ask Watch) error {
	watch := &hub.Watch{Channel: ask.Channel, Every: ask.Every, Until: measure.Now() + ask.For}
	switch {
	case ask.For <= 0: // what has been watched may be gone
		watch = nil
	case ask.Connection != "":
		return s.watchConnection(ctx, ask.Connection, watch)
	}
	h, err := s.hub(ask.Hub)
	if err != nil && ask.Connection == "" {
		return err
	}
	if watch != nil {
		watch.Hub = h
	}
	return s.watch(ctx, watch)
}

// watchConnection watches one connection.
func (s *Server) watchConnection(ctx context.Context, id string, watch *hub.Watch) error {
	err := s.find(ctx, id, func(c *Conn) { watch.Session = protocol.SessionOf(c) })
	if err != nil {
		return err
	}
	return s.watch(ctx, watch)
}

// watch makes every loop begin or end to watch.
func (s *Server) watch(ctx context.Context, watch *hub.Watch) error {
	e := s.running()
	if e == nil {
		return nil
	}
	return e.Each(ctx, func(l *engine.Loop) { protocol.WorkerOf(l).Watch(watch) })
}
