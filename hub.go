package webrocket

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/protocol"
	"github.com/nu7hatch/webrocket/protocol/native"
)

// A Hub is a name, a table of channels, and the rules for their use. Several
// handlers can serve one, at several paths and in several protocols. Make it with
// NewHub, or let a HubHandler make one.
type Hub = hub.Hub

// HubConfig holds the settings of a Hub. The zero value works.
type HubConfig = hub.Config

// Broker connects hubs with those in other processes. Package cluster has one.
type Broker = hub.Broker

// Session is one connection in a hub: its access and its subscriptions.
type Session = hub.Session

// HubRequest is the opening handshake of a connection, as HubConfig.OnConnect sees
// it: a Request with the address of the client.
type HubRequest = hub.Request

// Identity is the user of a session, as HubConfig.OnConnect returns it.
type Identity = hub.Identity

// Rule says what holds for the channels whose names it matches.
type Rule = hub.Rule

// History says how many events of a channel are kept, and for how long.
type History = hub.History

// Position is a place in a channel with a history.
type Position = hub.Position

// HistoryQuery says which events of a channel are asked for.
type HistoryQuery = hub.HistoryQuery

// HistoryPage is a part of a channel's history.
type HistoryPage = hub.HistoryPage

// Presence says whether and how others see who is in a channel.
type Presence = hub.Presence

// Modes of Presence.
const (
	PresenceOff     = hub.PresenceOff     // others do not see it
	PresenceClients = hub.PresenceClients // each connection is a member
	PresenceUsers   = hub.PresenceUsers   // each user is one, however many connections they have
)

// PresencePage is a part of the list of those that are present in a channel.
type PresencePage = hub.PresencePage

// PresenceEntry is one of them.
type PresenceEntry = hub.PresenceEntry

// Ruling is what the rules of a hub say of one channel.
type Ruling = hub.Ruling

// Published is what became of an event that was published.
type Published = hub.Published

// Right says who may do something with a channel.
type Right = hub.Right

// The rights of a Rule.
const (
	ByDefault = hub.ByDefault
	Granted   = hub.Granted
	Owner     = hub.Owner
	Users     = hub.Users
	Nobody    = hub.Nobody
)

// Event is one event of a channel, as Hub.Subscribe passes it to a program.
type Event = hub.Event

// Subscription is a subscription of the program itself, made by Hub.Subscribe.
type Subscription = hub.Subscription

// Errors of Publish, History and Presence.
var (
	ErrNoPresence     = hub.ErrNoPresence
	ErrNoHistory      = hub.ErrNoHistory
	ErrNotRecovered   = hub.ErrNotRecovered
	ErrInvalidChannel = hub.ErrInvalidChannel
	ErrOverloaded     = hub.ErrOverloaded
	ErrUnavailable    = hub.ErrUnavailable
	ErrFull           = hub.ErrFull
	ErrInvalidEvent   = hub.ErrInvalidEvent
	ErrInvalidData    = hub.ErrInvalidData
	ErrTooLarge       = hub.ErrTooLarge
)

// Defaults of HubConfig.
const (
	DefaultMaxFailedLogins  = hub.DefaultMaxFailedLogins
	DefaultMaxSubscriptions = hub.DefaultMaxSubscriptions
)

// ErrNoHub says that there is no hub at a path.
var ErrNoHub = errors.New("webrocket: there is no hub")

// NewHub returns a hub for handlers to serve, or an error that says what is
// wrong with its settings. The name stands in logs and statistics; a server has
// one hub of each name.
func NewHub(name string, c HubConfig) (*Hub, error) { return hub.New(name, c) }

// Hub returns the hub that is served at a path, which is written as in Handle, or
// nil if there is none. Any goroutine.
func (s *Server) Hub(path string) *Hub {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return hubOf(s.endpoints[path].Protocol)
}

// EverybodyMayPublish reports whether every client that connects to a path may publish to
// a channel, without a secret or token. It is false where the path is none of the native
// protocol: others have rights of their own. Any goroutine.
func (s *Server) EverybodyMayPublish(path, channel string) bool {
	p := s.nativeAt(path)
	return p != nil && p.Hub().EverybodyMayPublish(channel)
}

