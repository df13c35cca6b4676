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
	User   string // those of a user
	Client string // that of the connection which the reply to its auth calls so
}

// ErrBadSessions says that not one of the fields of Sessions is set, or both are.
var ErrBadSessions = errors.New("webrocket: want either a user or a client")

// ErrBadChannelName says that no channel can have a name.
var ErrBadChannelName = errors.New("webrocket: not the name of a channel")

// SubscribeSessions subscribes the sessions of a hub that are open now to a channel, whatever
// their rights. It returns how many hear it now, and how many do not, because of a limit or
// HubConfig.OnSubscribe. Their clients are told, and may unsubscribe. The event loops are asked
// in slices, so that they serve their clients in between. It returns ErrNoHub, ErrBadSessions,
// ErrBadChannelName, or ErrNoConnection if there is no such client. Any goroutine but a loop's.
func (s *Server) SubscribeSessions(ctx context.Context, path string, who Sessions, channel string) (hear, refused int, err error) {
	if !codec.ValidChannelName([]byte(channel)) {
		return 0, 0, fmt.Errorf("%w: %q", ErrBadChannelName, channel)
	}
	err = s.eachOf(ctx, path, who, func(m *hub.Session) {
		if m.Give(channel).OK() {
			hear++
		} else {
			refused++
		}
	})
	return hear, refused, err
}

// UnsubscribeSessions ends the subscriptions of such sessions to a channel, whoever began
// them, and returns how many it has ended. Their clients are told; their rights stay. Errors
// are as for SubscribeSessions. Any goroutine but a loop's.
func (s *Server) UnsubscribeSessions(ctx context.Context, path string, who Sessions, channel string) (ended int, err error) {
	err = s.eachOf(ctx, path, who, func(m *hub.Session) {
		if m.Take(channel) {
			ended++
		}
	})
	return ended, err
}

// eachOf calls do for each of the sessions, one after another, each on its loop.
func (s *Server) eachOf(ctx context.Context, path string, who Sessions, do func(*hub.Session)) error {
	h, err := s.hub(path)
	if err != nil {
		return err
	}
	if (who.User == "") == (who.Client == "") {
		return ErrBadSessions
	}
	found := false
	e := s.running()
	for loop := 0; e != nil && loop < len(e.Loops()); loop++ {
		for place, more := 0, true; more; {
			err := e.On(ctx, loop, func(l *engine.Loop) {
				place, more = l.Slice(place, func(c *Conn) bool {
					if m := protocol.SessionOf(c); m != nil && m.Hub() == h && who.include(c, m) {
						found = true
						do(m)
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
func (who Sessions) include(c *Conn, m *hub.Session) bool {
	if who.User != "" {
		return m.User() == who.User
	}
	return protocol.ClientID(c) == who.Client
}
