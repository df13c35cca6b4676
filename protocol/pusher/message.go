package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
)

// A message is what a client sends: {"event":…,"channel":…,"data":…}. Other members
// are not looked at: nothing that a client adds reaches another one.
type message struct {
	event   string
	channel string
	data    json.RawMessage // nil if there is none
}

var errMessage = errors.New("the message is not an object with the event's name")

// parseMessage reads a message, which is valid UTF-8.
func parseMessage(text []byte) (m message, err error) {
	members, err := parseObject(text)
	if err != nil {
		return message{}, errMessage
	}
	var ok bool
	if m.event, ok = members.text("event"); !ok || m.event == "" {
		return message{}, errMessage
	}
	if members.get("channel") != nil {
		if m.channel, ok = members.text("channel"); !ok {
			return message{}, errMessage
		}
	}
	m.data = members.get("data")
	return m, nil
}

// object is the members of a JSON object, each value as it was sent.
type object []field

// A field is a member of an object.
type field struct {
	name  string
	value json.RawMessage
}

// get returns the value of a member, nil if there is none of that name.
func (o object) get(name string) json.RawMessage {
	for i := range o {
		if o[i].name == name {
			return o[i].value
		}
	}
	return nil
}

// membersMax is how many members an object may have, so that no message is expensive.
const membersMax = 64

var errObject = errors.New("not a JSON object")

// parseObject reads a JSON object, of which it keeps a copy. Unlike json.Unmarshal into a
// struct it knows names in one case only, and refuses an object in which one is there
// twice: two readers could each take another one. Every message of a client goes through
// it, so it makes no decoder and no map.
func parseObject(text []byte) (object, error) {
	if !json.Valid(text) {
		return nil, errObject
	}
	c := cutter{bytes.Clone(text)}
	c.skipSpace()
	if c.rest[0] != '{' {
		return nil, errObject
	}
	c.skip(1)
	o := make(object, 0, 4)
	for c.rest[0] != '}' {
		name, _ := textOf(c.value())
		c.skip(1) // the colon
		value := c.value()
		if o.get(name) != nil || len(o) == membersMax {
			return nil, errObject
		}
		o = append(o, field{name, value})
		if c.rest[0] == ',' {
			c.skip(1)
		}
	}
	return o, nil
}

// A cutter cuts JSON, which is valid, into its parts.
type cutter struct{ rest []byte }

func (c *cutter) skipSpace() { c.rest = bytes.TrimLeft(c.rest, " \t\r\n") }

// skip skips n bytes and the space behind them.
func (c *cutter) skip(n int) {
	c.rest = c.rest[n:]
	c.skipSpace()
}

// value returns the value that comes next, and skips it.
func (c *cutter) value() json.RawMessage {
	n := valueLen(c.rest)
	v := c.rest[:n:n]
	c.skip(n)
	return v
}

// valueLen returns the length of the value that valid JSON begins with.
func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']', ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i // a number or a word ends here
			}
			if text[i] == '}' || text[i] == ']' {
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	return len(text)
}

// text returns a member that is a string.
func (o object) text(name string) (string, bool) { return textOf(o.get(name)) }

// textOf returns the text of a JSON string.
func textOf(value json.RawMessage) (text string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if plain := value[1 : len(value)-1]; !bytes.ContainsAny(plain, "\"\\") && utf8.Valid(plain) {
		return string(plain), true
	}
	err := json.Unmarshal(value, &text)
	return text, err == nil
}

// arguments returns the data of an event of the protocol itself, which is an object,
// or, of some clients, a string with one.
func (m *message) arguments() (object, error) {
	if text, ok := textOf(m.data); ok {
		return parseObject([]byte(text))
	}
	if m.data == nil {
		return object{}, nil
	}
	return parseObject(m.data)
}

