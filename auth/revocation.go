package auth

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// MaxRevocations is how many revocations are kept at most.
const MaxRevocations = 100_000

// revocationAhead is by how much the clock of who revokes may be ahead.
const revocationAhead = time.Minute

// ErrTooManyRevocations is returned if MaxRevocations are kept already. None is forgotten
// for another before its time: then a revoked token would be good again.
var ErrTooManyRevocations = errors.New("too many revocations are kept")

// ErrBadRevocation is returned for a user or an id that no token can have, and for a time that
// is still to come: a revocation is of tokens that there are, and is forgotten with them.
var ErrBadRevocation = errors.New("the user or the id is empty or longer than 255 bytes, or the time is in the future")

// Revocations are tokens that are refused although they have not expired. They live in
// memory, for as long as such tokens could. The zero value is ready, and may be used from
// any goroutine.
type Revocations struct {
	count atomic.Int64 // so that the common case, none, costs no lock
	mu    sync.RWMutex
	users map[string]revocation
	ids   map[string]revocation
	sweep time.Time // before it, none can be forgotten
}

type revocation struct {
	before time.Time // of users: tokens issued before it
	until  time.Time // when it is forgotten
}

// RevokeUser revokes the tokens of a user that were issued before a time, and those that do
// not say when. If before is zero, it is all that were issued until now. keep is
// Tokens.RevocationTime.
func (r *Revocations) RevokeUser(now time.Time, user string, before time.Time, keep time.Duration) error {
	if before.IsZero() {
		before = now.Truncate(time.Second).Add(time.Second) // iat has no fractions
	}
	if before.After(now.Add(revocationAhead)) {
		return ErrBadRevocation
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.users[user]; old.before.After(before) {
		before = old.before
	}
	return r.add(now, &r.users, user, revocation{before, now.Add(keep)})
}

// RevokeID revokes the token with an id (jti). keep is Tokens.RevocationTime.
func (r *Revocations) RevokeID(now time.Time, id string, keep time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(now, &r.ids, id, revocation{until: now.Add(keep)})
}

func (r *Revocations) add(now time.Time, to *map[string]revocation, name string, v revocation) error {
	if name == "" || len(name) > maxName {
		return ErrBadRevocation
	}
	r.forget(now)
	old, ok := (*to)[name]
	if !ok && len(r.users)+len(r.ids) >= MaxRevocations {
		return ErrTooManyRevocations
	}
	if *to == nil {
		*to = map[string]revocation{}
	}
	if old.until.After(v.until) { // a longer MaxLifetime was in force
		v.until = old.until
	}
	(*to)[name] = v
	if r.sweep.IsZero() || v.until.Before(r.sweep) {
		r.sweep = v.until
	}
	r.count.Store(int64(len(r.users) + len(r.ids)))
	return nil
}

// forget drops what is over. It looks at all only if there is something to drop.
func (r *Revocations) forget(now time.Time) {
	if r.sweep.IsZero() || now.Before(r.sweep) {
		return
	}
	r.sweep = time.Time{}
	for _, all := range []map[string]revocation{r.users, r.ids} {
		for name, v := range all {
			if !now.Before(v.until) {
				delete(all, name)
			} else if r.sweep.IsZero() || v.until.Before(r.sweep) {
				r.sweep = v.until
			}
		}
	}
	r.count.Store(int64(len(r.users) + len(r.ids)))
}

// Has reports whether a token is revoked: its user, its id, and when it was issued, zero if
// it does not say. What is kept for longer than it must be does no harm: then the token
// has expired.
func (r *Revocations) Has(user, id string, issued time.Time) bool {
	if r.count.Load() == 0 {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, ok := r.ids[id]; ok && id != "" {
		return true
	}
	v, ok := r.users[user]
	return ok && issued.Before(v.before) // a zero time is before every other
}

// pastOf returns now, or a later time if a revocation of the user reaches beyond now: what is
// granted to them from now on is not what was revoked.
func (r *Revocations) pastOf(user string, now time.Time) time.Time {
	if r.count.Load() == 0 {
		return now
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if before := r.users[user].before; before.After(now) {
		return before
	}
	return now
}

// Len returns how many revocations are kept.
func (r *Revocations) Len() int { return int(r.count.Load()) }
