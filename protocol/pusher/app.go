package pusher

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
	"github.com/nu7hatch/webrocket/rate"
)

// An App serves a hub to clients of the Pusher protocol. It is an engine.Protocol and
// a protocol.Protocol. Make it with New. The methods of those interfaces run on event
// loops, all others on any goroutine.
type App struct {
	hub      *hub.Hub
	forms    *forms
	settings atomic.Pointer[settings]
	seed     maphash.Seed // of socket ids
	open     atomic.Int64 // connections that count for the quota

	channels channels
	cache    cache
	users    users
	conns    conns
	hooks    hooks
	repeats  repeats
	requests struct {
		mu     sync.Mutex
		bucket rate.Bucket // guarded by mu
	}
}

// New returns an application that serves a hub, or what is wrong with its settings. A
// hub serves one application at a time. The channels of the hub that are private by
// their names are reserved for it. Close ends what New begins.
func New(h *hub.Hub, c Config) (*App, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	a := &App{hub: h, seed: maphash.MakeSeed()}
	if a.forms = formsOf(h); a.forms == nil {
		return nil, fmt.Errorf("the hub %s has no room for the forms of another protocol", h.Name())
	}
	h.Reserve(reserved)
	a.hooks.app = a
	a.install(c)
	a.meetOthers()
	return a, nil
}

// Obey replaces the settings. Connections, subscriptions and what is cached stay. It
// returns what is wrong with them, and then changes nothing; the ID cannot change.
func (a *App) Obey(c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	if old := a.settings.Load(); c.ID != old.ID {
		return fmt.Errorf("the application %s cannot become %s", old.ID, c.ID)
	}
	a.install(c)
	return nil
}

// install puts settings in force that have passed Check.
func (a *App) install(c Config) {
	s := c.withDefaults()
	a.forms.threshold.Store(int64(s.CompressionThreshold))
	a.settings.Store(s)
	a.hooks.obey(s.Webhooks)
}

// Close ends the goroutines of the webhooks; what they have not delivered is lost, and
// logged.
func (a *App) Close() { a.hooks.close() }

// Hub makes App a protocol.Protocol.
func (a *App) Hub() *hub.Hub { return a.hub }

// Config returns the settings in force, with the defaults filled in.
func (a *App) Config() Config { return a.settings.Load().Config }

func (a *App) log() *slog.Logger {
	return cmp.Or(a.settings.Load().Log, a.hub.Log()).With("app", a.settings.Load().ID)
}

// Close codes. A client does not come back by itself after one from 4000 to 4099; it
// comes back after a second from 4100 on, and at once from 4200 on.
const (
	codeTLSOnly       = 4000
	codeNoApp         = 4001
	codeDisabled      = 4003
	codeOverQuota     = 4004
	codeBadVersion    = 4006
	codeOtherVersion  = 4007
	codeNoVersion     = 4008
	codeUnauthorized  = 4009
	codeOverCapacity  = 4100
	codeReconnect     = 4200
	codeNoPong        = 4201
	codeClientEvent   = 4301 // an error, no close code
	codeLongWatchlist = 4302 // an error, no close code
)

// Endpoint returns the endpoint for connections of the application, with the given
// limits and the close codes of the protocol. Origins are for Config: a page could not
// see why it is refused.
func (a *App) Endpoint(limits engine.Endpoint) *engine.Endpoint {
	e := endpoint(a, limits)
	return &e
}

func endpoint(p engine.Protocol, e engine.Endpoint) engine.Endpoint {
	e.Protocol = p
	e.Origins, e.Lost, e.SlowReaders = nil, nil, engine.Disconnect
	e.GoingAway = &codec.CloseError{Code: codeOverCapacity, Reason: "server is stopping"}
	e.Moving = &codec.CloseError{Code: codeReconnect, Reason: "server is stopping; reconnect"}
	e.SlowReader = &codec.CloseError{Code: codeOverCapacity, Reason: "reads too slowly"}
	e.Unfinished = &codec.CloseError{Code: codeOverCapacity, Reason: "a message did not end"}
	e.Silent = &codec.CloseError{Code: codeNoPong, Reason: "no answer to a ping"}
	return e
}

// forms are the two forms in which connections of a hub hear events.
type forms struct {
	plain, deflated pubsub.Form
	both            []pubsub.Form
	threshold       atomic.Int64 // bytes
}

type formsKey struct{}

// formsOf returns the forms of this protocol in a hub, nil if there is no room for
// them.
func formsOf(h *hub.Hub) *forms {
	return h.Share(formsKey{}, func() any {
		if h.FormsLeft() < 2 {
			return (*forms)(nil)
		}
		f := new(forms)
		f.plain = h.AddForm(pubsub.Encoding{Base: pubsub.Itself, Encode: func(m pubsub.Message, _ []byte) []byte {
			if m.Lost != 0 || ownEvent(m.Event) {
				return nil // there are no words for what is missing, and the server's own are its own
			}
			return finish(eventMessage(m.Event, m.Channel, m.Data, m.User))
		}})
		f.deflated = h.AddForm(pubsub.Encoding{Base: f.plain, Costly: true, Encode: func(_ pubsub.Message, base []byte) []byte {
			payload := codec.Payload(base)
			if int64(len(payload)) < f.threshold.Load() {
				return nil
			}
			return engine.Deflate(codec.OpText, payload)
		}})
		f.both = []pubsub.Form{f.plain, f.deflated}
		return f
	}).(*forms)
}

// A Socket id names a connection to the application: the number of the connection and
// its loop, by which it is found, and a number that nobody can guess, which is another
// one after a restart: a signature is for one connection.

// numberOf returns the number of a connection, which is unique while the process runs.
func numberOf(c *engine.Conn) uint64 { return c.Serial()<<8 | uint64(c.Loop().Index()) }

// digits is the largest number of 15 digits, which JavaScript has exactly.
const digits = 1_000_000_000_000_000

// socketIDMax is about the length of the longest socket id.
const socketIDMax = 31

// socketID returns the socket id of a connection.
func (a *App) socketID(number uint64) string { return string(a.appendSocketID(nil, number)) }

func (a *App) appendSocketID(dst []byte, number uint64) []byte {
	dst = append(strconv.AppendUint(dst, number, 10), '.')
	return strconv.AppendUint(dst, maphash.Comparable(a.seed, number)%digits, 10)
}

// session returns the session of the connection with a socket id, nil if there is
// none.
func (a *App) session(socketID string) *hub.Session {
	first, _, _ := strings.Cut(socketID, ".")
	number, err := strconv.ParseUint(first, 10, 64)
	if err != nil || a.socketID(number) != socketID {
		return nil
	}
	return a.conns.session(number)
}
