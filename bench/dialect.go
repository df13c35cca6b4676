package bench

import (
	"fmt"
	"sort"
	"strings"
)

// A Dialect is how one kind of server is spoken to. Each AppendX extends dst by one message, which the caller frames.
// Hello, subscribe and unsubscribe are answered by exactly one Reply or Refusal each, in order; an empty one is not sent, and
// done at once.
type Dialect interface {
	Name() string
	// Handshake returns the default path, perhaps with a query, and the subprotocol ("" for none).
	Handshake() (path, subprotocol string)
	// Opcode is that of the frames we send.
	Opcode() byte
	// AppendHello appends what is said first.
	AppendHello(dst []byte, secret string) []byte
	AppendSubscribe(dst []byte, channel string) []byte
	AppendUnsubscribe(dst []byte, channel string) []byte
	// AppendPublish publishes data, which is a JSON value.
	AppendPublish(dst []byte, channel string, data []byte) []byte
	// Acks reports whether a publish is answered.
	Acks() bool
	// Stream reports whether the payloads of frames form one stream of bytes, in which a message may span frames.
	Stream() bool
	// Parse reads the first message of b and returns its length. A length of 0 means that b is too short,
	// which can only be if Stream is true.
	Parse(b []byte) (Message, int, error)
	// Serve returns the command line that starts such a server on 127.0.0.1:port, at GOMAXPROCS loops. Files it
	// needs go to dir.
	Serve(binary, dir string, port, loops int) ([]string, error)
}

// tlsDialect is a Dialect whose server can be started with TLS.
type tlsDialect interface {
	// ServeTLS returns what follows the command line of Serve.
	ServeTLS(keyPair) []string
}

// Kind says what a Message of a server is.
type Kind uint8

// The kinds of messages.
const (
	Noise    Kind = iota // nothing to do
	Delivery             // Channel and Data are set, and the Position's Offset if the channel keeps a history
	Reply                // a command was done; that to a subscription may have Position and Replayed
	Refusal              // a command was refused, or the server complains; Text says why
	Ask                  // the server wants to hear Text, as it is
	Greeting             // what the server says first is in Text, if the dialect is a greetedDialect
)

// Message is one message of a server. Its slices are valid as long as the bytes given to Parse.
type Message struct {
	Kind    Kind
	Channel []byte
	Data    []byte
	Text    string

	Position Position
	Replayed []Message // events that a reply brings: Data and Position
}

// dialects are all there are, by name.
var dialects = func() map[string]Dialect {
	all := map[string]Dialect{}
	for _, d := range []Dialect{rocket{}, nats{}, centrifugo{}, nchan{}, pusher{}} {
		all[d.Name()] = d
	}
	return all
}()

// DialectNamed returns the dialect of that name.
func DialectNamed(name string) (Dialect, error) {
	if d, ok := dialects[name]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("unknown dialect %q; known are %s", name, strings.Join(DialectNames(), ", "))
}

// DialectNames returns the names of all dialects in alphabetical order.
func DialectNames() []string {
	var names []string
	for name := range dialects {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
