package pusher

import "testing"

// theirs are the key and the secret of the examples in Pusher's documentation.
var (
	theirs = Key{"278d425bdf160c739803", "7ad3773142a6692b25b8"}
	ours   = Key{"rocket-key", "rocket-secret"}
)

const ourSocket = "123456.7890123"

func TestSignatures(t *testing.T) {
	for _, tt := range []struct {
		name      string
		key       Key
		got, want string
	}{
		{
			"a private channel", theirs, theirs.SignChannel("1234.1234", "private-foobar", ""),
			"58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
		},
		{
			"a user", theirs, theirs.SignUser("1234.1234", `{"id":"12345"}`),
			"4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
		},
		{
			"a presence channel",
			theirs, theirs.SignChannel("1234.1234", "presence-foobar", `{"user_id":10,"user_info":{"name":"Mr. Pusher"}}`),
			"afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
		},
		{
			"a presence channel, by the name that the documentation has beside the digest of the other",
			theirs, theirs.SignChannel("1234.1234", "presence-foobar", `{"user_id":10,"user_info":{"name":"Mr. Channels"}}`),
			"31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
		},
		{
			"our private channel", ours, ours.SignChannel(ourSocket, "private-orders", ""),
			"b0c10b1b64e4f8180524d4be75c6f122ef06d50ad0c58126c1b2272e6e7e5f1a",
		},
		{
			"our presence channel", ours, ours.SignChannel(ourSocket, "presence-room", `{"user_id":"u-1","user_info":{"name":"Ada"}}`),
			"9bd52e51dd3b17ea5b4b1642933953764dcd96dfb3a652223b8b408cdb11ed30",
		},
		{
			"our user", ours, ours.SignUser(ourSocket, `{"id":"u-1","user_info":{"name":"Ada"}}`),
			"e9bf222e46c9a4261f9d85f0bb49ca78b3ea7f59a170b691586ed086418181d3",
		},
		{
			"a webhook", ours, ours.Key + ":" + ours.sign([]byte(`{"time_ms":1700000000123,"events":[{"name":"channel_occupied","channel":"orders"}]}`)),
			"c8eb41ae2fdd6ab200535c9ea454f4784a11cc7626a4e790e4bb937e49c5f795",
		},
	} {
		if want := tt.key.Key + ":" + tt.want; tt.got != want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, want)
		}
	}
}

// textOfChannel appends what is signed for a subscription.
func textOfChannel(socketID, channel, data string) func([]byte) []byte {
	return func(dst []byte) []byte { return appendChannelText(append(dst, socketID...), channel, []byte(data)) }
}

// textOfUser appends what is signed for a user.
func textOfUser(socketID, data string) func([]byte) []byte {
	return func(dst []byte) []byte { return appendUserText(append(dst, socketID...), []byte(data)) }
}

// Who asks the endpoint of an application for a signature chooses what it is for: texts that
// make it the signature of something else get none.
func TestSignsWhatItSays(t *testing.T) {
	for _, socket := range []string{"", "1", "1.2:", `1.2::user::{"id":"admin"`, "1.2:private-other", "1.2 "} {
		if got := ours.SignChannel(socket, "private-a", ""); got != "" {
			t.Errorf("the socket id %q: got %s", socket, got)
		}
		if got := ours.SignUser(socket, `{"id":"1"}`); got != "" {
			t.Errorf("the socket id %q of a user: got %s", socket, got)
		}
	}
	for _, channel := range []string{"", `:user::{"id":"admin"}`, `presence-a:{"user_id":"admin"}`, "#server-to-user-1", "private-a b"} {
		if got := ours.SignChannel("1.2", channel, ""); got != "" {
			t.Errorf("the channel %q: got %s", channel, got)
		}
	}
	if ours.SignChannel("1.2", "private-a", "") == "" || ours.SignUser("1.2", `{"id":"1"}`) == "" {
		t.Error("what is good gets none")
	}
}

