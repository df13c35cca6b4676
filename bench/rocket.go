package bench

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// rocket is the native protocol: one JSON object per text message, one answer per command.
type rocket struct{}

func (rocket) Name() string                { return "rocket" }
func (rocket) Handshake() (string, string) { return "/", "" }
func (rocket) Opcode() byte                { return opText }
func (rocket) Acks() bool                  { return true }
func (rocket) Stream() bool                { return false }

func (rocket) AppendHello(dst []byte, secret string) []byte {
	quoted, _ := json.Marshal(secret) // a string always encodes
	return append(append(append(dst, `{"auth":{"access":"read-write","secret":`...), quoted...), `}}`...)
}

func (rocket) AppendSubscribe(dst []byte, channel string) []byte {
	return fmt.Appendf(dst, `{"subscribe":{"channel":%q}}`, channel)
}

func (rocket) AppendUnsubscribe(dst []byte, channel string) []byte {
	return fmt.Appendf(dst, `{"unsubscribe":{"channel":%q}}`, channel)
}

func (rocket) AppendPublish(dst []byte, channel string, data []byte) []byte {
	return fmt.Appendf(dst, `{"publish":{"event":"e","channel":%q,"data":%s}}`, channel, data)
}

const (
	rocketHead = `{"event":"e","channel":"`
	rocketMid  = `","data":`
	rocketData = len(rocketHead) + channelNameLen + len(rocketMid)
)

// Parse knows the layout in which deliveries come and leaves all others to encoding/json.
func (rocket) Parse(b []byte) (Message, int, error) {
	if len(b) > rocketData && b[len(b)-1] == '}' && string(b[:len(rocketHead)]) == rocketHead &&
		string(b[rocketData-len(rocketMid):rocketData]) == rocketMid {
		data := b[rocketData : len(b)-1]
		if isPlainString(data) {
			channel := b[len(rocketHead) : len(rocketHead)+channelNameLen]
			return Message{Kind: Delivery, Channel: channel, Data: data}, len(b), nil
		}
	}
	if string(b) == `{"ok":true}` {
		return Message{Kind: Reply}, len(b), nil
	}
	var m struct {
		Ok      bool            `json:"ok"`
		Err     *string         `json:"err"`
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, 0, fmt.Errorf("not a message of Rocket: %w", err)
	}
	switch {
	case m.Err != nil:
		return Message{Kind: Refusal, Text: *m.Err}, len(b), nil
	case m.Ok:
		return Message{Kind: Reply}, len(b), nil
	case m.Data != nil:
		return Message{Kind: Delivery, Channel: []byte(m.Channel), Data: m.Data}, len(b), nil
	}
	return Message{Kind: Noise}, len(b), nil
}

func (rocket) Serve(binary, _ string, port, loops int) ([]string, error) {
	return []string{binary, "-host", "127.0.0.1", "-port", strconv.Itoa(port), "-loops", strconv.Itoa(loops)}, nil
}

func (rocket) ServeTLS(pair keyPair) []string {
	return []string{"-tls-cert", pair.cert, "-tls-key", pair.key}
}

// isPlainString reports whether b looks like a quoted string that begins with a digit. Its contents are compared with
// what was sent, so the look is enough.
func isPlainString(b []byte) bool {
	return len(b) > 2 && b[0] == '"' && b[1]-'0' < 10 && b[len(b)-1] == '"'
}
