package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

func (rocket) AppendRecover(dst []byte, channel string, since Position) []byte {
	return fmt.Appendf(dst, `{"subscribe":{"channel":%q,"since":{"epoch":%q,"offset":%d}}}`, channel, since.Epoch, since.Offset)
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

	rocketOffset = `,"offset":`
)

// Parse knows the layout in which deliveries come and leaves all others to encoding/json.
func (rocket) Parse(b []byte) (Message, int, error) {
	if len(b) > rocketData && b[len(b)-1] == '}' && string(b[:len(rocketHead)]) == rocketHead &&
		string(b[rocketData-len(rocketMid):rocketData]) == rocketMid {
		data, offset := cutOffset(b[rocketData : len(b)-1])
		if isPlainString(data) {
			channel := b[len(rocketHead) : len(rocketHead)+channelNameLen]
			return Message{Kind: Delivery, Channel: channel, Data: data, Position: Position{Offset: offset}}, len(b), nil
		}
	}
	if string(b) == `{"ok":true}` {
		return Message{Kind: Reply}, len(b), nil
	}
	if rest, ok := bytes.CutPrefix(b, []byte(`{"ok":true`)); ok {
		if _, offset := cutOffset(rest[:len(rest)-1]); offset > 0 && bytes.HasPrefix(rest, []byte(rocketOffset)) {
			return Message{Kind: Reply}, len(b), nil // to a publish: that is no position
		}
	}
	var m struct {
		Ok      bool            `json:"ok"`
		Err     *string         `json:"err"`
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
		Epoch   string          `json:"epoch"`
		Offset  uint64          `json:"offset"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, 0, fmt.Errorf("not a message of Rocket: %w", err)
	}
	switch {
	case m.Err != nil:
		return Message{Kind: Refusal, Text: *m.Err}, len(b), nil
	case m.Ok:
		return Message{Kind: Reply, Position: Position{m.Epoch, m.Offset}}, len(b), nil
	case m.Data != nil:
		return Message{Kind: Delivery, Channel: []byte(m.Channel), Data: m.Data, Position: Position{Offset: m.Offset}}, len(b), nil
	}
	return Message{Kind: Noise}, len(b), nil
}

func (rocket) Serve(binary, _ string, port, loops int) ([]string, error) {
	return []string{binary, "-host", "127.0.0.1", "-port", strconv.Itoa(port), "-loops", strconv.Itoa(loops)}, nil
}

// Between stores what is kept in streams.
func (rocket) Between(events int) between {
	if events > 0 {
		return streamsBetween
	}
	return natsBetween
}

// ServeNode has the server's defaults for everything but the cluster. One server of NATS has one replica.
func (d rocket) ServeNode(binary, dir string, port, loops, events int, url string) ([]string, error) {
	node := []string{"-admin", "off", "-nats-servers", url, "-cluster-node", fmt.Sprintf("n%d", port)}
	if events == 0 {
		args, err := d.Serve(binary, dir, port, loops)
		return append(args, node...), err
	}
	args, err := d.ServeHistory(binary, dir, port, loops, events)
	return append(append(args, node...), "-nats-streams", "-cluster-replicas", "1"), err
}

// ServeMesh has the server's defaults for everything but the cluster and the rule.
func (d rocket) ServeMesh(binary, dir string, port, loops, events int, nodes []string) ([]string, error) {
	args, err := d.ServeHistory(binary, dir, port, loops, events)
	all := slices.Sorted(slices.Values(nodes)) // the same list for each
	return append(args, "-admin", "off", "-cluster-listen", nodes[0], "-cluster-routes", strings.Join(all, ","),
		"-cluster-node", fmt.Sprintf("n%d", port), "-cluster-dir", filepath.Join(dir, "store")), err
}

// ServeHistory has the server's defaults for everything but the rule.
func (d rocket) ServeHistory(binary, dir string, port, loops, events int) ([]string, error) {
	return d.serveHub(binary, dir, port, loops, map[string]any{
		"Path": "/", "Rules": []any{map[string]any{"Match": "**", "History": map[string]any{"Size": events, "TTL": historyTTL}}},
	})
}

func (d rocket) ServeAPI(binary, dir string, port, loops int, key string) ([]string, error) {
	digest := sha256.Sum256([]byte(key))
	return d.serveHub(binary, dir, port, loops, map[string]any{"Path": "/", "Keys": []any{map[string]any{
		"Name": "bench", "SHA256": hex.EncodeToString(digest[:]), "Channels": []string{"*"}, "May": []string{"publish"},
	}}})
}

// serveHub is Serve with a configuration file that has one hub.
func (d rocket) serveHub(binary, dir string, port, loops int, hub map[string]any) ([]string, error) {
	conf, err := json.Marshal(map[string]any{"Hubs": []any{hub}})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "rocket.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		return nil, err
	}
	args, err := d.Serve(binary, dir, port, loops)
	return append(args, file), err
}

func (rocket) AppendPost(dst []byte, host, key, channel string, data []byte) []byte {
	dst = fmt.Appendf(dst, "POST /v1/publish/%s?event=e HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", channel, host, key, len(data))
	return append(dst, data...)
}

func (rocket) Posted(body []byte) bool {
	return bytes.HasPrefix(body, []byte(`{"ok":true,"heard":true`))
}

func (rocket) ServeTLS(pair keyPair) []string {
	return []string{"-tls-cert", pair.cert, "-tls-key", pair.key}
}

// cutOffset takes the offset off the end of an event without its last brace. It is 0 if there is none.
func cutOffset(b []byte) (rest []byte, offset uint64) {
	end := len(b)
	for end > 0 && b[end-1]-'0' < 10 {
		end--
	}
	rest, ok := bytes.CutSuffix(b[:end], []byte(rocketOffset))
	if !ok || len(b)-end > 19 {
		return b, 0
	}
	for _, digit := range b[end:] {
		offset = offset*10 + uint64(digit-'0')
	}
	return rest, offset
}

// isPlainString reports whether b looks like a quoted string that begins with a digit. Its contents are compared with
// what was sent, so the look is enough.
func isPlainString(b []byte) bool {
	return len(b) > 2 && b[0] == '"' && b[1]-'0' < 10 && b[len(b)-1] == '"'
}
