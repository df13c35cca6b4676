package webrocket_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// Every command of the native protocol, with each of its errors.
func TestDialogues(t *testing.T) {
	tests := []struct{ name, dialogue string }{
		{"auth, read-only", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"err":"access_denied"}`},
		{"auth, read-write includes reading", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"ok":true}
			a < {"event":"e","channel":"c"}`},
		{"auth, with an id", `
			a > {"auth":{"access":"read-only","secret":"r"},"id":1}
			a ? {"ok":true,"id":1,"client":"
			a > {"id":"x","auth":{"access":"read-only","secret":"wrong"}}
			a < {"err":"invalid_credentials","id":"x"}`},
		{"auth, the read-write secret opens reading too", `
			a > {"auth":{"access":"read-only","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"err":"access_denied"}`},
		{"auth, the read-only secret opens reading alone", `
			a > {"auth":{"access":"read-write","secret":"r"}}
			a < {"err":"invalid_credentials"}
			a > {"auth":{"access":"read-write","secret":""}}
			a < {"err":"invalid_credentials"}`},
		{"auth, invalid data", `
			a > {"auth":{"access":"admin","secret":"rw"}}
			a < {"err":"invalid_data","reason":"auth: access is admin, not read-only or read-write"}
			a > {"auth":{"access":"read-write"}}
			a < {"err":"invalid_data","reason":"auth: secret is missing"}
			a > {"auth":{"secret":"rw"},"id":2}
			a < {"err":"invalid_data","reason":"auth: access is missing","id":2}
			a > {"auth":{"access":"read-write","secret":7}}
			a < {"err":"invalid_data","reason":"auth: secret is a number, not a string"}
			a > {"auth":{"access":null,"secret":"rw"}}
			a < {"err":"invalid_data","reason":"auth: access is null, not a string"}
			a > {"auth":"rw"}
			a < {"err":"invalid_data","reason":"auth is a string, not an object"}
			a > {"subscribe":{"channel":"c"}}
			a < {"err":"access_denied"}`},
		{"auth, a failed one ends an earlier login and its subscriptions", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"auth":{"access":"read-write","secret":"wrong"}}
			a < {"err":"invalid_credentials"}
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"err":"access_denied"}
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			# nobody subscribes any more, so that the channel is gone
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"err":"invalid_channel"}`},
		{"auth, one with invalid data changes nothing", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"auth":{"access":"admin","secret":"rw"}}
			a < {"err":"invalid_data","reason":"auth: access is admin, not read-only or read-write"}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}`},
		{"auth, a lower access takes publishing away and keeps subscriptions", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"err":"access_denied"}
			b > {"auth":{"access":"read-write","secret":"rw"}}
			b < {"ok":true}
			b > {"publish":{"event":"e","channel":"c"}}
			b < {"ok":true}
			a < {"event":"e","channel":"c"}`},
		{"auth, the reply says what a client needs to know", `
			a > {"auth":{"access":"read-only","secret":"r"},"id":1}
			a < {"ok":true,"id":1,"client":"9fXq2LmA0cE","version":"` + webrocket.Version + `","pingInterval":25,"maxMessageSize":65536}
			a > {"auth":{"access":"read-only","secret":"wrong"},"id":2}
			a < {"err":"invalid_credentials","id":2}`},
		{"ping, with a login and without", `
			a > {"ping":true}
			a < {"ok":true}
			a > {"ping":true,"id":"p"}
			a < {"ok":true,"id":"p"}
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"ping":true,"id":1}
			a < {"ok":true,"id":1}
			a > {"ping":1}
			a < {"err":"invalid_data","reason":"ping is a number, not true"}`},
		{"subscribe, several channels", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channels":[{"channel":"a"},{"channel":""},{"channel":"b","rewind":3},{"channel":"a"}]},"id":1}
			a < {"ok":true,"id":1,"results":[{"ok":true,"channel":"a"},{"err":"invalid_channel_name","reason":"subscribe: channel is empty","channel":""},{"ok":true,"channel":"b"},{"ok":true,"channel":"a"}]}
			a > {"publish":{"event":"e","channel":"b"}}
			a < {"ok":true}
			a < {"event":"e","channel":"b"}
			a > {"publish":{"event":"e","channel":"a"}}
			a < {"ok":true}
			a < {"event":"e","channel":"a"}
			a > {"unsubscribe":{"channel":"a"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"a"}}
			a < {"err":"invalid_channel"}`},
		{"subscribe, several channels without a login", `
			a > {"subscribe":{"channels":[{"channel":"a"},{"channel":"b"}]}}
			a < {"ok":true,"results":[{"err":"access_denied","channel":"a"},{"err":"access_denied","channel":"b"}]}`},
		{"subscribe, several channels, invalid data", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channels":[{"channel":"a"},{"channel":7}]},"id":1}
			a < {"err":"invalid_data","reason":"subscribe: channels[1]: channel is a number, not a string","id":1}
			# none of them was subscribed to
			a > {"publish":{"event":"e","channel":"a"}}
			a < {"err":"invalid_channel"}`},
		{"subscribe", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"},"id":1.50}
			a < {"ok":true,"id":1.50}`},
		{"subscribe, access denied", `
			a > {"subscribe":{"channel":"c"}}
			a < {"err":"access_denied"}
			a > {"subscribe":{"channel":"c"},"id":"i"}
			a < {"err":"access_denied","id":"i"}
			# access comes first: who may not read learns nothing about names
			a > {"subscribe":{"channel":""}}
			a < {"err":"access_denied"}`},
		{"subscribe, channel names", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":""}}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel is empty"}
			a > {"subscribe":{"channel":"` + strings.Repeat("x", 255) + `"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"` + strings.Repeat("x", 256) + `"},"id":1}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel has 256 bytes, more than 255","id":1}
			# bytes count, not characters
			a > {"subscribe":{"channel":"` + strings.Repeat("é", 127) + `x"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"` + strings.Repeat("é", 128) + `"}}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel has 256 bytes, more than 255"}
			a > {"subscribe":{"channel":"a\nb"}}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel has a control character"}
			a > {"subscribe":{"channel":"\u0000"}}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel has a control character"}
			a > {"subscribe":{"channel":"\u007f"}}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel has a control character"}
			a > {"subscribe":{"channel":"\u0085"}}
			a < {"err":"invalid_channel_name","reason":"subscribe: channel has a control character"}
			a > {"subscribe":{"channel":"a b/c:d.é日本🚀"}}
			a < {"ok":true}`},
		{"subscribe, one name however it is written", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"\u0063\/"}}
			a < {"ok":true}
			a > {"publish":{"event":"\u0065","channel":"c/"}}
			a < {"ok":true}
			a < {"event":"e","channel":"c/"}`},
		{"subscribe, case counts and nothing is normalized", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"Caf\u00e9"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"caf\u00e9"}}
			a < {"err":"invalid_channel"}
			a > {"publish":{"event":"e","channel":"Cafe\u0301"}}
			a < {"err":"invalid_channel"}
			a > {"publish":{"event":"e","channel":"Caf\u00e9 "}}
			a < {"err":"invalid_channel"}
			a > {"publish":{"event":"e","channel":"Caf\u00e9"}}
			a < {"ok":true}
			a < {"event":"e","channel":"Café"}`},
		{"subscribe, what was published before is gone", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"publish":{"event":"before","channel":"permanent"}}
			a < {"ok":true}
			b > {"auth":{"access":"read-only","secret":"r"}}
			b < {"ok":true}
			b > {"subscribe":{"channel":"permanent"}}
			b < {"ok":true}
			a > {"publish":{"event":"after","channel":"permanent"}}
			a < {"ok":true}
			b < {"event":"after","channel":"permanent"}`},
		{"subscribe, invalid data", `
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"subscribe":{}}
			a < {"err":"invalid_data","reason":"subscribe: channel is missing"}
			a > {"subscribe":{"channel":7},"id":1}
			a < {"err":"invalid_data","reason":"subscribe: channel is a number, not a string","id":1}
			a > {"subscribe":{"channel":null}}
			a < {"err":"invalid_data","reason":"subscribe: channel is null, not a string"}
			a > {"subscribe":["c"]}
			a < {"err":"invalid_data","reason":"subscribe is an array, not an object"}
			a > {"subscribe":"c"}
			a < {"err":"invalid_data","reason":"subscribe is a string, not an object"}`},
		{"subscribe twice delivers once", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"publish":{"event":"1","channel":"c"}}
			a < {"ok":true}
			a < {"event":"1","channel":"c"}
			a > {"publish":{"event":"2","channel":"c"}}
			a < {"ok":true}
			a < {"event":"2","channel":"c"}
			# and one unsubscribe ends it
			a > {"unsubscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"publish":{"event":"3","channel":"c"}}
			a < {"err":"invalid_channel"}`},
		{"unsubscribe", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			b > {"auth":{"access":"read-write","secret":"rw"}}
			b < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			b > {"subscribe":{"channel":"c"}}
			b < {"ok":true}
			a > {"unsubscribe":{"channel":"c"},"id":5}
			a < {"ok":true,"id":5}
			b > {"publish":{"event":"1","channel":"c"}}
			b < {"ok":true}
			b < {"event":"1","channel":"c"}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			b > {"publish":{"event":"2","channel":"c"}}
			b < {"ok":true}
			b < {"event":"2","channel":"c"}
			a < {"event":"2","channel":"c"}`},
		{"unsubscribe, ok without a subscription, a login or a name", `
			a > {"unsubscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"unsubscribe":{"channel":""},"id":1}
			a < {"ok":true,"id":1}`},
		{"unsubscribe, invalid data", `
			a > {"unsubscribe":{}}
			a < {"err":"invalid_data","reason":"unsubscribe: channel is missing"}
			a > {"unsubscribe":{"channel":false},"id":1}
			a < {"err":"invalid_data","reason":"unsubscribe: channel is false, not a string","id":1}
			a > {"unsubscribe":true}
			a < {"err":"invalid_data","reason":"unsubscribe is true, not an object"}`},
		{"publish, to others and oneself", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			b > {"auth":{"access":"read-only","secret":"r"}}
			b < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			b > {"subscribe":{"channel":"c"}}
			b < {"ok":true}
			a > {"publish":{"event":"e","channel":"c","data":{"n":1}},"id":1}
			# the reply comes before the event
			a < {"ok":true,"id":1}
			a < {"event":"e","channel":"c","data":{"n":1}}
			b < {"event":"e","channel":"c","data":{"n":1}}`},
		{"publish, half of a surrogate pair in a name", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c\ud800"}}
			a < {"ok":true}
			a > {"publish":{"event":"e\udc00","channel":"c\ufffd"}}
			a < {"ok":true}
			a < {"event":"e�","channel":"c�"}`},
		{"publish, an event may be longer than its command", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"publish":{"event":"\b\b\b\b","channel":"c"}}
			a < {"ok":true}
			a < {"event":"\u0008\u0008\u0008\u0008","channel":"c"}`},
		{"publish, to channels one by one", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"x"}}
			a < {"ok":true}
			b > {"auth":{"access":"read-only","secret":"r"}}
			b < {"ok":true}
			b > {"subscribe":{"channel":"y"}}
			b < {"ok":true}
			a > {"publish":{"event":"e","channel":"x"}}
			a < {"ok":true}
			a < {"event":"e","channel":"x"}
			a > {"publish":{"event":"e","channel":"y"}}
			a < {"ok":true}
			b < {"event":"e","channel":"y"}`},
		{"publish, access denied", `
			a > {"publish":{"event":"e","channel":"permanent"}}
			a < {"err":"access_denied"}
			a > {"auth":{"access":"read-only","secret":"r"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"permanent"},"id":1}
			a < {"err":"access_denied","id":1}
			a > {"publish":{"event":"e","channel":"nowhere"}}
			a < {"err":"access_denied"}`},
		{"publish, invalid channel", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"nowhere"}}
			a < {"err":"invalid_channel"}
			a > {"publish":{"event":"e","channel":""},"id":1}
			a < {"err":"invalid_channel","id":1}
			a > {"publish":{"event":"e","channel":"permanent"}}
			a < {"ok":true}`},
		{"publish, invalid data", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"publish":{"channel":"permanent"}}
			a < {"err":"invalid_data","reason":"publish: event is missing"}
			a > {"publish":{"event":"","channel":"permanent"},"id":1}
			a < {"err":"invalid_data","reason":"publish: event is empty","id":1}
			a > {"publish":{"event":7,"channel":"permanent"}}
			a < {"err":"invalid_data","reason":"publish: event is a number, not a string"}
			a > {"publish":{"event":"e"}}
			a < {"err":"invalid_data","reason":"publish: channel is missing"}
			a > {"publish":{"event":"e","channel":["permanent"]}}
			a < {"err":"invalid_data","reason":"publish: channel is an array, not a string"}
			a > {"publish":null}
			a < {"err":"invalid_data","reason":"publish is null, not an object"}`},
		{"logout", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"logout":true}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"err":"access_denied"}
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"publish":{"event":"e","channel":"c"}}
			a < {"err":"invalid_channel"}
			a > {"logout":true,"id":1}
			a < {"ok":true,"id":1}
			# twice is ok too
			a > {"logout":true}
			a < {"ok":true}`},
		{"disconnect", `
			a > {"disconnect":true}
			a < {"ok":true}
			a ! 1000`},
		{"disconnect, with an id", `
			a > {"auth":{"access":"read-write","secret":"rw"}}
			a < {"ok":true}
			a > {"subscribe":{"channel":"c"}}
			a < {"ok":true}
			a > {"disconnect":true,"id":1}
			a < {"ok":true,"id":1}
			a ! 1000
			# its subscriptions are gone
			b > {"auth":{"access":"read-write","secret":"rw"}}
			b < {"ok":true}
			b > {"publish":{"event":"e","channel":"c"}}
			b < {"err":"invalid_channel"}`},
		{"commands after disconnect are not obeyed", `
			a > {"disconnect":true}
			a > {"logout":true}
			a < {"ok":true}
			a ! 1000`},
		{"messages that are no command", `
			a > hello
			a < {"err":"invalid_data","reason":"the message is not JSON: invalid character 'h' looking for beginning of value, at byte 1"}
			a > {"subscribe":{"channel":"c"}
			a < {"err":"invalid_data","reason":"the message is not JSON: unexpected end of JSON input, at byte 28"}
			a > {"subscribe":{"channel":"c"}} x
			a < {"err":"invalid_data","reason":"the message is not JSON: invalid character 'x' after top-level value, at byte 31"}
			a > []
			a < {"err":"invalid_data","reason":"the message is an array, not an object"}
			a > [{"logout":true}]
			a < {"err":"invalid_data","reason":"the message is an array, not an object"}
			a > null
			a < {"err":"invalid_data","reason":"the message is null, not an object"}
			a > "logout"
			a < {"err":"invalid_data","reason":"the message is a string, not an object"}
			a > 7
			a < {"err":"invalid_data","reason":"the message is a number, not an object"}
			a > {}
			a < {"err":"invalid_data","reason":"there is no command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence"}
			a > {"id":7}
			a < {"err":"invalid_data","reason":"there is no command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence","id":7}
			a > {"dance":true}
			a < {"err":"invalid_data","reason":"dance: unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence"}
			a > {"dance":true,"id":7}
			a < {"err":"invalid_data","reason":"dance: unknown command; the commands are auth, subscribe, unsubscribe, publish, logout, disconnect, history, ping and presence","id":7}
			a > {"Logout":true}
			a < {"err":"invalid_data","reason":"Logout: unknown command; did you mean logout?"}
			a > {"logout":true,"disconnect":true}
			a < {"err":"invalid_data","reason":"logout and disconnect are two commands; send each in a message of its own"}
			a > {"logout":true,"logout":true}
			a < {"err":"invalid_data","reason":"logout is there twice"}
			a > {"logout":true,"note":1}
			a < {"err":"invalid_data","reason":"note: unknown member; beside logout there may be only an id"}
			a > {"logout":false}
			a < {"err":"invalid_data","reason":"logout is false, not true"}
			a > {"disconnect":1}
			a < {"err":"invalid_data","reason":"disconnect is a number, not true"}
			# the connection goes on
			a > {"logout":true}
			a < {"ok":true}`},
		{"ids", `
			a > {"logout":true,"id":""}
			a < {"ok":true,"id":""}
			a > {"logout":true,"id":-0.5e+3}
			a < {"ok":true,"id":-0.5e+3}
			a > {"logout":true,"id":123456789012345678901234567890}
			a < {"ok":true,"id":123456789012345678901234567890}
			a > {"logout":true,"id":"\u0041\"é"}
			a < {"ok":true,"id":"\u0041\"é"}
			a > {"logout":true,"id":null}
			a < {"err":"invalid_data","reason":"id is null, not a string or a number"}
			a > {"logout":true,"id":true}
			a < {"err":"invalid_data","reason":"id is true, not a string or a number"}
			a > {"logout":true,"id":[1]}
			a < {"err":"invalid_data","reason":"id is an array, not a string or a number"}
			a > {"logout":true,"id":{}}
			a < {"err":"invalid_data","reason":"id is an object, not a string or a number"}
			a > {"id":1,"logout":true,"id":2}
			a < {"err":"invalid_data","reason":"id is there twice"}
			# two commands may have the same
			a > {"logout":true,"id":3}
			a < {"ok":true,"id":3}
			a > {"logout":true,"id":3}
			a < {"ok":true,"id":3}`},
		{"unknown members of a command's object are ignored, of two the last counts", `
			a > {"auth":{"access":"read-only","secret":"wrong","note":[1],"secret":"r"}}
			a < {"ok":true}`},
		{"white space", `
			a >  { "logout" : true , "id" : 7 }
			a < {"ok":true,"id":7}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := locked()
			h.Channels = []string{"permanent"}
			talk(t, serve(t, hubs{"/": h}), test.dialogue)
		})
	}
}

