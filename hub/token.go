package hub

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/pubsub"
)

// A Notice is what a client is told without having asked. One of its kinds is set.
type Notice struct {
	Expires      time.Duration // the token expires in so long: get a new one
	Unsubscribed string        // why a subscription has ended: one of the reasons below
	Subscribed   string        // who began a subscription: one of those below
	Unwatched    string        // why no more notices of who comes and goes follow, though the subscription stays

	Channel string // of all but Expires, unless there is a Pattern
	Pattern string // of Unsubscribed, instead of a channel
	Begun   *Begun // of Subscribed, nil where the channel has no history
	Reason  string // of Subscribed: why a position was not recovered, "" if it was or there was none
}

// Why a subscription begins or ends that the client did not ask for.
const (
	ByToken       = "token"         // the token says that its bearer hears the channel
	ByRule        = "rule"          // a rule says that the user hears it: Rule.Force
	ByServer      = "admin"         // the program, or the admin API, has subscribed the session
	EndedByRights = "access_denied" // the new login does not allow it
	EndedByExpiry = "expired"       // the token for the channel has expired
	EndedByRevoke = "revoked"       // it was revoked, or its key is gone
	EndedByRule   = "rule"          // the rules have changed, and do not allow it any more
	EndedByServer = "admin"         // the program, or the admin API, has ended it
)

// A Proof is a token or a signature for one channel.
type Proof struct {
	Token     string         // "" for none
	Signature auth.Signature // instead of a token; Hub and Client are those of the connection
}

// proven is what a Proof grants.
type proven struct {
	grant *auth.Grant
	end   time.Duration // by the loop's time
}

// never is a time of the loop that does not come.
const never = time.Duration(math.MaxInt64)

// A bearer is what a session has that has logged in with a token, or that others have
// subscribed to a channel. Other sessions have none.
type bearer struct {
	connected *Identity           // that OnConnect returned
	grant     *auth.Grant         // nil after a logout, and while the login is by a secret
	given     map[string]struct{} // channels that it hears by Give, whatever its rights
	channels  map[string]proven   // those that it has a token of their own for
	notices   []Notice            // to be told behind the reply

	// By the loop's time, never if there is no such time.
	lifetime time.Duration // the end of the session, by Identity.Lifetime
	end      time.Duration // the end of the grant
	renew    time.Duration // when the client is told to get a new token
}

// token returns what the session has of its tokens, nil if it has none.
func (s *Session) token() *bearer {
	if s.identity == nil {
		return nil
	}
	return s.identity.token
}

// bear returns the same, and makes it if need be. The Identity of OnConnect may be
// that of many sessions, so the session gets one of its own.
func (s *Session) bear() *bearer {
	if t := s.token(); t != nil {
		return t
	}
	t := &bearer{connected: s.identity, lifetime: s.desk.worker.expiries.at(s), end: never, renew: never}
	own := Identity{token: t}
	if t.connected != nil {
		own.User, own.Info = t.connected.User, t.connected.Info
	}
	s.identity = &own
	return t
}

// rightFor is what a token must grant for an action.
var rightFor = [...]auth.Right{subscribing: auth.Subscribe, publishing: auth.Publish, readingHistory: auth.History, readingPresence: auth.Presence}

// grants reports whether one of the session's tokens allows something.
func (t *bearer) grants(what action, channel []byte) bool {
	if t == nil {
		return false
	}
	return t.grant.May(rightFor[what], string(channel)) || t.channels[string(channel)].grant.May(rightFor[what], string(channel)) || what == subscribing && t.forces(string(channel))
}

// forces reports whether the token subscribes its bearer to a channel, or Give has.
func (t *bearer) forces(channel string) bool {
	if t == nil {
		return false
	}
	_, given := t.given[channel]
	return given || t.grant != nil && slices.Contains(t.grant.Forced, channel)
}

