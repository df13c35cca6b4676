package hub

import (
	"cmp"
	"errors"
	"math"
	"net"
	"time"
	"unsafe"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/measure"
	"github.com/nu7hatch/webrocket/pubsub"
)

// An action is what a session needs a right for.
type action uint8

const (
	subscribing action = iota
	publishing
	readingHistory
	readingPresence
)

// may reports whether the session may do something with a channel.
func (s *Session) may(rules *settings, what action, channel []byte) bool {
	granted := s.access >= auth.ReadOnly
	if what == publishing {
		granted = s.access >= auth.ReadWrite
	}
	if granted && s.generation != forGood {
		granted = !s.desk.hub.Reserved(channel)
	}
	granted = granted || s.token().grants(what, channel)
	if len(rules.rules) == 0 {
		return granted
	}
	// A copy would be one for each publish. Nothing of the name is kept.
	rule, owner := rules.rule(unsafe.String(unsafe.SliceData(channel), len(channel)))
	if rule == nil || what == subscribing && s.token().forces(string(channel)) {
		return granted
	}
	if what == subscribing && rule.Force && owner == s.user() {
		return true
	}
	return rule.right(what).allows(granted, owner, s.user())
}

// user returns the name of the session's user, "" if it has none.
func (s *Session) user() string {
	if s.identity == nil {
		return ""
	}
	if t := s.identity.token; t != nil && t.grant != nil {
		return t.grant.User
	}
	return s.identity.User
}

// User returns the user of the session: that of its token, or that OnConnect has
// returned. It is "" if there is none.
func (s *Session) User() string { return s.user() }

// A Session is the access and the subscriptions of one connection. It belongs
// to the event loop of the connection: its methods are called there only. Open
// begins it, Close ends it.
//
// There may be millions: a field added here is paid for each of them.
type Session struct {
	subscriber pubsub.Subscriber
	desk       *desk
	identity   *Identity // nil if OnConnect is not set or returned none, and there is no token
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

	token *bearer // nil in what OnConnect returns
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
	s.departAll()
	s.subscriber.Leave()
	s.desk.worker.forget(s)
	s.desk.counts.Sessions--
}

// Hub returns the hub of the session.
func (s *Session) Hub() *Hub { return s.desk.hub }

// HubSession returns s. A type that embeds a Session has this method too.
func (s *Session) HubSession() *Session { return s }

// Identity returns what Config.OnConnect has returned, nil if there is none.
func (s *Session) Identity() *Identity {
	if t := s.token(); t != nil {
		return t.connected
	}
	return s.identity
}

// Access returns what the session may do by a secret.
func (s *Session) Access() auth.Access { return s.access }

// Subscriptions returns how many channels the session hears.
func (s *Session) Subscriptions() int { return s.subscriber.Len() }

// Channels returns the channels that the session hears, in no order.
func (s *Session) Channels() []string { return s.subscriber.Channels() }

// Login grants access for a secret of the hub. A login that fails ends an
// earlier one, and counts for Exhausted.
func (s *Session) Login(access auth.Access, secret string) Result {
	rules := s.desk.hub.settings.Load()
	if !rules.allow(access, secret) {
		s.Logout()
		s.failed = max(s.failed, s.failed+1)
		return Result{Code: InvalidCredentials}
	}
	s.access, s.writer, s.generation = access, rules.Secrets.Writer(secret), rules.generation
	if t := s.token(); t != nil {
		if t.grant != nil {
			s.endToken() // and those for channels, which are of its user
		}
		s.dropForbidden(rules, EndedByRights)
	}
	s.identify(EndedByRights, s.tellBehind)
	s.force(rules, nil)
	return Result{LoggedIn: true, Expires: -1}
}

// Grant gives access without a secret, for a protocol that authenticates
// clients itself, and itself looks after reserved channels.
func (s *Session) Grant(access auth.Access) {
	s.access, s.writer = access, false
	s.generation = forGood
	s.endToken()
	s.identify(EndedByRights, s.tellBehind)
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
	s.endToken()
	s.leave()
}

// Subscribe makes the session hear a channel, which begins to exist if need be.
// The name is not kept.
func (s *Session) Subscribe(channel []byte) Result {
	return s.SubscribeFrom(channel, Start{})
}

// A Start says how a subscription begins.
type Start struct {
	pubsub.Start

	// Presence says that the client wants to be told who comes and goes, where the
	// channel's rule has Presence. It needs the right to read that.
	Presence bool
}