func TestOpenHubTakesAnySecret(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	talk(t, s, `
		# but there has to be one, and a login
		a > {"subscribe":{"channel":"c"}}
		a < {"err":"access_denied"}
		a > {"auth":{"access":"read-write"}}
		a < {"err":"invalid_data","reason":"auth: secret is missing"}
		a > {"auth":{"access":"read-only","secret":""}}
		a < {"ok":true}
		a > {"auth":{"access":"read-only","secret":"anything"}}
		a < {"ok":true}
		a > {"auth":{"access":"read-write","secret":"anything"}}
		a < {"ok":true}`)
}

func TestHalfOpenHub(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Secrets.ReadWrite = "rw"
	talk(t, serve(t, hubs{"/": h}), `
		a > {"auth":{"access":"read-only","secret":"anything"}}
		a < {"ok":true}
		a > {"auth":{"access":"read-write","secret":"anything"}}
		a < {"err":"invalid_credentials"}
		a > {"auth":{"access":"read-write","secret":"rw"}}
		a < {"ok":true}`)
}

// Reading and publishing includes reading: who may log in for publishing without
// a secret is not locked out by one for reading.
func TestReadOnlySecretAlone(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Secrets.ReadOnly = "r"
	talk(t, serve(t, hubs{"/": h}), `
		a > {"auth":{"access":"read-only","secret":"anything"}}
		a < {"err":"invalid_credentials"}
		a > {"auth":{"access":"read-write","secret":"anything"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"c"}}
		a < {"ok":true}
		a > {"publish":{"event":"e","channel":"c"}}
		a < {"ok":true}
		a < {"event":"e","channel":"c"}`)
}

