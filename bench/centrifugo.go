package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// centrifugo is Centrifugo's bidirectional JSON protocol: objects, one a line, several to a frame.
type centrifugo struct{}

func (centrifugo) Name() string                { return "centrifugo" }
func (centrifugo) Handshake() (string, string) { return "/connection/websocket", "" }
func (centrifugo) Opcode() byte                { return opText }
func (centrifugo) Acks() bool                  { return true }
func (centrifugo) Stream() bool                { return false }

func (centrifugo) AppendHello(dst []byte, secret string) []byte {
	return fmt.Appendf(dst, `{"id":1,"connect":{"token":%q}}`, secret)
}

func (centrifugo) AppendSubscribe(dst []byte, channel string) []byte {
	return fmt.Appendf(dst, `{"id":2,"subscribe":{"channel":%q}}`, channel)
}

func (centrifugo) AppendRecover(dst []byte, channel string, since Position) []byte {
	return fmt.Appendf(dst, `{"id":2,"subscribe":{"channel":%q,"recover":true,"epoch":%q,"offset":%d}}`, channel, since.Epoch, since.Offset)
}

func (centrifugo) AppendUnsubscribe(dst []byte, channel string) []byte {
	return fmt.Appendf(dst, `{"id":3,"unsubscribe":{"channel":%q}}`, channel)
}

func (centrifugo) AppendPublish(dst []byte, channel string, data []byte) []byte {
	return fmt.Appendf(dst, `{"id":4,"publish":{"channel":%q,"data":%s}}`, channel, data)
}

const (
	centrifugoHead = `{"push":{"channel":"`
	centrifugoMid  = `","pub":{"data":`
	centrifugoData = len(centrifugoHead) + channelNameLen + len(centrifugoMid)
	centrifugoTail = `}}}`
)

// Parse knows the layout in which deliveries come and leaves all others to encoding/json.
func (centrifugo) Parse(b []byte) (Message, int, error) {
	line, size := b, len(b)
	if eol := bytes.IndexByte(b, '\n'); eol >= 0 {
		line, size = b[:eol], eol+1
	}
	if len(line) > centrifugoData+len(centrifugoTail) && string(line[:len(centrifugoHead)]) == centrifugoHead &&
		string(line[centrifugoData-len(centrifugoMid):centrifugoData]) == centrifugoMid &&
		string(line[len(line)-len(centrifugoTail):]) == centrifugoTail {
		if n := plainString(line[centrifugoData:]); n > 0 {
			channel := line[len(centrifugoHead) : len(centrifugoHead)+channelNameLen]
			_, offset := cutOffset(line[centrifugoData : len(line)-len(centrifugoTail)])
			return Message{
				Kind: Delivery, Channel: channel, Data: line[centrifugoData : centrifugoData+n], Position: Position{Offset: offset},
			}, size, nil
		}
	}
	m, err := parseCentrifugo(line)
	return m, size, err
}

