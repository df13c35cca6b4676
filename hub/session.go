package hub

import (
	"errors"
	"math"
	"net"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/pubsub"
)

// What access is needed for what.
const (
	reading = auth.ReadOnly
	writing = auth.ReadWrite
)

// A Session is the access and the subscriptions of one connection. It belongs
// to the event loop of the connection: its methods are called there only. Open
// begins it, Close ends it.
//
// There may be millions: a field added here is paid for each of them.
type Session struct {
	subscriber pubsub.Subscriber
	desk       *desk
	identity   *Identity // nil if OnConnect is not set or returned none
	generation uint32    // of the settings that access was granted by
	access     auth.Access
	writer     bool  // logged in with the secret for publishing, for whichever access
	failed     uint8 // logins
	limited    uint8 // commands in a row
}

// A Request is the opening handshake of a connection, as hooks see it. It is
// valid until the call that it was passed to returns.
type Request struct {
	*codec.Request
	RemoteAddr net.Addr // of the client
}

// An Identity is the user of a session.
type Identity struct {
	User string // "" for a user without a name
	Info any    // any value of the program, for Session.Identity

	// Lifetime is how long the session may last; then its connection is closed
	// with 4001. If zero, there is no limit. A negative one is over, as that of a
	// token may be that has just expired.
	Lifetime time.Duration
}

// A Client is what Open needs of the connection of a session.
type Client interface{ RemoteAddr() net.Addr }

// Open begins a session on the loop of w. The id names the connection in the
// loop's Deliver, form is the form in which it gets events, and r is its
// opening handshake, valid until Open returns. The error is that of
// Config.OnConnect, as a *codec.CloseError to close the connection with. The
// session has begun in either case, and Close must end it. now is the loop's
// time.
func (s *Session) Open(now time.Duration, w *Worker, h *Hub, id uint64, form pubsub.Form, r *codec.Request, c Client) error {
	s.desk = w.deskOf(h)
	s.desk.counts.Sessions++
	s.subscriber.Init(w.Shard, id)
	s.subscriber.SetForm(form)
	ask := h.settings.Load().OnConnect
	if ask == nil {
		return nil
	}
	who, err := ask(&Request{r, c.RemoteAddr()})
	if err != nil {
		return closeError(err)
	}
	s.identity = who
	if who != nil && who.Lifetime != 0 {
		w.expiries.add(s, now+min(who.Lifetime, math.MaxInt64-now))
	}
	return nil
}

// closeError returns the close code and reason for the error of a hook.
func closeError(err error) *codec.CloseError {
	var closed *codec.CloseError
	if errors.As(err, &closed) {
		return closed
	}
	return &codec.CloseError{Code: codec.StatusPolicyViolation, Reason: err.Error()}
}

// Close ends the session and its subscriptions.
func (s *Session) Close() {
	s.subscriber.Leave()
	s.desk.worker.forget(s)
	s.desk.counts.Sessions--
}

// Hub returns the hub of the session.
func (s *Session) Hub() *Hub { return s.desk.hub }

// HubSession returns s. A type that embeds a Session has this method too.
func (s *Session) HubSession() *Session { return s }

// Identity returns what Config.OnConnect has returned, nil if there is none.
func (s *Session) Identity() *Identity { return s.identity }

// Access returns what the session may do.
func (s *Session) Access() auth.Access { return s.access }

// Subscriptions returns how many channels the session hears.
func (s *Session) Subscriptions() int { return s.subscriber.Len() }

// Login grants access for a secret of the hub. A login that fails ends an
// earlier one, and counts for Exhausted.
func (s *Session) Login(access auth.Access, secret string) Result {
	rules := s.desk.hub.settings.Load()
	if !rules.Secrets.Allow(access, secret) {
		s.Logout()
		s.failed = max(s.failed, s.failed+1)
		return Result{Code: InvalidCredentials}
	}
	s.access, s.writer, s.generation = access, rules.Secrets.Writer(secret), rules.generation
	return Result{}
}

// Grant gives access without a secret, for a protocol that authenticates
// clients itself.
func (s *Session) Grant(access auth.Access) {
	s.access, s.writer = access, false
	s.generation = forGood
}

// forGood is the generation of access that no change of secrets revokes.
const forGood = 1<<32 - 1

// Exhausted reports whether Config.MaxFailedLogins logins of the session have
// failed, so that its connection is to be closed.
func (s *Session) Exhausted() bool {
	return int(s.failed) >= s.desk.hub.settings.Load().MaxFailedLogins
}

// Logout ends access and all subscriptions.
func (s *Session) Logout() {
	s.access, s.writer = auth.None, false
	s.subscriber.Leave()
}

// Subscribe makes the session hear a channel, which begins to exist if need be.
// The name is not kept.
func (s *Session) Subscribe(channel []byte) Result {
	h := s.desk.hub
	rules := h.settings.Load()
	switch {
	case s.access < reading:
		return Result{Code: AccessDenied}
	case len(channel) > rules.MaxChannelName || !codec.ValidChannelName(channel):
		return Result{Code: InvalidChannelName, Reason: rules.whyInvalid(channel)}
	case s.subscriber.Len() >= rules.MaxSubscriptions && !h.table.Subscribed(&s.subscriber, channel):
		return Result{Code: LimitExceeded}
	}
	if rules.OnSubscribe != nil {
		if r := refusal(rules.OnSubscribe(s, string(channel))); !r.OK() {
			return r
		}
	}
	switch _, err := h.table.Subscribe(rules.MaxChannels, &s.subscriber, channel); {
	case err == nil:
		return Result{}
	case errors.Is(err, pubsub.ErrFull):
		return Result{Code: LimitExceeded}
	default:
		return Result{Code: InternalError, Reason: err.Error()}
	}
}

// Hears reports whether the session hears a channel.
func (s *Session) Hears(channel []byte) bool {
	return s.subscriber.Len() > 0 && s.desk.hub.table.Subscribed(&s.subscriber, channel)
}

// Unsubscribe ends what Subscribe began, if anything.
func (s *Session) Unsubscribe(channel []byte) {
	s.desk.hub.table.Unsubscribe(&s.subscriber, channel)
}

// limitedMax is how many commands in a row may come too fast.
const limitedMax = 10

// TooFast reports whether a command, whose message has size bytes, comes faster
// than the hub allows. Such a command must not be obeyed. If last is true, so
// many commands in a row came too fast that the connection is to be closed. now
// is the loop's time.
func (s *Session) TooFast(now time.Duration, size int) (tooFast, last bool) {
	rules := s.desk.hub.settings.Load()
	if !rules.metered() {
		return false, false
	}
	if s.desk.worker.meter(s).Within(now, size, rules.CommandRate, rules.ByteRate) {
		s.limited = 0
		return false, false
	}
	s.limited++
	return true, s.limited >= limitedMax
}

// Revoked reports whether the session has logged in with a secret of old, the
// settings before the last Obey, that does not open its access any more.
func (s *Session) Revoked(old Config) bool {
	rules := s.desk.hub.settings.Load()
	secret := old.Secrets.ReadOnly
	if s.writer || s.access == auth.ReadWrite {
		secret = old.Secrets.ReadWrite
	}
	return s.generation < rules.generation && s.access != auth.None && !rules.Secrets.Allow(s.access, secret)
}
