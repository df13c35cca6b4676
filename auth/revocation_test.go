package auth

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestRevocations(t *testing.T) {
	var r Revocations
	c := testConfig()
	c.Revoked = &r
	tokens, k := newTokens(t, c), testKeys()["hs"]
	keep := tokens.RevocationTime()
	token := func(user, id string, issued time.Time) string {
		c := good()
		c.User, c.ID, c.Issued = user, id, issued
		return sign(t, k, c)
	}
	g, err := tokens.Login(noon, token("42", "a", noon))
	if err != nil {
		t.Fatal(err)
	}
	now := noon.Add(10 * time.Second)
	if err := errors.Join(r.RevokeUser(now, "42", noon.Add(5*time.Second), keep), r.RevokeID(now, "bad", keep)); err != nil {
		t.Fatal(err)
	}
	wantReason(t, tokens.Check(now, g), Revoked)
	for _, tt := range []struct {
		name, token string
		want        Reason
	}{
		{"issued before, and remembered", token("42", "a", noon), Revoked},
		{"issued before", token("42", "b", noon.Add(4*time.Second)), Revoked},
		{"issued then", token("42", "b", noon.Add(5*time.Second)), Accepted},
		{"does not say when", token("42", "b", time.Time{}), Revoked},
		{"another user", token("43", "b", noon), Accepted},
		{"no user", token("", "", noon), Accepted},
		{"revoked by its id", token("43", "bad", noon), Revoked},
	} {
		_, err := tokens.Login(now, tt.token)
		if wantReason(t, err, tt.want); t.Failed() {
			t.Fatal(tt.name)
		}
	}
	// An older time does not take back a newer one.
	if err := r.RevokeUser(now, "42", noon.Add(-time.Hour), keep); err != nil {
		t.Fatal(err)
	}
	if !r.Has("42", "", noon) {
		t.Error("a revocation was taken back")
	}
}