func parseCentrifugo(line []byte) (Message, error) {
	if len(bytes.TrimSpace(line)) == 0 {
		return Message{Kind: Noise}, nil
	}
	var m struct {
		ID    uint32 `json:"id"`
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
		Push *struct {
			Channel    string         `json:"channel"`
			Pub        *centrifugoPub `json:"pub"`
			Disconnect *struct {
				Reason string `json:"reason"`
			} `json:"disconnect"`
		} `json:"push"`
		Subscribe struct {
			Epoch        string          `json:"epoch"`
			Offset       uint64          `json:"offset"`
			Publications []centrifugoPub `json:"publications"`
		} `json:"subscribe"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return Message{}, fmt.Errorf("not a message of Centrifugo: %w", err)
	}
	switch {
	case m.Error != nil:
		return Message{Kind: Refusal, Text: m.Error.Message}, nil
	case m.ID != 0:
		reply := Message{Kind: Reply, Position: Position{m.Subscribe.Epoch, m.Subscribe.Offset}}
		for i := range m.Subscribe.Publications {
			reply.Replayed = append(reply.Replayed, m.Subscribe.Publications[i].message())
		}
		return reply, nil
	case m.Push == nil:
		return Message{Kind: Ask, Text: "{}"}, nil // an empty object is a ping
	case m.Push.Disconnect != nil:
		return Message{Kind: Refusal, Text: m.Push.Disconnect.Reason}, nil
	case m.Push.Pub != nil:
		delivery := m.Push.Pub.message()
		delivery.Channel = []byte(m.Push.Channel)
		return delivery, nil
	}
	return Message{Kind: Noise}, nil
}

// centrifugoPub is an event, live or replayed.
type centrifugoPub struct {
	Data   json.RawMessage `json:"data"`
	Offset uint64          `json:"offset"`
}

func (p *centrifugoPub) message() Message {
	return Message{Kind: Delivery, Data: p.Data, Position: Position{Offset: p.Offset}}
}

func (d centrifugo) Serve(binary, dir string, port, _ int) ([]string, error) {
	return d.serve(binary, dir, d.settings(port))
}

func (d centrifugo) ServeHistory(binary, dir string, port, _, events int) ([]string, error) {
	settings := d.settings(port)
	settings["channel"] = keeping(events)
	return d.serve(binary, dir, settings)
}

// keeping are the settings of channels that keep so many events.
func keeping(events int) map[string]any {
	return map[string]any{"without_namespace": map[string]any{
		"history_size": events, "history_ttl": historyTTL, "force_recovery": true,
	}}
}

// Between is Redis where events are kept: with NATS Centrifugo has no history.
func (centrifugo) Between(events int) between {
	if events > 0 {
		return redisBetween
	}
	return natsBetween
}

// ServeNode has Centrifugo's own broker for NATS, or its engine for Redis.
func (d centrifugo) ServeNode(binary, dir string, port, _, events int, url string) ([]string, error) {
	settings := d.settings(port)
	if events > 0 {
		settings["engine"] = map[string]any{"type": "redis", "redis": map[string]any{"address": url}}
		settings["channel"] = keeping(events)
	} else {
		settings["broker"] = map[string]any{"enabled": true, "type": "nats", "nats": map[string]any{"url": url}}
	}
	return d.serve(binary, dir, settings)
}

func (d centrifugo) ServeAPI(binary, dir string, port, _ int, key string) ([]string, error) {
	settings := d.settings(port)
	settings["http_api"] = map[string]any{"key": key}
	return d.serve(binary, dir, settings)
}

func (centrifugo) AppendPost(dst []byte, host, key, channel string, data []byte) []byte {
	body := fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, data)
	dst = fmt.Appendf(dst, "POST /api/publish HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", host, key, len(body))
	return append(dst, body...)
}

func (centrifugo) Posted(body []byte) bool { return bytes.HasPrefix(body, []byte(`{"result":`)) }

func (centrifugo) settings(port int) map[string]any {
	return map[string]any{
		"http_server": map[string]any{"address": "127.0.0.1", "port": port},
		"client":      map[string]any{"insecure": true, "channel_limit": 1024, "queue_max_size": 256 << 20},
		"log":         map[string]any{"level": "error"},
	}
}

// serve writes the settings to a file.
func (centrifugo) serve(binary, dir string, settings map[string]any) ([]string, error) {
	conf, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "centrifugo.json")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		return nil, err
	}
	return []string{binary, "-c", file}, nil
}

// plainString is the length of the quoted string at the start of b if it begins with a digit, has no escapes, and the
// object ends or another member follows; otherwise 0.
func plainString(b []byte) int {
	if b[0] != '"' || b[1]-'0' >= 10 {
		return 0
	}
	end := bytes.IndexByte(b[1:], '"') + 2
	if end < 2 || end == len(b) || b[end] != '}' && b[end] != ',' || bytes.IndexByte(b[1:end], '\\') >= 0 {
		return 0
	}
	return end
}
