package auth

import (
	"strings"
	"testing"
	"time"
)

// Made with Python's hmac.
func TestSignatureVectors(t *testing.T) {
	for _, tt := range []struct {
		s    Signature
		want string
	}{
		{
			Signature{Hub: "/", Client: "9fXq2LmA0cE", Channel: "chat:1", Expires: 1764463600},
			"4e5209e14a2bc407351f78d59c1438a7a8838cbfa09ba718eb14d99b6d34bdc5",
		},
		{
			Signature{Hub: "/app/a", Client: "1", Channel: "Zürich", Expires: 1764463600},
			"fa68aeb2df7462cdf230718c0f8a25927e68e987bf469d1ec9256181377cca82",
		},
	} {
		if got, err := testKeys()["hs"].SignSubscription(tt.s); err != nil || got != tt.want {
			t.Errorf("%+v is signed %s, %v, want %s", tt.s, got, err, tt.want)
		}
	}
	if _, err := testKeys()["es"].SignSubscription(Signature{}); err == nil {
		t.Error("a public key signs")
	}
}

func TestSubscription(t *testing.T) {
	good := Signature{Hub: "/", Client: "c1", Channel: "chat:1", Expires: noon.Unix() + 60, KeyID: "hs"}
	digits, err := testKeys()["hs"].SignSubscription(good)
	if err != nil {
		t.Fatal(err)
	}
	good.Hex = digits
	for _, tt := range []struct {
		name   string
		change func(s *Signature)
		at     time.Duration
		want   Reason
	}{
		{"good", func(*Signature) {}, 0, Accepted},
		{"in upper case", func(s *Signature) { s.Hex = strings.ToUpper(s.Hex) }, 0, Accepted},
		{"within the leeway", func(*Signature) {}, 89 * time.Second, Accepted},
		{"expired", func(*Signature) {}, 90 * time.Second, Expired},
		{"too long", func(*Signature) {}, -25 * time.Hour, BadLifetime},
		{"another hub", func(s *Signature) { s.Hub = "/b" }, 0, BadSignature},
		{"another client", func(s *Signature) { s.Client = "c2" }, 0, BadSignature},
		{"another channel", func(s *Signature) { s.Channel = "chat:2" }, 0, BadSignature},
		{"another time", func(s *Signature) { s.Expires++ }, 0, BadSignature},
		{"no time", func(s *Signature) { s.Expires = 0 }, 0, Malformed},
		{"time before 1970", func(s *Signature) { s.Expires = -1 << 63 }, 0, Malformed},
		{"time after 9999", func(s *Signature) { s.Expires = 1<<63 - 1 }, 0, Malformed},
		{"another key", func(s *Signature) { s.KeyID = "k9" }, 0, UnknownKey},
		{"a public key", func(s *Signature) { s.KeyID = "es" }, 0, UnknownKey},
		{"cut", func(s *Signature) { s.Hex = s.Hex[:62] }, 0, Malformed},
		{"empty", func(s *Signature) { s.Hex = "" }, 0, Malformed},
		{"no digits", func(s *Signature) { s.Hex = strings.Repeat("g", 64) }, 0, Malformed},
		{"two lines in one name", func(s *Signature) { s.Hub, s.Client = "/\nc1", "" }, 0, Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			g, err := newTokens(t, testConfig()).Subscription(noon.Add(tt.at), s, "42")
			wantReason(t, err, tt.want)
			if err == nil && (g.User != "42" || !g.May(Subscribe, "chat:1") || g.May(Publish, "chat:1") || g.May(Subscribe, "chat:2")) {
				t.Errorf("it grants %+v", g)
			}
		})
	}
}

// A signature is good for nothing but what was signed.
func FuzzSignature(f *testing.F) {
	f.Add("/", "c1", "chat:1", int64(1764463600), "")
	f.Add("/\nc1", "", "chat:1", int64(1764463600), "4e5209e14a2bc407351f78d59c1438a7a8838cbfa09ba718eb14d99b6d34bdc5")
	c := testConfig()
	f.Fuzz(func(t *testing.T, hub, client, channel string, expires int64, digits string) {
		tokens := newTokens(t, c)
		signed := Signature{Hub: "/", Client: "c1", Channel: "chat:1", Expires: noon.Unix() + 60, KeyID: "hs"}
		signed.Hex, _ = testKeys()["hs"].SignSubscription(signed)
		got := Signature{Hub: hub, Client: client, Channel: channel, Expires: expires, KeyID: "hs", Hex: signed.Hex}
		if _, err := tokens.Subscription(noon, got, ""); (err == nil) != (got == signed) {
			t.Errorf("%+v: %v", got, err)
		}
		got.Hex = digits
		if _, err := tokens.Subscription(noon, got, ""); err == nil && !strings.EqualFold(digits, mustSign(t, got)) {
			t.Errorf("accepted %q", digits)
		}
	})
}

func mustSign(t *testing.T, s Signature) string {
	t.Helper()
	digits, err := testKeys()["hs"].SignSubscription(s)
	if err != nil {
		t.Fatal(err)
	}
	return digits
}

// A signature is as new as its use: revoking the user before that does not end it.
func TestRevocationOfSignatures(t *testing.T) {
	var r Revocations
	c := testConfig()
	c.Revoked = &r
	tokens := newTokens(t, c)
	s := Signature{Hub: "/", Client: "c1", Channel: "chat:1", Expires: noon.Unix() + 600, KeyID: "hs"}
	s.Hex = mustSign(t, s)
	revoke := func(now time.Time) {
		t.Helper()
		if err := tokens.RevokeUser(now, "42", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	revoke(noon.Add(-time.Minute))
	g, err := tokens.Subscription(noon, s, "42")
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, tokens.Check(noon, g), Accepted)
	later := noon.Add(time.Minute)
	revoke(later)
	wantReason(t, tokens.Check(later, g), Revoked)
}

// A signature that is used after a revocation of its user, in the same second, stands.
func TestSignatureRightAfterRevocation(t *testing.T) {
	c := testConfig()
	c.Revoked = new(Revocations)
	tokens := newTokens(t, c)
	s := Signature{Hub: "/", Client: "c1", Channel: "chat:1", Expires: noon.Unix() + 600, KeyID: "hs"}
	s.Hex = mustSign(t, s)
	if err := tokens.RevokeUser(noon.Add(100*time.Millisecond), "42", time.Time{}); err != nil {
		t.Fatal(err)
	}
	g, err := tokens.Subscription(noon.Add(200*time.Millisecond), s, "42")
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, tokens.Check(noon.Add(300*time.Millisecond), g), Accepted)
	if err := tokens.RevokeUser(noon.Add(2*time.Second), "42", time.Time{}); err != nil {
		t.Fatal(err)
	}
	wantReason(t, tokens.Check(noon.Add(2*time.Second), g), Revoked)
}