// Without a time, all tokens issued until now are revoked, to the second that iat has.
func TestRevokeNow(t *testing.T) {
	var r Revocations
	now := noon.Add(700 * time.Millisecond)
	if err := r.RevokeUser(now, "42", time.Time{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if !r.Has("42", "", noon) || r.Has("42", "", noon.Add(time.Second)) {
		t.Error("want revoked what was issued in this second, and not in the next")
	}
}

// A revocation that was made for long, while MaxLifetime was longer, is not shortened by
// another of the same user or token: the old token could come back.
func TestRevocationIsNotShortened(t *testing.T) {
	var r Revocations
	for _, keep := range []time.Duration{24 * time.Hour, time.Hour} {
		if err := errors.Join(r.RevokeUser(noon, "42", noon, keep), r.RevokeID(noon, "bad", keep)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{2 * time.Hour, true}, {24*time.Hour - 1, true}, {24 * time.Hour, false}} {
		if err := r.RevokeID(noon.Add(tt.after), "another", time.Minute); err != nil { // forgets what is over
			t.Fatal(err)
		}
		if user, id := r.Has("42", "", noon.Add(-1)), r.Has("", "bad", noon); user != tt.want || id != tt.want {
			t.Errorf("after %v: the user is revoked: %t, the token: %t, want %t", tt.after, user, id, tt.want)
		}
	}
}

func TestRevocationsAreBounded(t *testing.T) {
	var r Revocations
	for i := range MaxRevocations {
		if err := r.RevokeID(noon, fmt.Sprint(i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.RevokeUser(noon.Add(time.Hour-1), "42", noon, time.Hour); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("got %v", err)
	}
	if err := r.RevokeID(noon, "7", time.Hour); err != nil {
		t.Errorf("one that is kept already: %v", err)
	}
	if err := r.RevokeUser(noon.Add(time.Hour), "42", noon, time.Hour); err != nil || r.Len() != 1 {
		t.Errorf("after an hour %d are kept: %v", r.Len(), err)
	}
	for _, name := range []string{"", strings.Repeat("x", 256)} {
		if err := r.RevokeID(noon, name, time.Hour); !errors.Is(err, ErrBadRevocation) {
			t.Errorf("got %v for %q", err, name)
		}
	}
}

// session is what a hub does with a token: the model of TestNoSessionOutlivesItsToken.
type session struct {
	grant *Grant
	end   time.Time // the latest exp of the tokens that it was given, and the leeway
	id    string    // of the token in force
	born  time.Time // when that was issued
}

// A virtual clock and random logins, renewals, replays, revocations and reloads: no session
// outlives its token, none of a key that was removed is accepted, and what was revoked
// stays out for as long as its token could be used.
func TestNoSessionOutlivesItsToken(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 13))
		keys := []*Key{}
		for i := range 3 {
			k, err := newKey(fmt.Sprint("k", i), []byte(fmt.Sprint(secret, i)))
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		var revoked Revocations
		c := TokenConfig{Keys: keys, MaxLifetime: time.Hour, Leeway: 30 * time.Second, CachedTokens: 8, Revoked: &revoked}
		tokens := newTokens(t, c)
		now := noon
		type made struct {
			token, user, id string
			key             *Key
			claims          Claims
		}
		var all []made
		out := map[string]bool{}         // ids of tokens that are revoked
		before := map[string]time.Time{} // and users
		sessions := map[string]*session{}
		for range 400 {
			now = now.Add(time.Duration(rnd.IntN(240)) * time.Second)
			user := fmt.Sprint(rnd.IntN(4))
			switch op := rnd.IntN(10); {
			case op < 3: // the backend makes a token
				cl := Claims{User: user, ID: fmt.Sprint(len(all)), Issued: now.Truncate(time.Second)}
				cl.Expires = cl.Issued.Add(time.Duration(rnd.IntN(100)-10) * time.Minute)
				k := keys[rnd.IntN(len(keys))]
				all = append(all, made{sign(t, k, cl), user, cl.ID, k, cl})
			case op < 8 && len(all) > 0: // a session logs in or renews, maybe with an old token
				m := all[max(0, len(all)-1-rnd.IntN(20))]
				s := sessions[user]
				var old *Grant
				if s != nil {
					old = s.grant
				}
				g, err := tokens.Renew(now, old, m.token)
				good := now.Before(m.claims.Expires.Add(c.Leeway)) && !m.claims.Expires.After(now.Add(time.Hour+c.Leeway)) &&
					m.claims.Expires.Sub(m.claims.Issued) <= time.Hour+c.Leeway &&
					!out[m.id] && !m.claims.Issued.Before(before[m.user]) && tokens.has(m.key) && (old == nil || old.User == m.user)
				if (err == nil) != good {
					t.Fatalf("seed %d: the token %s: %v, want good: %v", seed, m.id, err, good)
				}
				if err == nil {
					sessions[user] = &session{g, m.claims.Expires.Add(c.Leeway), m.id, m.claims.Issued}
				}
			case op == 8 && rnd.IntN(3) > 0:
				if id := fmt.Sprint(rnd.IntN(len(all) + 1)); rnd.IntN(2) == 0 {
					out[id] = true
					if err := revoked.RevokeID(now, id, tokens.RevocationTime()); err != nil {
						t.Fatal(err)
					}
				} else {
					before[user] = now.Truncate(time.Second).Add(time.Second)
					if err := revoked.RevokeUser(now, user, time.Time{}, tokens.RevocationTime()); err != nil {
						t.Fatal(err)
					}
				}
			case op == 9 && rnd.IntN(4) == 0: // a reload leaves out a key
				c.Keys = append([]*Key{}, keys[rnd.IntN(2):1+rnd.IntN(2)+1]...)
				tokens = newTokens(t, c)
			}
			for name, s := range sessions { // what the hub does at each of these
				gone := tokens.Check(now, s.grant) != nil
				should := !now.Before(s.end) || out[s.id] || s.born.Before(before[s.grant.User]) || !tokens.has(s.grant.key)
				if gone != should {
					t.Fatalf("seed %d: the session of token %s is gone: %v, want %v", seed, s.id, gone, should)
				}
				if gone {
					delete(sessions, name)
				}
			}
		}
	}
}

// A revocation of tokens that are still to come would be forgotten before them.
func TestRevokeTheFuture(t *testing.T) {
	var r Revocations
	for ahead, want := range map[time.Duration]error{
		-time.Hour: nil, 0: nil, time.Minute: nil, time.Minute + time.Second: ErrBadRevocation, 1 << 62: ErrBadRevocation,
	} {
		if err := r.RevokeUser(noon, "42", noon.Add(ahead), time.Hour); !errors.Is(err, want) {
			t.Errorf("%v ahead: got %v, want %v", ahead, err, want)
		}
	}
	if r.Has("42", "", noon.Add(time.Hour)) {
		t.Error("a refused revocation counts")
	}
}
