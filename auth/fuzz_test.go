package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Whatever a token is made of, it is accepted only if one of the keys signed these very bytes,
// and what it grants is what encoding/json reads in it.
func FuzzToken(f *testing.F) {
	k := testKeys()
	for _, key := range k {
		f.Add(sign(f, key, good()))
	}
	channel := good()
	channel.Channel, channel.Info = "c", json.RawMessage(`{"a":[1,null]}`)
	f.Add(sign(f, k["hs"], channel))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(strings.Repeat("e30.", 3))
	f.Add("..")
	c := testConfig()
	c.CachedTokens = -1
	tokens := newTokens(f, c)
	f.Fuzz(func(t *testing.T, token string) {
		_, _ = ReadClaims(token)
		g, err := tokens.Login(noon, token)
		if all := tokens.Problems(noon, token); err == nil && len(all) > 0 {
			t.Errorf("accepted, with the problems %v", all)
		}
		if err != nil {
			return
		}
		header, rest, _ := strings.Cut(token, ".")
		payload, signature, _ := strings.Cut(rest, ".")
		sig, err := parser.DecodeSegment(signature)
		if err != nil || g.key.method.Verify(header+"."+payload, sig, g.key.verify) != nil {
			t.Error("accepted without a signature")
		}
	})
}

// A payload that is signed: what is read is what encoding/json reads, which takes the last of
// two members and EXP for exp. Where it would, the token is refused or the claim is not there.
func FuzzPayload(f *testing.F) {
	for _, s := range []string{
		`{"exp":1767358800,"sub":"42","rocket":{"channels":{"a":["publish"]},"info":{"x":1}}}`,
		`{"exp":1767358800,"EXP":1,"rocket":{"Hub":"x"}}`, `{"exp":1,"exp":1767358800}`, `{"aud":["a",null]}`, `{"sub":"\ud800"}`, `[]`, `null`, `{`,
		"{}\f", "{}\u00a0", `{}{}`, "\v{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Claims
		if c.readPayload(data) != nil {
			return
		}
		var top map[string]json.RawMessage
		if err := json.Unmarshal(data, &top); err != nil {
			t.Fatalf("read what is no JSON: %v", err)
		}
		var sub string
		_ = json.Unmarshal(top["sub"], &sub)
		if c.User != sub {
			t.Errorf("the user is %q, encoding/json has %q", c.User, sub)
		}
		if _, ok := top["exp"]; ok == c.Expires.IsZero() {
			t.Errorf("exp is %v, encoding/json has %s", c.Expires, top["exp"])
		}
		var rocket struct{ Channels map[string][]string }
		_ = json.Unmarshal(top["rocket"], &rocket)
		for _, e := range c.Channels {
			if e.Rights&Publish != 0 && !slices.Contains(rocket.Channels[e.Channel], "publish") {
				t.Errorf("%q may publish, encoding/json has %q", e.Channel, rocket.Channels[e.Channel])
			}
		}
		if len(c.Info) > 0 && !json.Valid(c.Info) {
			t.Errorf("info is %q", c.Info)
		}
	})
}
