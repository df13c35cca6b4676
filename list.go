package webrocket

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/protocol"
)

// ConnQuery says which connections ListConnections returns.
type ConnQuery struct {
	Hub     string // the path that they were opened for, or the name of a hub; if empty, any
	Channel string // of Hub, that they subscribe to; if empty, any or none
	After   string // what the call for the page before returned as next; if empty, the first page
	Limit   int    // the most that are returned; if zero, 100
}

// defaultPage is the Limit of a ConnQuery without one.
const defaultPage = 100

// ErrBadCursor says that After is not what an earlier ListConnections returned.
var ErrBadCursor = errors.New("webrocket: not a place in the list of connections")

// ListConnections returns one page of the open connections, and next for the page
// after it, which is "" after the last. The order has no meaning. A walk over all
// pages returns every connection that is open all the while exactly once.
//
// The event loops are asked in slices of 512 connections, and serve their clients
// in between. If ctx ends first, the page has what was found until then: it may be
// shorter than the limit, and even empty, while next is not "". It returns ErrNoHub
// if nothing is served at Hub, or Channel is set and there is no hub.
// Any goroutine but a loop's.
func (s *Server) ListConnections(ctx context.Context, q ConnQuery) (page []ConnStats, next string, err error) {
	wanted, err := s.wanted(q)
	if err != nil {
		return nil, "", err
	}
	at, err := parseCursor(q.After)
	e := s.running()
	if err != nil || e == nil {
		return nil, "", err
	}
	if q.Limit <= 0 {
		q.Limit = defaultPage
	}
	for asked := 0; at.loop < len(e.Loops()) && len(page) < q.Limit; asked++ {
		more := false
		err := e.On(ctx, at.loop, func(l *engine.Loop) {
			at.place, more = l.Slice(at.place, func(c *Conn) bool {
				if wanted(c) {
					page = append(page, connStats(c))
				}
				return len(page) < q.Limit
			})
		})
		if err != nil && asked > 0 && ctx.Err() != nil {
			break // what has been found is a page
		}
		if err != nil {
			return nil, "", err
		}
		if !more {
			at = cursor{at.loop + 1, 0}
		}
	}
	if at.loop >= len(e.Loops()) {
		return page, "", nil
	}
	return page, at.String(), nil
}

// wanted returns a function that reports, on a connection's loop, whether the
// connection matches a query.
func (s *Server) wanted(q ConnQuery) (func(*Conn) bool, error) {
	if q.Channel != "" {
		h, err := s.hub(q.Hub)
		if err != nil {
			return nil, err
		}
		return func(c *Conn) bool { return hears(c, h, q.Channel) }, nil
	}
	if q.Hub == "" {
		return func(*Conn) bool { return true }, nil
	}
	s.mu.RLock()
	_, served := s.endpoints[q.Hub]
	s.mu.RUnlock()
	if served {
		return func(c *Conn) bool { return c.Path() == q.Hub }, nil
	}
	h, err := s.hub(q.Hub) // by its name
	return func(c *Conn) bool { m := protocol.SessionOf(c); return m != nil && m.Hub() == h }, err
}

// hears reports whether a connection subscribes to a channel of the hub. Loop of c
// only.
func hears(c *Conn, h *Hub, channel string) bool {
	s := protocol.SessionOf(c)
	return s != nil && s.Hub() == h && s.Hears([]byte(channel))
}

// A cursor is a place in the list of connections: a loop, and a place in its table.
type cursor struct{ loop, place int }

func (c cursor) String() string { return fmt.Sprintf("%d-%d", c.loop, c.place) }

func parseCursor(text string) (c cursor, err error) {
	if text == "" {
		return cursor{}, nil
	}
	loop, place, _ := strings.Cut(text, "-")
	if c.loop, err = strconv.Atoi(loop); err == nil {
		c.place, err = strconv.Atoi(place)
	}
	if err != nil || c.loop < 0 || c.place < 0 {
		return cursor{}, fmt.Errorf("%w: %q", ErrBadCursor, text)
	}
	return c, nil
}