func TestHubsAreIsolated(t *testing.T) {
	other := locked()
	other.Secrets = webrocket.Credentials{ReadOnly: "r2", ReadWrite: "rw2"}
	s := serve(t, hubs{"/": locked(), "/other": other})
	talk(t, s, `
		a @ /
		b @ /other
		a > {"auth":{"access":"read-write","secret":"rw2"}}
		a < {"err":"invalid_credentials"}
		a > {"auth":{"access":"read-write","secret":"rw"}}
		a < {"ok":true}
		b > {"auth":{"access":"read-write","secret":"rw2"}}
		b < {"ok":true}
		b > {"subscribe":{"channel":"c"}}
		b < {"ok":true}
		a > {"publish":{"event":"e","channel":"c"}}
		a < {"err":"invalid_channel"}
		a > {"subscribe":{"channel":"c"}}
		a < {"ok":true}
		a > {"publish":{"event":"from a","channel":"c"}}
		a < {"ok":true}
		a < {"event":"from a","channel":"c"}
		b > {"publish":{"event":"from b","channel":"c"}}
		b < {"ok":true}
		b < {"event":"from b","channel":"c"}
		a > {"logout":true}
		a < {"ok":true}`)
}

// Data reaches subscribers byte for byte.
func TestDataByteForByte(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	a, b := dial(t, s, "/"), dial(t, s, "/")
	for _, c := range []*client{a, b} {
		c.write(`{"auth":{"access":"read-write","secret":""}}`)
		c.want(`{"ok":true}`)
	}
	b.write(`{"subscribe":{"channel":"c"}}`)
	b.want(`{"ok":true}`)
	for _, data := range []string{
		`null`, `true`, `false`, `0`, `-0`, `-1.50e+10`, `""`, `"x"`, `[]`, `{}`,
		`123456789012345678901234567890.000000000000000000001`,
		`"\u0041\/\n\"\\ \ud83d\ude80 <b>&amp;</b> é 🚀"`,
		`"` + "\u2028\u007f" + `"`,
		` { "b" : [ 1 , 2 ] ,` + "\t\r\n" + ` "a" : null } `,
		`{"a":1,"a":2}`,
		`{"event":"x","channel":"y","data":{"data":1}}`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100),
		`"` + strings.Repeat("x", 60_000) + `"`,
	} {
		a.write(`{"publish":{"event":"e","channel":"c","data":` + data + `}}`)
		a.want(`{"ok":true}`)
		b.want(`{"event":"e","channel":"c","data":` + strings.TrimSpace(data) + `}`)
	}
	a.write(`{"publish":{"event":"e","channel":"c"}}`)
	b.want(`{"event":"e","channel":"c"}`)
}