// LoginToken grants what a token of Config.Tokens says, in place of an earlier login.
// wall is the time by which tokens expire, now is the loop's. since has where the client is
// in channels that it is subscribed to by the login, nil for none. What happens to
// subscriptions is among the Notices. A token that is refused ends the earlier login, as
// in Login, but not if it is over (token_expired), cannot be verified yet (unavailable)
// or is of another user (access_denied).
func (s *Session) LoginToken(now time.Duration, wall time.Time, token string, since map[string]pubsub.Position) Result {
	rules := s.desk.hub.settings.Load()
	grant, err := s.verify(wall, rules.Tokens, token)
	s.desk.counts.Tokens[reasonOf(err)]++
	if err != nil {
		return s.refuse(err)
	}
	t := s.bear()
	if t.grant == nil {
		t.channels = nil // they are of no user, or of another
	}
	t.grant = grant
	s.access, s.writer, s.generation = auth.None, false, rules.generation
	t.end = after(now, grant.End.Sub(wall))
	t.renew = after(now, grant.RenewAt(wall, rand.Float64()).Sub(wall))
	s.schedule()
	s.dropForbidden(rules, EndedByRights)
	s.identify(EndedByRights, s.tellBehind)
	s.force(rules, since)
	return Result{LoggedIn: true, Expires: max(grant.Expires.Sub(wall), 0)}
}

// SubscribeProven is SubscribeFrom with a token or a signature for the channel, which a
// session needs a login for, of any kind. What it grants ends when it expires, or with
// the subscription. If it is refused, nothing changes.
func (s *Session) SubscribeProven(now time.Duration, wall time.Time, channel []byte, p Proof, start Start) Result {
	rules := s.desk.hub.settings.Load()
	if s.access == auth.None && (s.token() == nil || s.token().grant == nil) {
		return Result{Code: AccessDenied}
	}
	grant, err := s.prove(wall, rules.Tokens, string(channel), p)
	s.desk.counts.Tokens[reasonOf(err)]++
	if err != nil {
		return s.refuseProof(err)
	}
	t := s.bear()
	before, had := t.channels[string(channel)]
	if t.channels == nil {
		t.channels = make(map[string]proven)
	}
	t.channels[string(channel)] = proven{grant, after(now, grant.End.Sub(wall))}
	r := s.SubscribeFrom(channel, start)
	switch {
	case r.OK():
	case had && s.Hears(channel): // a strict one that fails ends the subscription
		t.channels[string(channel)] = before
	default:
		delete(t.channels, string(channel))
	}
	s.identify(EndedByRights, s.tellBehind)
	s.schedule()
	return r
}

// prove returns what a token or a signature grants in a channel.
func (s *Session) prove(wall time.Time, tokens *auth.Tokens, channel string, p Proof) (*auth.Grant, error) {
	switch {
	case tokens == nil:
		return nil, errNoTokens
	case p.Token != "":
		return tokens.Channel(wall, p.Token, channel, s.user())
	default:
		p.Signature.Channel = channel
		return tokens.Subscription(wall, p.Signature, s.user())
	}
}

// refuseProof is refuse for a token of a channel: the login stands.
func (s *Session) refuseProof(err error) Result {
	r := Result{Code: InvalidCredentials}
	switch reasonOf(err) {
	case auth.KeysMissing:
		return Result{Code: Unavailable}
	case auth.OtherUser, auth.OtherChannel:
		return Result{Code: AccessDenied}
	case auth.Expired:
		r.Code = TokenExpired
	}
	s.failed = max(s.failed, s.failed+1)
	return r
}

// DropRevoked ends the subscriptions whose own tokens were revoked, or whose keys are
// gone. It is for after Revoked.
func (s *Session) DropRevoked(wall time.Time) {
	t := s.token()
	if t == nil {
		return
	}
	rules := s.desk.hub.settings.Load()
	for channel, p := range t.channels {
		if rules.Tokens == nil || rules.Tokens.Check(wall, p.grant) != nil {
			s.dropProven(channel, EndedByRevoke)
		}
	}
	s.schedule()
}

