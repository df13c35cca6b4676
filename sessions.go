package webrocket

import (
	"context"
	"errors"
	"fmt"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
)

// Sessions says which sessions of a hub are meant. One of its fields is set.
type Sessions struct {
	User   string `json:",omitempty"` // those of a user
	Client string `json:",omitempty"` // that of the connection which the reply to its auth calls so
}

// ErrBadSessions says that not one of the fields of Sessions is set, or both are.
var ErrBadSessions = errors.New("webrocket: want either a user or a client")

// ErrBadChannelName says that no channel can have a name.
var ErrBadChannelName = errors.New("webrocket: not the name of a channel")

// SubscribeSessions subscribes the sessions of a hub that are open now to a channel, whatever
// their rights, on all nodes of a cluster. What it has Done says how many hear it now, and how
// many do not, because of a limit or HubConfig.OnSubscribe. Their clients are told, and may
// unsubscribe. The event loops are asked in slices, so that they serve their clients in
// between. It returns ErrNoHub, ErrBadSessions, ErrBadChannelName, ErrNoConnection if there
// is no such client, or ErrNoAnswer. Any goroutine but a loop's.
func (s *Server) SubscribeSessions(ctx context.Context, path string, who Sessions, channel string) (Done, error) {
	if !codec.ValidChannelName([]byte(channel)) {
		return Done{}, fmt.Errorf("%w: %q", ErrBadChannelName, channel)
	}
	return s.toSessions(ctx, path, who, &order{Do: "subscribe", Channel: channel})
}

func (s *Server) subscribeHere(ctx context.Context, o *order) (done outcome, err error) {
	err = s.eachOf(ctx, o, func(_ *Conn, m *hub.Session) {
		if m.Give(o.Channel).OK() {
			done.Count++
		} else {
			done.Refused++
		}
	})
	return done, err
}

// UnsubscribeSessions ends the subscriptions of such sessions to a channel, whoever began
// them, and says how many it has ended. Their clients are told; their rights stay. Errors
// are as for SubscribeSessions. Any goroutine but a loop's.
func (s *Server) UnsubscribeSessions(ctx context.Context, path string, who Sessions, channel string) (Done, error) {
	return s.toSessions(ctx, path, who, &order{Do: "unsubscribe", Channel: channel})
}

func (s *Server) unsubscribeHere(ctx context.Context, o *order) (done outcome, err error) {
	err = s.eachOf(ctx, o, func(_ *Conn, m *hub.Session) {
		if m.Take(o.Channel) {
			done.Count++
		}
	})
	return done, err
}

// DisconnectSessions closes the connections of such sessions with a code (RFC 6455 §7.4) and
// a reason of at most 123 bytes, on all nodes of a cluster, and says how many it has closed.
// Errors are as for SubscribeSessions. Any goroutine but a loop's.
func (s *Server) DisconnectSessions(ctx context.Context, path string, who Sessions, code uint16, reason string) (Done, error) {
	return s.toSessions(ctx, path, who, &order{Do: "disconnect", Code: code, Reason: reason})
}

// toSessions does something to sessions on all nodes.
func (s *Server) toSessions(ctx context.Context, path string, who Sessions, o *order) (Done, error) {
	h, err := s.hub(path)
	if err != nil {
		return Done{}, err
	}
	if (who.User == "") == (who.Client == "") {
		return Done{}, ErrBadSessions
	}
	o.Hub, o.Who = h.Name(), &who
	return s.everywhere(ctx, o, 0)
}

// eachOf calls do for each of the sessions here that are meant, one after another, each on
// its loop.
func (s *Server) eachOf(ctx context.Context, o *order, do func(*Conn, *hub.Session)) error {
	h, err := s.hub(o.Hub)
	if err != nil {
		return err
	}
	who, found := o.Who, false
	e := s.running()
	for loop := 0; e != nil && loop < len(e.Loops()); loop++ {
		for place, more := 0, true; more; {
			err := e.On(ctx, loop, func(l *engine.Loop) {
				place, more = l.Slice(place, func(c *Conn) bool {
					if m := protocol.SessionOf(c); m != nil && m.Hub() == h && who.include(c, m) {
						found = true
						do(c, m)
					}
					return true
				})
			})
			if err != nil {
				return err
			}
		}
	}
	if who.Client != "" && !found {
		return ErrNoConnection
	}
	return nil
}

// include reports whether a session is meant.
func (who *Sessions) include(c *Conn, m *hub.Session) bool {
	if who.User != "" {
		return m.User() == who.User
	}
	return protocol.ClientID(c) == who.Client
}