func TestMaxSubscriptions(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.MaxSubscriptions = 2
	talk(t, serve(t, hubs{"/": h}), `
		a > {"auth":{"access":"read-only","secret":""}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"1"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"2"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"3"},"id":3}
		a < {"err":"limit_exceeded","id":3}
		# what it has it may ask for again
		a > {"subscribe":{"channel":"2"}}
		a < {"ok":true}
		a > {"unsubscribe":{"channel":"1"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"3"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"1"}}
		a < {"err":"limit_exceeded"}
		# each connection has its own count
		b > {"auth":{"access":"read-only","secret":""}}
		b < {"ok":true}
		b > {"subscribe":{"channel":"1"}}
		b < {"ok":true}`)
}

func TestMaxChannels(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.MaxChannels = 2
	h.MaxChannelName = 3
	h.Channels = []string{"one"}
	talk(t, serve(t, hubs{"/": h}), `
		a > {"auth":{"access":"read-only","secret":""}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"four"}}
		a < {"err":"invalid_channel_name","reason":"subscribe: channel has 4 bytes, more than 3"}
		a > {"subscribe":{"channel":"2"}}
		a < {"ok":true}
		a > {"subscribe":{"channel":"3"},"id":3}
		a < {"err":"limit_exceeded","id":3}
		# what is there may be heard
		a > {"subscribe":{"channel":"one"}}
		a < {"ok":true}
		b > {"auth":{"access":"read-only","secret":""}}
		b < {"ok":true}
		b > {"subscribe":{"channel":"2"}}
		b < {"ok":true}
		# it is gone with its last subscriber
		a > {"unsubscribe":{"channel":"2"}}
		a < {"ok":true}
		b > {"unsubscribe":{"channel":"2"}}
		b < {"ok":true}
		b > {"subscribe":{"channel":"3"}}
		b < {"ok":true}`)
}