func TestVerify(t *testing.T) {
	keys := ringOf(ours, theirs)
	text := textOfChannel(ourSocket, "private-orders", "")
	good := ours.SignChannel(ourSocket, "private-orders", "")
	signature := good[len(ours.Key)+1:]
	for _, tt := range []struct {
		name, auth string
		want       bool
	}{
		{"good", good, true},
		{"another key of the application", theirs.SignChannel(ourSocket, "private-orders", ""), true},
		{"signed by one key, named as of another", theirs.Key + ":" + signature, false},
		{"a key of nobody", "nobody:" + signature, false},
		{"no key", signature, false},
		{"an empty key", ":" + signature, false},
		{"no signature", ours.Key, false},
		{"an empty signature", ours.Key + ":", false},
		{"cut", good[:len(good)-1], false},
		{"more behind it", good + "0", false},
		{"nothing", "", false},
	} {
		if got := keys.verify([]byte(tt.auth), text); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	if keys.verify([]byte(good), textOfChannel("1.1", "private-orders", "")) {
		t.Error("the signature is good for another connection")
	}
	if keys.verify([]byte(good), textOfChannel(ourSocket, "private-other", "")) {
		t.Error("the signature is good for another channel")
	}
}

// An id that is a number keeps all its digits, more than JavaScript has.
func TestPersonOf(t *testing.T) {
	rules := Config{ID: "a", Keys: []Key{ours}}.withDefaults()
	for data, want := range map[string]string{
		`{"user_id":12345678901234567890}`: "12345678901234567890", `{"user_id":-1.50}`: "-1.50", `{"user_id":"é\u0031"}`: "é1",
	} {
		if who, denied := personOf(rules, []byte(data)); denied != nil || who.id != want {
			t.Errorf("%s: got %q, %v, want %s", data, who.id, denied, want)
		}
	}
}

// What a client says about itself makes nothing panic, and nobody gets in by another
// signature than that of the keys. Who gets in has a name that can be shown.
func FuzzAuth(f *testing.F) {
	both := []Key{ours, theirs}
	ring := ringOf(both...)
	f.Add(ours.SignChannel(ourSocket, "presence-a", `{"user_id":1}`), `{"user_id":1}`)
	f.Add(ours.SignUser(ourSocket, `{"id":"a"}`), `{"id":"a","watchlist":["b"]}`)
	f.Add(theirs.Key+":", `{"user_id":{"a":[]},"user_info":`)
	f.Add("::", "\x00")
	rules := Config{ID: "a", Keys: both}.withDefaults()
	f.Fuzz(func(t *testing.T, auth, data string) {
		for _, one := range []struct {
			text func([]byte) []byte
			good [2]string
		}{
			{
				textOfChannel(ourSocket, "presence-a", data),
				[2]string{ours.SignChannel(ourSocket, "presence-a", data), theirs.SignChannel(ourSocket, "presence-a", data)},
			},
			{textOfUser(ourSocket, data), [2]string{ours.SignUser(ourSocket, data), theirs.SignUser(ourSocket, data)}},
		} {
			if got, want := ring.verify([]byte(auth), one.text), auth == one.good[0] || auth == one.good[1]; got != want {
				t.Errorf("verify(%q, %q) = %v", auth, one.text(nil), got)
			}
			for _, good := range one.good {
				if !ring.verify([]byte(good), one.text) {
					t.Errorf("the signature %s of %q is refused", good, one.text(nil))
				}
			}
		}
		if who, denied := personOf(rules, []byte(data)); denied == nil && !validUser(who.id, DefaultMaxUserID) {
			t.Errorf("%q is a member with the id %q", data, who.id)
		}
		if u, why := userOf(rules, []byte(data)); why == "" && !validUser(u.id, maxSignedIn) {
			t.Errorf("%q is a user with the id %q", data, u.id)
		}
	})
}