// toHub returns the data of an event as the hub has it, one JSON value, for what a
// client or the HTTP API has sent, which is one too. Where that is a string with the
// text of an object or array, as libraries make it, it is that object or array: a
// client of another protocol gets it as one. All else stays as it was sent.
func toHub(sent []byte) []byte {
	text, ok := textOf(sent)
	if !ok || text == "" || text[0] != '{' && text[0] != '[' {
		return sent
	}
	// A string with half of a surrogate pair has no other spelling.
	if bytes.ContainsRune([]byte(text), utf8.RuneError) || !json.Valid([]byte(text)) {
		return sent
	}
	return []byte(text)
}

// appendData extends dst by the data of an event of the hub as clients get it, a
// string: what toHub has taken out of a string is the same string again.
func appendData(dst, data []byte) []byte {
	if text := bytes.Trim(data, " \t\r\n"); len(text) > 0 && text[0] == '"' {
		return append(dst, text...)
	}
	return appendString(dst, data)
}

// appendEvent extends dst by an event for clients. data is nil for none, and user ""
// where they are not told who has sent it.
func appendEvent(dst []byte, event, channel, data []byte, user string) []byte {
	dst = append(dst, `{"event":`...)
	dst = appendString(dst, event)
	dst = append(dst, `,"channel":`...)
	dst = appendString(dst, channel)
	if data != nil {
		dst = append(dst, `,"data":`...)
		dst = appendData(dst, data)
	}
	if user != "" {
		dst = append(dst, `,"user_id":`...)
		dst = appendString(dst, []byte(user))
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString extends dst by a JSON string with that text, which is valid UTF-8.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// frame returns the frame of a message.
func frame(text []byte) []byte { return codec.AppendFrame(nil, codec.OpText, text) }

// internal returns an event of the protocol itself in a channel, "" for none. Its data
// is a string with the JSON text.
func internal(event, channel, data string) []byte {
	dst := appendString([]byte(`{"event":`), []byte(event))
	if channel != "" {
		dst = appendString(append(dst, `,"channel":`...), []byte(channel))
	}
	dst = appendString(append(dst, `,"data":`...), []byte(data))
	return append(dst, '}')
}

// established is the first message of the server. The time in seconds is that after
// which a silent client looks whether the server is there; pusher-js ends a connection
// without one.
func established(socketID string, seconds int) []byte {
	data := `{"socket_id":"` + socketID + `","activity_timeout":` + strconv.Itoa(seconds) + `}`
	return internal("pusher:connection_established", "", data)
}

// An answer of the server to something that is refused. Its data is an object.
type clientError struct {
	message string
	code    int    // 0 for none
	channel string // "" for none
}

// errorMessage tells a client what was refused.
func errorMessage(e clientError) []byte {
	dst := []byte(`{"event":"pusher:error"`)
	if e.channel != "" {
		dst = appendString(append(dst, `,"channel":`...), []byte(e.channel))
	}
	dst = appendString(append(dst, `,"data":{"message":`...), []byte(e.message))
	dst = append(dst, `,"code":`...)
	if e.code == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, int64(e.code), 10)
	}
	return append(dst, "}}"...)
}

// subscriptionError tells a client which subscription was refused, and why.
func subscriptionError(channel, kind, why string, status int) []byte {
	dst := appendString([]byte(`{"event":"pusher:subscription_error","channel":`), []byte(channel))
	dst = appendString(append(dst, `,"data":{"type":`...), []byte(kind))
	dst = appendString(append(dst, `,"error":`...), []byte(why))
	dst = append(dst, `,"status":`...)
	return append(strconv.AppendInt(dst, int64(status), 10), "}}"...)
}

// textsOf returns the texts of a JSON array of strings.
func textsOf(value json.RawMessage) (all []string, ok bool) {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil, false
	}
	for _, v := range list {
		text, ok := textOf(v)
		if !ok {
			return nil, false
		}
		all = append(all, text)
	}
	return all, true
}

// objectsOf returns the objects of a JSON array.
func objectsOf(value json.RawMessage) (all []object, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, err
	}
	for _, v := range list {
		o, err := parseObject(v)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}