// SubscribeFrom is Subscribe from a position on, where the channel has a history.
// The client must be told the result before anything else of the channel. The
// start's Now is by the clock of measure.Now.
func (s *Session) SubscribeFrom(channel []byte, start Start) Result {
	h := s.desk.hub
	rules := h.settings.Load()
	asks := start.Since.Epoch != "" || start.Rewind > 0
	switch {
	case !s.may(rules, subscribing, channel),
		asks && !s.may(rules, readingHistory, channel),
		start.Presence && !s.may(rules, readingPresence, channel):
		return Result{Code: AccessDenied}
	case len(channel) > rules.MaxChannelName || !codec.ValidChannelName(channel):
		return Result{Code: InvalidChannelName, Reason: rules.whyInvalid(channel)}
	case s.subscriber.Len() >= rules.MaxSubscriptions && !h.table.Subscribed(&s.subscriber, channel):
		return Result{Code: LimitExceeded}
	}
	if r := s.asked(rules, channel); !r.OK() {
		return r
	}
	if !asks && !start.Live && len(rules.rules) == 0 {
		_, err := h.table.Subscribe(rules.MaxChannels, &s.subscriber, channel)
		return subscribed(err)
	}
	was := h.table.Subscribed(&s.subscriber, channel)
	rule, _ := rules.rule(string(channel))
	if rule != nil && start.Rewind == 0 && (asks || !was) {
		start.Rewind = rule.Rewind // for who asks for nothing, and whose position is not recovered
		if start.Now == 0 {
			start.Now = measure.Now() // so that nothing that has expired is delivered
		}
	}
	begun, err := h.table.SubscribeFrom(rules.MaxChannels, &s.subscriber, channel, start.Start)
	if start.Since.Epoch != "" && (err == nil || errors.Is(err, pubsub.ErrNotRecovered)) {
		s.desk.counts.Recoveries[recoveryOf(begun)]++
	}
	r := subscribed(err)
	if r.Code == NotRecovered && was {
		s.Unsubscribe(channel) // so that what was granted for it is forgotten
	}
	if r.OK() {
		r.Presence = s.attend(rule, channel, start.Presence)
	}
	if begun.Epoch != "" || start.Since.Epoch != "" {
		r.Begun = &Begun{begun, start.Since.Epoch != ""}
		r.Reason = cmp.Or(r.Reason, string(begun.Reason))
	}
	return r
}

// asked returns how Config.OnSubscribe answers about a channel.
func (s *Session) asked(rules *settings, channel []byte) Result {
	if rules.OnSubscribe == nil {
		return Result{}
	}
	return refusal(rules.OnSubscribe(s, string(channel)))
}

// mayRead returns whether the session may read something of a channel, heard or not.
// OnSubscribe is asked too, since it protects all that the channel has.
func (s *Session) mayRead(rules *settings, what action, channel []byte) Result {
	if !s.may(rules, what, channel) {
		return Result{Code: AccessDenied}
	}
	return s.asked(rules, channel)
}

// subscribed is the result of a subscription.
func subscribed(err error) Result {
	switch {
	case err == nil:
		return Result{}
	case errors.Is(err, pubsub.ErrFull):
		return Result{Code: LimitExceeded}
	case errors.Is(err, pubsub.ErrNotRecovered):
		return Result{Code: NotRecovered}
	case errors.Is(err, pubsub.ErrOverlapping):
		return Result{Code: Overlapping}
	default:
		return Result{Code: InternalError, Reason: err.Error()}
	}
}

// History returns a part of a channel's history. A negative limit is 100 events, and
// there are never more than MaxHistoryReply, or 256 KiB, or the query's Bytes if those are
// less. Each 100 events count as one command against CommandRate. The query's Now is by the
// clock of measure.Now.
func (s *Session) History(channel []byte, q pubsub.Query) Result {
	h := s.desk.hub
	rules := h.settings.Load()
	if r := s.mayRead(rules, readingHistory, channel); !r.OK() {
		return r
	}
	if q.Limit < 0 {
		q.Limit = defaultPage
	}
	if q.Bytes <= 0 {
		q.Bytes = maxPageSize
	}
	q.Limit, q.Bytes, q.Form = min(q.Limit, rules.MaxHistoryReply), min(q.Bytes, maxPageSize), s.subscriber.Form()
	page, err := h.table.History(channel, q)
	switch {
	case err == nil:
		if more := (len(page.Items) - 1) / defaultPage; more > 0 && rules.CommandRate > 0 {
			s.desk.worker.meter(s).Spend(more, rules.CommandRate)
		}
		return Result{Page: &page}
	case errors.Is(err, pubsub.ErrNotRecovered):
		at := pubsub.Begun{Epoch: page.Epoch, Offset: page.Top}
		return Result{Code: NotRecovered, Reason: string(page.Reason), Begun: &Begun{Begun: at}}
	default:
		return Result{Code: NotAvailable}
	}
}

// Hears reports whether the session hears a channel.
func (s *Session) Hears(channel []byte) bool {
	return s.subscriber.Len() > 0 && s.desk.hub.table.Subscribed(&s.subscriber, channel)
}

// Unsubscribe ends what Subscribe began, if anything.
func (s *Session) Unsubscribe(channel []byte) {
	s.depart(channel)
	s.desk.hub.table.Unsubscribe(&s.subscriber, channel)
	if t := s.token(); t != nil {
		delete(t.given, string(channel))
		delete(t.channels, string(channel))
	}
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

// Revoked returns why the login of the session is not valid any more, "" if it is: its
// secret, by old, the settings before the last Obey, does not open its access, or its
// token was revoked, or its key is gone. wall is the time by which tokens expire.
func (s *Session) Revoked(old Config, wall time.Time) (reason string) {
	rules := s.desk.hub.settings.Load()
	if t := s.token(); t != nil && t.grant != nil {
		if rules.Tokens == nil || rules.Tokens.Check(wall, t.grant) != nil {
			return "the token of this login is not valid any more"
		}
		return ""
	}
	secret := old.Secrets.ReadOnly
	if s.writer || s.access == auth.ReadWrite {
		secret = old.Secrets.ReadWrite
	}
	if s.generation < rules.generation && s.access != auth.None && !rules.allow(s.access, secret) {
		return "the secret of this login is not valid any more"
	}
	return ""
}
