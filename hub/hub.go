package hub

import (
	"cmp"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Hub is a name, a table of channels, and the rules for their use. Make it with
// New. Its methods may be called from any goroutine.
type Hub struct {
	name      string
	table     *pubsub.Hub
	presence  *presence.Table
	notices   *pubsub.Hub // of who comes and goes, with the same forms as the table
	settings  atomic.Pointer[settings]
	log       atomic.Pointer[slog.Logger] // with the name of the hub
	published atomic.Uint64               // events from Go
	limit     atomic.Int64                // of a message of a client, in bytes
	ruled     atomic.Bool                 // there are rules, or were
	reader    atomic.Pointer[reader]      // nil until a protocol keeps something
	broker    atomic.Pointer[Broker]      // nil if the hub is alone
	learners  sync.Map                    // Learner by kind of fact
	served    sync.Map                    // what answers other processes, by topic
	joining   atomic.Bool
	find      atomic.Pointer[func(name string) *Session]
	guests    guests
	sequencer atomic.Pointer[Sequencer] // nil if the hub gives events their order itself
	duplicate atomic.Uint64             // publishes from Go that were duplicates
	adding    sync.Mutex                // held while a form is added to both tables
	reserved  atomic.Pointer[func(channel []byte) bool]

	mu        sync.Mutex
	serverLog *slog.Logger // guarded by mu
	shared    map[any]any  // guarded by mu
}

// New returns a hub. The name stands in logs and statistics. It returns what is
// wrong with the Config.
func New(name string, c Config) (*Hub, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	h := &Hub{
		name: name, table: pubsub.NewHub(), presence: presence.NewTable(), notices: pubsub.NewHub(),
		serverLog: slog.Default(),
	}
	h.notices.KeepEvents() // of which there is one
	h.presence.Current = func(channel string) Presence {
		if rule, _ := h.settings.Load().rule(channel); rule != nil {
			return rule.Presence
		}
		return Presence{}
	}
	h.limit.Store(codec.DefaultMaxMessageSize)
	h.guests.hub = h
	h.LearnFacts(factPresence, &h.guests)
	h.Obey(c)
	return h, nil
}

// Name returns the name of the hub.
func (h *Hub) Name() string { return h.name }

// Config returns the settings in force, with the defaults filled in.
func (h *Hub) Config() Config { return h.settings.Load().Config }

// Obey replaces the settings, which must have passed Check. Sessions keep their
// access and subscriptions, except those that logged in with a secret that is
// gone: see Session.Revoked.
func (h *Hub) Obey(c Config) {
	next := c.withDefaults()
	if old := h.settings.Load(); old != nil {
		next.generation = old.generation + 1
	}
	h.table.SetPermanent(c.Channels...)
	h.settings.Store(next)
	h.obeyRules(next)
	h.guests.obey()
	h.SetLog(nil)
}

// obeyRules makes the channel table keep what the rules say. A hub that never had
// rules asks nothing of it.
func (h *Hub) obeyRules(s *settings) {
	h.table.LimitHistory(s.MaxHistoryBytes)
	h.table.RememberKeys(s.IdempotencyWindow, s.MaxIdempotencyKeys)
	if len(s.rules) == 0 && !h.ruled.Load() {
		return
	}
	h.ruled.Store(true)
	h.table.SetHistory(func(channel string) pubsub.History {
		if rule, _ := s.rule(channel); rule != nil {
			return rule.History.keeps()
		}
		return pubsub.History{}
	})
}

// Epoch returns what the offsets of the hub's channels belong to: it is drawn anew
// when the hub is made.
func (h *Hub) Epoch() string { return h.table.Epoch() }

// HistoryStats returns what the channels of the hub keep.
func (h *Hub) HistoryStats() pubsub.HistoryStats { return h.table.HistoryStats() }

// SetLog sets the log that the hub uses if its Config has none. If nil, the log
// stays what it was, slog.Default() at first.
func (h *Hub) SetLog(log *slog.Logger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if log != nil {
		h.serverLog = log
	}
	use := cmp.Or(h.settings.Load().Log, h.serverLog)
	h.log.Store(use.With("hub", h.name))
}

// Log returns where the hub logs, with its name as an attribute.
func (h *Hub) Log() *slog.Logger { return h.log.Load() }

// LimitMessages says how long a message of a client can be, in bytes: PublishJSON
// refuses what no client could publish.
func (h *Hub) LimitMessages(n int) { h.limit.Store(int64(n)) }

// Share returns what an earlier call with an equal key has returned, or what
// create returns. Protocols keep there what belongs to the hub and not to one of
// the paths at which it is served, such as the numbers of their forms.
func (h *Hub) Share(key any, create func() any) any {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.shared[key]
	if !ok {
		v = create()
		if h.shared == nil {
			h.shared = make(map[any]any)
		}
		h.shared[key] = v
	}
	return v
}

// Reserve says which channels a secret does not open, because a protocol asks for a
// right of its own: a session may use them by a token that names them, by a rule for
// them, or if its protocol has called Grant. f runs on any goroutine. If nil, there
// are none.
func (h *Hub) Reserve(f func(channel []byte) bool) {
	if f == nil {
		h.reserved.Store(nil)
		return
	}
	h.reserved.Store(&f)
}

// Reserved reports whether a secret does not open a channel.
func (h *Hub) Reserved(channel []byte) bool {
	f := h.reserved.Load()
	return f != nil && (*f)(channel)
}

// A ChannelNotice of a protocol tells its own clients something about a channel.
type ChannelNotice struct {
	Channel []byte
	Frame   []byte        // kept; not modified any more
	Forms   []pubsub.Form // it reaches the sessions that hear in one of these
	Except  *Session      // does not get it, nil for none
}

// Notify gives sessions that hear a channel a notice, in its place among the channel's
// events, as pubsub.Hub.Notify does.
func (h *Hub) Notify(n ChannelNotice) {
	notice := pubsub.Notice{Channel: n.Channel, Frame: n.Frame, Forms: n.Forms, At: measure.Now()}
	if n.Except != nil {
		notice.Except = &n.Except.subscriber
	}
	h.table.Notify(notice)
}

// AddForm registers a further way in which sessions hear events, as
// pubsub.Hub.AddForm does. They do not hear who comes and goes.
func (h *Hub) AddForm(e pubsub.Encoding) pubsub.Form {
	silent := func(pubsub.Message, []byte) []byte { return nil }
	return h.AddForms(e, pubsub.Encoding{Base: pubsub.Itself, Encode: silent})
}

// AddForms is AddForm for sessions that hear who comes and goes, too. Messages with
// such notices have a *presence.Notice as their Value, no data and no offset.
func (h *Hub) AddForms(events, notices pubsub.Encoding) pubsub.Form {
	h.adding.Lock()
	defer h.adding.Unlock()
	h.notices.AddForm(notices)
	return h.table.AddForm(events)
}

// FormsLeft returns how many more forms there is room for.
func (h *Hub) FormsLeft() int { return h.table.FormsLeft() }

// KeepEvents makes the names of events reach the event loops, which some policies
// for slow readers need.
func (h *Hub) KeepEvents() { h.table.KeepEvents() }

// Observe gives the hub an observer of its channels and memberships, as
// pubsub.Hub.Observe does. It must be called before the hub has sessions.
func (h *Hub) Observe(o pubsub.Observer) { h.table.Observe(o) }

// Channels returns the first n channels whose names begin with prefix, in that
// order, and how many such channels there are.
func (h *Hub) Channels(prefix string, order pubsub.Order, n int) (first []pubsub.ChannelStats, total int) {
	return h.table.Channels(prefix, order, n)
}

// Len returns how many channels there are.
func (h *Hub) Len() int { return h.table.Len() }

// Duplicates returns how many publishes of the program itself were not obeyed
// because their key had been used before.
func (h *Hub) Duplicates() uint64 { return h.duplicate.Load() }

// Published returns how many events the program itself has published.
func (h *Hub) Published() uint64 { return h.published.Load() }
