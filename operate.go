package webrocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/measure"
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

// Hubs returns the paths of the hubs, sorted.
func (s *Server) Hubs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.hubs))
}

// Channels returns the first n channels of the hub at path whose names begin
// with prefix, and how many there are in all.
func (s *Server) Channels(path, prefix string, order pubsub.Order, n int) (first []pubsub.ChannelStats, total int, err error) {
	h, err := s.hub(path)
	if err != nil {
		return nil, 0, err
	}
	first, total = h.rules.Load().hub.Channels(prefix, order, n)
	return first, total, nil
}

// ConnStats is what is known of a connection.
type ConnStats struct {
	ID          string // for Disconnect and Watch; it does not come again while the server runs
	Loop        int
	Hub         string // the path
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
		ID: connID(c), Loop: c.Loop().Index(), Hub: c.Path(), Address: address(c), Subprotocol: c.Subprotocol(),
		QueuedBytes: bytes, Queued: frames,
	}
	if s, ok := c.Value().(*session); ok {
		stats.Channels = s.subscriber.Len()
	}
	return stats
}

// address returns where the other side is, "" if that is not known any more.
func address(c *Conn) string {
	if a := c.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// connID names a connection: its loop, its number there, by which it is found and
// which comes again, its serial number, which does not, and for the reader its
// address.
func connID(c *Conn) string {
	return fmt.Sprintf("%d-%x-%d@%s", c.Loop().Index(), c.ID(), c.Serial(), address(c))
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
// most 123 bytes, or returns ErrNoConnection. Any goroutine but a loop's.
func (s *Server) Disconnect(ctx context.Context, id string, code uint16, reason string) error {
	return s.find(ctx, id, func(c *Conn) { c.Close(code, reason) })
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
		if c := l.Conn(number); c != nil && connID(c) == id {
			found = true
			do(c)
		}
	})
	if err == nil && !found {
		return ErrNoConnection
	}
	return err
}

// DisconnectChannel closes the connections of all subscribers of a channel, and
// returns how many it has closed. Each loop closes 512 at a time, and serves its
// other clients in between. Any goroutine but a loop's.
func (s *Server) DisconnectChannel(ctx context.Context, path, channel string, code uint16, reason string) (int, error) {
	h, err := s.hub(path)
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
		loops.Go(func() { closed[i], errs[i] = h.disconnect(ctx, e, i, channel, code, reason) })
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

// disconnect is DisconnectChannel for one loop.
func (h *HubHandler) disconnect(ctx context.Context, e *engine.Engine, loop int, channel string, code uint16, reason string) (closed int, err error) {
	var members []uint64
	err = e.On(ctx, loop, func(l *engine.Loop) {
		members = h.rules.Load().hub.Members(l.Worker().(*worker).Shard, []byte(channel))
	})
	for err == nil && len(members) > 0 {
		some := members[:min(closeMax, len(members))]
		members = members[len(some):]
		err = e.On(ctx, loop, func(l *engine.Loop) {
			for _, id := range some {
				// The number may be another connection's by now.
				if c := l.Conn(id); c != nil && h.hears(c, channel) {
					c.Close(code, reason)
					closed++
				}
			}
		})
	}
	return closed, err
}

// Watch asks for log records about a sample of the commands of one connection
// or one channel: what they were and how they ended, never their data.
type Watch struct {
	Hub        string        // the path; with Channel
	Channel    string        // whose commands are logged; or
	Connection string        // the ID of the one whose commands are logged
	Every      int           // 1 of so many is logged; if zero, all
	For        time.Duration // how long; 0 ends what is being logged
}

// Watch begins to log, in place of what an earlier call has asked for. It returns
// ErrNoHub or ErrNoConnection if there is nothing to watch, and then that goes on.
// Any goroutine but a loop's.
func (s *Server) Watch(ctx context.Context, ask Watch) error {
	h, err := s.watched(ctx, ask)
	e := s.running()
	if err != nil || e == nil {
		return err
	}
	until := measure.Now() + ask.For
	return e.Each(ctx, func(l *engine.Loop) {
		w := l.Worker().(*worker)
		w.watch = nil
		if ask.For > 0 {
			w.watch = &watch{Watch: ask, hub: h, until: until}
		}
	})
}

// watched returns the hub of the channel that is asked for, if it is one.
func (s *Server) watched(ctx context.Context, ask Watch) (*HubHandler, error) {
	switch {
	case ask.Connection == "":
		return s.hub(ask.Hub)
	case ask.For <= 0:
		return nil, nil // what has been watched may be gone
	default:
		return nil, s.find(ctx, ask.Connection, func(*Conn) {})
	}
}

// watch is what one loop looks out for.
type watch struct {
	Watch
	hub   *HubHandler
	until time.Duration
	seen  int
}

// look logs a command if it is one that somebody wants to see.
func (w *worker) look(h *HubHandler, c *Conn, cmd *codec.Command, result code, size int) {
	if measure.Now() >= w.watch.until {
		w.watch = nil
		return
	}
	if !w.watch.wants(h, c, cmd) {
		return
	}
	h.rules.Load().log.Info("a watched command", "connection", connID(c), "command", cmd.Kind.String(),
		"channel", string(cmd.Channel), "event", string(cmd.Event), "bytes", size,
		"result", cmp.Or(result.String(), "ok"))
}

// wants tells whether a command is in the sample.
func (w *watch) wants(h *HubHandler, c *Conn, cmd *codec.Command) bool {
	if w.Connection != "" {
		if connID(c) != w.Connection {
			return false
		}
	} else if h != w.hub || string(cmd.Channel) != w.Channel {
		return false
	}
	w.seen++
	return (w.seen-1)%max(w.Every, 1) == 0
}