func TestMaxFailedLogins(t *testing.T) {
	h := locked()
	h.MaxFailedLogins = 2
	talk(t, serve(t, hubs{"/": h}), `
		a > {"auth":{"access":"read-only","secret":"?"}}
		a < {"err":"invalid_credentials"}
		# a login between them does not start the count anew
		a > {"auth":{"access":"read-only","secret":"r"}}
		a < {"ok":true}
		a > {"auth":{"access":"read-write","secret":"r"},"id":1}
		a < {"err":"invalid_credentials","id":1}
		a ! 1008`)
}

func TestMaxFailedLoginsDefault(t *testing.T) {
	c := dial(t, serve(t, hubs{"/": locked()}), "/")
	for range webrocket.DefaultMaxFailedLogins {
		c.write(`{"auth":{"access":"read-only","secret":"?"}}`)
		c.want(`{"err":"invalid_credentials"}`)
	}
	c.wantClose(1008)
}

// A second's worth of commands may come at once; of more each is refused, and
// the tenth in a row ends the connection. Others are not concerned.
func TestCommandRate(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.CommandRate = 1
	s := serve(t, hubs{"/": h})
	c := dialRaw(t, s, "/")
	for i := range 30 {
		c.queue(fmt.Sprintf(`{"logout":true,"id":%d}`, i))
	}
	c.flush()
	for id, refused := 0, 0; refused < 10; id++ {
		_, reply := c.frame()
		switch reply {
		case fmt.Sprintf(`{"ok":true,"id":%d}`, id):
			refused = 0 // a second has passed
		case fmt.Sprintf(`{"err":"rate_limited","id":%d}`, id):
			refused++
		default:
			t.Fatalf("command %d: got %s", id, reply)
		}
	}
	if op, payload := c.frame(); op != codec.OpClose || !strings.HasPrefix(payload, "\x11\x4d") {
		t.Errorf("got %v %q, want a Close frame with 4429", op, payload)
	}
	limited := uint64(0)
	for _, n := range s.Stats(t.Context()).Hubs[0].Commands {
		if n.Kind == "logout" && n.Result == "rate_limited" {
			limited = n.Count
		}
	}
	if limited < 10 {
		t.Errorf("%d commands are counted as limited, want at least 10", limited)
	}
	talk(t, s, `
		b > {"logout":true}
		b < {"ok":true}`)
}