// IsNative reports whether clients that connect to a path speak the native protocol. Any
// goroutine.
func (s *Server) IsNative(path string) bool { return s.nativeAt(path) != nil }

// nativeAt returns the native protocol that is spoken at a path, nil if it is not.
func (s *Server) nativeAt(path string) *native.Protocol {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, _ := s.endpoints[path].Protocol.(*native.Protocol)
	return p
}

// hub returns the hub that is served at a path or has that name.
func (s *Server) hub(path string) (*Hub, error) {
	if h := s.Hub(path); h != nil {
		return h, nil
	}
	for _, h := range s.hubs() {
		if h.Name() == path {
			return h, nil
		}
	}
	return nil, fmt.Errorf("%w at %q", ErrNoHub, path)
}

// hubs returns the hubs, sorted by name.
func (s *Server) hubs() []*Hub {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []*Hub
	for _, e := range s.endpoints {
		if h := hubOf(e.Protocol); h != nil && !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b *Hub) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// setUpHubs gives the hubs of endpoints a log and the broker, and what they need to know
// of the endpoints. At one of the paths of a hub a client can publish the largest message.
func (s *Server) setUpHubs(endpoints map[string]Endpoint) {
	largest := make(map[*Hub]int)
	for _, e := range endpoints {
		if h := hubOf(e.Protocol); h != nil {
			largest[h] = max(largest[h], e.MessageLimit())
		}
	}
	for h, n := range largest {
		h.LimitMessages(n)
		h.SetLog(s.log())
		if s.Broker != nil {
			h.Join(s.Broker)
		}
	}
	native.SetThresholds(endpoints)
}

// keepEvents makes hubs keep the names of events if an endpoint needs them to
// conflate events.
func keepEvents(endpoints map[string]Endpoint) {
	for _, e := range endpoints {
		if h := hubOf(e.Protocol); h != nil && e.SlowReaders == Conflate {
			h.KeepEvents()
		}
	}
}

// Publish sends an event to the subscribers of a channel of the hub at path, as
// Hub.Publish does. It returns ErrNoHub if there is none.
func (s *Server) Publish(path, channel, event string, data any) error {
	h, err := s.hub(path)
	if err != nil {
		return err
	}
	return h.Publish(channel, event, data)
}

// PublishJSON is Publish for data that is JSON already, as Hub.PublishJSON is.
func (s *Server) PublishJSON(path, channel, event string, data []byte) error {
	h, err := s.hub(path)
	if err != nil {
		return err
	}
	return h.PublishJSON(channel, event, data)
}

// PublishKeyed publishes an event once for a key, as Hub.PublishKeyed does. It
// returns ErrNoHub if there is no hub at path.
func (s *Server) PublishKeyed(path, channel, event string, data []byte, key string) (Published, error) {
	h, err := s.hub(path)
	if err != nil {
		return Published{}, err
	}
	return h.PublishKeyed(channel, event, data, key)
}

// History returns what a channel of the hub at path keeps, as Hub.History does. It
// returns ErrNoHub if there is none.
func (s *Server) History(path, channel string, q HistoryQuery) (HistoryPage, error) {
	h, err := s.hub(path)
	if err != nil {
		return HistoryPage{}, err
	}
	return h.History(channel, q)
}

// Presence returns who is present in a channel of the hub at path, as Hub.Presence
// does. It returns ErrNoHub if there is none.
func (s *Server) Presence(path, channel string, after uint64, limit int) (PresencePage, error) {
	h, err := s.hub(path)
	if err != nil {
		return PresencePage{}, err
	}
	return h.Presence(channel, after, limit)
}

// newWorker makes what works for the hubs on a loop. The first loop looks after
// their histories.
func (s *Server) newWorker(l *engine.Loop) engine.Worker {
	w := protocol.NewWorker(l)
	if l.Index() == 0 {
		w.Sweep(s.hubs())
	}
	return w
}
