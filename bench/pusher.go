package bench

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// A greetedDialect is a Dialect whose server speaks first. What a client says then depends on that, and makes it a
// subscriber or a publisher of one channel. It gets one Reply.
type greetedDialect interface {
	AppendAnswer(dst []byte, greeting string, target *url.URL, secret, channel string) []byte
}

func greets(d Dialect) bool {
	_, ok := d.(greetedDialect)
	return ok
}

// pusher is the Pusher protocol: channels are private, and publishes are client events, so that nothing but WebSocket is
// measured. A client does not hear its own events and gets no answer to them, so publishers are connections of their own.
type pusher struct{}

// pusherApp is the key and the secret of the application that a server is started with.
const pusherApp = "bench"

func (pusher) Name() string { return "pusher" }
func (pusher) Handshake() (string, string) {
	return "/app/" + pusherApp + "?protocol=7&client=rocket-bench", ""
}
func (pusher) Opcode() byte { return opText }
func (pusher) Acks() bool   { return false }
func (pusher) Stream() bool { return false }

func (pusher) AppendHello(dst []byte, _ string) []byte       { return dst }
func (pusher) AppendSubscribe(dst []byte, _ string) []byte   { return dst }
func (pusher) AppendUnsubscribe(dst []byte, _ string) []byte { return dst } // which nothing answers

// AppendAnswer subscribes, with the signature of an application's own endpoint. Publishers must subscribe, too.
func (pusher) AppendAnswer(dst []byte, socketID string, target *url.URL, secret, channel string) []byte {
	mac := hmac.New(sha256.New, []byte(cmp.Or(secret, pusherApp)))
	fmt.Fprintf(mac, "%s:private-%s", socketID, channel)
	return fmt.Appendf(dst, `{"event":"pusher:subscribe","data":{"channel":"private-%s","auth":"%s:%s"}}`,
		channel, path.Base(target.Path), hex.EncodeToString(mac.Sum(nil)))
}

func (pusher) AppendPublish(dst []byte, channel string, data []byte) []byte {
	return fmt.Appendf(dst, `{"event":"client-e","channel":"private-%s","data":%s}`, channel, data)
}

const (
	pusherHead = `{"event":"client-e","channel":"private-`
	pusherMid  = `","data":`
	pusherData = len(pusherHead) + channelNameLen + len(pusherMid)
)

// Parse knows the layout in which deliveries come and leaves all others to encoding/json.
func (pusher) Parse(b []byte) (Message, int, error) {
	if len(b) > pusherData && b[len(b)-1] == '}' && string(b[:len(pusherHead)]) == pusherHead &&
		string(b[pusherData-len(pusherMid):pusherData]) == pusherMid {
		if data := b[pusherData : len(b)-1]; isPlainString(data) {
			return Message{Kind: Delivery, Channel: b[len(pusherHead) : len(pusherHead)+channelNameLen], Data: data}, len(b), nil
		}
	}
	var m struct {
		Event   string
		Channel string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, 0, fmt.Errorf("not a message of the Pusher protocol: %w", err)
	}
	switch m.Event {
	case "client-e":
		channel := bytes.TrimPrefix([]byte(m.Channel), []byte("private-"))
		return Message{Kind: Delivery, Channel: channel, Data: m.Data}, len(b), nil
	case "pusher:connection_established":
		var text string
		var data struct {
			Socket string `json:"socket_id"`
		}
		if json.Unmarshal(m.Data, &text) != nil || json.Unmarshal([]byte(text), &data) != nil || data.Socket == "" {
			return Message{}, 0, fmt.Errorf("a connection without a socket_id: %s", b)
		}
		return Message{Kind: Greeting, Text: data.Socket}, len(b), nil
	case "pusher_internal:subscription_succeeded":
		return Message{Kind: Reply}, len(b), nil
	case "pusher:ping":
		return Message{Kind: Ask, Text: `{"event":"pusher:pong","data":{}}`}, len(b), nil
	case "pusher:error", "pusher:subscription_error":
		return Message{Kind: Refusal, Text: string(m.Data)}, len(b), nil
	}
	return Message{Kind: Noise}, len(b), nil
}

// pusherConfig is an application whose limits on client events are out of the way.
const pusherConfig = `{"Apps": [{
  "ID": "bench", "Keys": [{"Key": "bench", "Secret": "bench"}], "ClientEventRate": 100000000, "MaxEventData": "64KB"
}], "MaxMessageSize": "128KB"}
`

func (pusher) Serve(binary, dir string, port, loops int) ([]string, error) {
	file := filepath.Join(dir, "rocket.json")
	if err := os.WriteFile(file, []byte(pusherConfig), 0o600); err != nil {
		return nil, err
	}
	return []string{binary, "-host", "127.0.0.1", "-port", strconv.Itoa(port), "-loops", strconv.Itoa(loops), file}, nil
}

func (pusher) ServeTLS(pair keyPair) []string { return rocket{}.ServeTLS(pair) }