// dropProven takes back what a token for a channel granted, and tells the client if its
// subscription ends by that.
func (s *Session) dropProven(channel, why string) {
	delete(s.token().channels, channel)
	if s.Hears([]byte(channel)) && !s.may(s.desk.hub.settings.Load(), subscribing, []byte(channel)) {
		s.endTold(channel, why)
	}
	s.identify(why, s.tell)
}

// errNoTokens refuses tokens where there is no key for them.
var errNoTokens = &auth.Error{Reason: auth.UnknownKey, Detail: "the hub takes no tokens"}

// verify returns what a token grants this session.
func (s *Session) verify(wall time.Time, tokens *auth.Tokens, token string) (*auth.Grant, error) {
	if tokens == nil {
		return nil, errNoTokens
	}
	var old *auth.Grant
	if t := s.token(); t != nil {
		old = t.grant
	}
	grant, err := tokens.Renew(wall, old, token)
	if err == nil && old == nil && s.user() != "" && grant.User != s.user() {
		return nil, &auth.Error{Reason: auth.OtherUser, Detail: "the connection is of another user"}
	}
	return grant, err
}

// reasonOf is how an error of a token is counted.
func reasonOf(err error) auth.Reason {
	var refused *auth.Error
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return auth.Accepted
}

// refuse returns the result for a token that is refused, and counts the failure.
func (s *Session) refuse(err error) Result {
	switch reasonOf(err) {
	case auth.Expired:
		s.failed = max(s.failed, s.failed+1) // or a client could try them for ever
		return Result{Code: TokenExpired}
	case auth.KeysMissing:
		return Result{Code: Unavailable}
	case auth.OtherUser, auth.OtherChannel:
		return Result{Code: AccessDenied}
	}
	s.Logout()
	s.failed = max(s.failed, s.failed+1)
	return Result{Code: InvalidCredentials}
}

// after returns a time of the loop that is d later, or never.
func after(now, d time.Duration) time.Duration { return now + min(d, never-now) }

// leave ends all subscriptions.
func (s *Session) leave() {
	s.departAll()
	s.subscriber.Leave()
	if t := s.token(); t != nil {
		t.given, t.channels = nil, nil
	}
}

// endToken forgets what the token granted. Subscriptions are for the caller.
func (s *Session) endToken() {
	t := s.token()
	if t == nil {
		return
	}
	t.grant, t.end, t.renew, t.channels = nil, never, never, nil
	s.schedule()
}

// tell tells the client something outside of a command.
func (s *Session) tell(n Notice) { s.desk.worker.out.Notice(s.subscriber.ID(), n) }

// tellBehind tells it behind the reply to the command.
func (s *Session) tellBehind(n Notice) {
	t := s.bear()
	t.notices = append(t.notices, n)
}

// Notices returns what the client is to be told behind the reply to its command, once.
func (s *Session) Notices() []Notice {
	t := s.token()
	if t == nil {
		return nil
	}
	all := t.notices
	t.notices = nil
	return all
}

// schedule makes the loop look at the session when the next of its times has come.
func (s *Session) schedule() {
	t := s.token()
	next := min(t.lifetime, t.end, t.renew)
	for _, p := range t.channels {
		next = min(next, p.end)
	}
	if next == never {
		s.desk.worker.expiries.remove(s)
		return
	}
	s.desk.worker.expiries.add(s, next)
}

// elapse does what the time has come for, and reports whether the session is over.
func (s *Session) elapse(now time.Duration) (over bool, reason string) {
	t := s.token()
	switch {
	case t == nil || now >= t.lifetime:
		return true, "the session has expired"
	case now >= t.end:
		return true, "the token has expired"
	}
	if now >= t.renew {
		t.renew = never
		left := t.end - now - t.grant.End.Sub(t.grant.Expires)
		s.desk.worker.out.Notice(s.subscriber.ID(), Notice{Expires: max(left, 0)})
	}
	for channel, p := range t.channels {
		if now >= p.end {
			s.dropProven(channel, EndedByExpiry)
		}
	}
	s.schedule()
	return false, ""
}