// Bytes are limited too. One message may be larger than a second's worth.
func TestByteRate(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.ByteRate = 10
	talk(t, serve(t, hubs{"/": h}), `
		a > {"auth":{"access":"read-only","secret":"`+strings.Repeat("x", 1000)+`"}}
		a < {"ok":true}
		`+strings.Repeat(`
		a > {"subscribe":{"channel":"c"},"id":7}
		a < {"err":"rate_limited","id":7}`, 10)+`
		a ! 4429`)
}

// Ten commands too fast end the connection only if none between them was obeyed.
// The first message costs more bytes than are given in a quarter of an hour, and
// for a moment another limit counts: no time need pass.
func TestLimitedInARow(t *testing.T) {
	limited := func(commands, bytes int) hubs {
		h := webrocket.NewJSONHandler()
		h.CommandRate, h.ByteRate = commands, bytes
		return hubs{"/": h}
	}
	s := serve(t, limited(0, 1))
	c := login(t, s, "/", "read-only", strings.Repeat("x", 1000))
	refuse := func(n int) {
		t.Helper()
		for range n {
			c.write(`{"subscribe":{"channel":"c"}}`)
			c.want(`{"err":"rate_limited"}`)
		}
	}
	refuse(9)
	reload(t, s, limited(1000, 0))
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"ok":true}`)
	reload(t, s, limited(0, 1))
	refuse(9)
	refuse(1)
	c.wantClose(4429)
}

// Whose commands are counted is forgotten with the connection.
func TestMetersAreForgotten(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.CommandRate = 100
	s := serve(t, hubs{"/": h})
	metered := func() int {
		n, err := s.Metered(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	clients := []*client{login(t, s, "/", "read-only", ""), login(t, s, "/", "read-only", "")}
	if n := metered(); n != len(clients) {
		t.Errorf("%d are counted, want %d", n, len(clients))
	}
	for _, c := range clients {
		_ = c.ws.CloseNow()
	}
	waitFor(t, func() bool { return s.Stats(t.Context()).Hubs[0].Connections == 0 })
	if n := metered(); n != 0 {
		t.Errorf("%d are counted when all have gone", n)
	}
}

func TestMaxSubscriptionsDefaultAndNone(t *testing.T) {
	for _, test := range []struct {
		max  int
		last string // of 130 subscriptions
	}{
		{0, `{"err":"limit_exceeded"}`},
		{-1, `{"ok":true}`},
	} {
		h := webrocket.NewJSONHandler()
		h.MaxSubscriptions = test.max
		c := dial(t, serve(t, hubs{"/": h}), "/")
		c.write(`{"auth":{"access":"read-only","secret":""}}`)
		c.want(`{"ok":true}`)
		for i := range webrocket.DefaultMaxSubscriptions {
			c.write(fmt.Sprintf(`{"subscribe":{"channel":"%d"}}`, i))
			c.want(`{"ok":true}`)
		}
		c.write(`{"subscribe":{"channel":"one more"}}`)
		c.want(test.last)
	}
}

// Replies come in the order of the commands, also where many are on their way.
func TestPipelining(t *testing.T) {
	const commands = 1000
	s := serve(t, hubs{"/": locked()})
	c := dial(t, s, "/")
	var want []string
	sent := make(chan struct{})
	write := func(i int) (command, reply string) {
		switch i % 5 {
		case 0:
			return fmt.Sprintf(`{"auth":{"access":"read-only","secret":"r"},"id":%d}`, i), `{"ok":true,"id":%d}`
		case 1:
			return fmt.Sprintf(`{"subscribe":{"channel":"c%d"},"id":%d}`, i%7, i), `{"ok":true,"id":%d}`
		case 2:
			return fmt.Sprintf(`{"publish":{"event":"e","channel":"c"},"id":%d}`, i), `{"err":"access_denied","id":%d}`
		case 3:
			return fmt.Sprintf(`{"logout":1,"id":%d}`, i), `{"err":"invalid_data","reason":"logout is a number, not true","id":%d}`
		default:
			return fmt.Sprintf(`{"unsubscribe":{"channel":"c%d"},"id":%d}`, i%3, i), `{"ok":true,"id":%d}`
		}
	}
	for i := range commands {
		_, reply := write(i)
		want = append(want, fmt.Sprintf(reply, i))
	}
	go func() {
		defer close(sent)
		for i := range commands {
			command, _ := write(i)
			c.write(command)
		}
	}()
	for _, reply := range want {
		c.want(reply)
	}
	<-sent
}

func TestEndOfConnection(t *testing.T) {
	tests := []struct {
		name    string
		kind    websocket.MessageType
		message string
		code    int
	}{
		{"binary", websocket.MessageBinary, `{"logout":true}`, 1003},
		{"empty binary", websocket.MessageBinary, "", 1003},
		{"over the size limit", websocket.MessageText, strings.Repeat(" ", 1025), 1009},
		{"not UTF-8", websocket.MessageText, "{\"logout\":\"\xff\"}", 1007},
		{"half a character", websocket.MessageText, "\"\xc3", 1007},
		{"a surrogate in UTF-8", websocket.MessageText, "\"\xed\xa0\x80\"", 1007},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := webrocket.NewJSONHandler()
			h.MaxMessageSize = 1024
			s := serve(t, hubs{"/": h})
			c := dial(t, s, "/")
			c.write(strings.Repeat(" ", 1024-len(`{"logout":true}`)) + `{"logout":true}`)
			c.want(`{"ok":true}`)
			c.send(test.kind, test.message)
			c.wantClose(test.code)
		})
	}
}

// A message that is too long is refused by its header: no byte of it has to
// arrive.
func TestTooLongBeforeItArrives(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	c := dialRaw(t, s, "/")
	c.write([]byte{0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4})
	if op, payload := c.frame(); op != codec.OpClose || !strings.HasPrefix(payload, "\x03\xf1") {
		t.Errorf("got opcode %v, %q, want a Close frame with 1009", op, payload)
	}
}

func TestProtocolViolation(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	for _, test := range []struct{ name, bytes string }{
		{"not masked", "\x81\x02{}"},
		{"reserved bit", "\xc1\x82\x00\x00\x00\x00{}"},
		{"reserved opcode", "\x83\x80\x00\x00\x00\x00"},
		{"continuation of nothing", "\x80\x80\x00\x00\x00\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dialRaw(t, s, "/")
			c.write([]byte(test.bytes))
			if op, payload := c.frame(); op != codec.OpClose || !strings.HasPrefix(payload, "\x03\xea") {
				t.Errorf("got opcode %v, %q, want a Close frame with 1002", op, payload)
			}
		})
	}
}

// A command may come in fragments, with a ping between them.
func TestFragments(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	c := dialRaw(t, s, "/")
	mask := [4]byte{1, 2, 3, 4}
	first := codec.AppendMaskedFrame(nil, codec.OpText, []byte(`{"logout":tr`), mask)
	first[0] &^= 0x80
	ping := codec.AppendMaskedFrame(nil, codec.OpPing, []byte("hi"), mask)
	last := codec.AppendMaskedFrame(nil, codec.OpContinuation, []byte(`ue}`), mask)
	c.write(first)
	c.write(ping)
	if op, payload := c.frame(); op != codec.OpPong || payload != "hi" {
		t.Errorf("got opcode %v, %q, want a pong with hi", op, payload)
	}
	c.write(last)
	if op, payload := c.frame(); op != codec.OpText || payload != `{"ok":true}` {
		t.Errorf("got opcode %v, %q, want ok", op, payload)
	}
}

// The subscriptions of a connection that breaks off are gone.
func TestBrokenConnectionUnsubscribes(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	a, b := dialRaw(t, s, "/"), dial(t, s, "/")
	a.command(`{"auth":{"access":"read-only","secret":""}}`)
	a.command(`{"subscribe":{"channel":"c"}}`)
	for range 2 {
		if op, payload := a.frame(); op != codec.OpText || payload != `{"ok":true}` {
			t.Fatalf("got opcode %v, %q, want ok", op, payload)
		}
	}
	b.write(`{"auth":{"access":"read-write","secret":""}}`)
	b.want(`{"ok":true}`)
	_ = a.conn.(*net.TCPConn).SetLinger(0)
	_ = a.conn.Close()
	for {
		b.write(`{"publish":{"event":"e","channel":"c"}}`)
		reply, err := b.read()
		if err != nil {
			t.Fatal(err)
		}
		if reply == `{"err":"invalid_channel"}` {
			break
		}
	}
	if _, err := a.conn.Write([]byte("x")); err == nil {
		t.Error("want the connection to be closed")
	}
	if _, err := io.ReadAll(a.in); err == nil {
		t.Error("want an error from a closed connection")
	}
}
