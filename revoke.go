package webrocket

import (
	"cmp"
	"errors"
	"time"

	"github.com/nu7hatch/webrocket/auth"
)

// ErrNoTokens says that no hub takes tokens.
var ErrNoTokens = errors.New("webrocket: no hub takes tokens")

// RevokeUser makes every hub refuse the tokens of a user that were made before a time,
// and closes the connections that have logged in with one, with 4401. If before is zero,
// it is all tokens until now. It returns ErrNoTokens, auth.ErrBadRevocation or
// auth.ErrTooManyRevocations; hubs that keep their revocations apart may have obeyed then: call it
// again. Any goroutine.
func (s *Server) RevokeUser(user string, before time.Time) error {
	now := time.Now()
	return s.revoke(func(t *auth.Tokens) error { return t.RevokeUser(now, user, before) })
}

// RevokeToken is the same for the token with an id (jti).
func (s *Server) RevokeToken(id string) error {
	now := time.Now()
	return s.revoke(func(t *auth.Tokens) error { return t.RevokeID(now, id) })
}

// CheckTokens closes the connections, with 4401, and ends the subscriptions whose tokens do not
// stand any more. A reload and a revocation do so by themselves. It is for keys that are gone
// from an auth.KeySet: call it from the set's onFetch. Any goroutine.
func (s *Server) CheckTokens() {
	if s.running() == nil {
		return
	}
	for _, h := range s.hubs() {
		if config := h.Config(); config.Tokens != nil {
			s.endRevoked(h, config)
		}
	}
}

// revoke revokes tokens in each hub that has some, and then ends what they have opened: so
// there is no moment at which a client that is closed by one hub is let in by another.
func (s *Server) revoke(in func(*auth.Tokens) error) error {
	var with []*Hub
	var failed error
	for _, h := range s.hubs() {
		if tokens := h.Config().Tokens; tokens != nil {
			with = append(with, h)
			failed = cmp.Or(failed, in(tokens))
		}
	}
	if len(with) == 0 {
		return ErrNoTokens
	}
	for _, h := range with {
		if s.running() != nil {
			s.endRevoked(h, h.Config())
		}
	}
	return failed
}
