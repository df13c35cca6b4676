package webrocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/hub"
)

// ErrNoTokens says that no hub takes tokens.
var ErrNoTokens = errors.New("webrocket: no hub takes tokens")

// RevokeUser makes every hub refuse the tokens of a user that were made before a time,
// and closes the connections that have logged in with one, with 4401. If before is zero,
// it is all tokens until now. It returns ErrNoTokens, auth.ErrBadRevocation or
// auth.ErrTooManyRevocations; hubs that keep their revocations apart may have obeyed then: call it
// again.
//
// All nodes of a cluster do the same: those that are away or start later do so before they
// take clients, or as soon as they hear the others again, as long as one node that knows it
// is there. Any goroutine but a loop's.
func (s *Server) RevokeUser(ctx context.Context, user string, before time.Time) (Done, error) {
	if before.IsZero() {
		before = time.Now().Truncate(time.Second).Add(time.Second) // iat has no fractions
	}
	return s.revoke(ctx, &order{Do: "revoke", User: user, Before: before})
}

// RevokeToken is the same for the token with an id (jti).
func (s *Server) RevokeToken(ctx context.Context, id string) (Done, error) {
	return s.revoke(ctx, &order{Do: "revoke", ID: id})
}

// revoke revokes on all nodes.
func (s *Server) revoke(ctx context.Context, o *order) (Done, error) {
	var keep time.Duration
	for _, h := range s.hubs() {
		if tokens := h.Config().Tokens; tokens != nil {
			keep = max(keep, tokens.RevocationTime())
		}
	}
	if keep == 0 {
		return Done{}, ErrNoTokens
	}
	if o.ID == "" { // other nodes take it for their clock if the time is ahead
		if err := new(auth.Revocations).RevokeUser(time.Now(), o.User, o.Before, keep); err != nil {
			return Done{}, err
		}
	}
	done, err := s.everywhere(ctx, o, keep)
	if errors.Is(err, hub.ErrStanding) {
		err = fmt.Errorf("%w: %w", auth.ErrTooManyRevocations, err)
	}
	return done, err
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

// tokenHubs returns the hubs that take tokens.
func (s *Server) tokenHubs() []*Hub {
	return slices.DeleteFunc(s.hubs(), func(h *Hub) bool { return h.Config().Tokens == nil })
}

// revokeHere revokes tokens in each hub that has some, and then ends what they have opened: so
// there is no moment at which a client that is closed by one hub is let in by another.
func (s *Server) revokeHere(_ context.Context, o *order) (outcome, error) {
	now := time.Now()
	if o.Before.After(now) {
		now = o.Before // the clock of the node that has asked is ahead
	}
	var with []*Hub
	var failed error
	for _, h := range s.hubs() {
		tokens := h.Config().Tokens
		if tokens == nil {
			continue
		}
		with = append(with, h)
		if o.ID != "" {
			failed = cmp.Or(failed, tokens.RevokeID(now, o.ID))
		} else {
			failed = cmp.Or(failed, tokens.RevokeUser(now, o.User, o.Before))
		}
	}
	for _, h := range with {
		if s.running() != nil && !s.replays.Load() {
			s.endRevoked(h, h.Config())
		}
	}
	return outcome{}, failed
}
