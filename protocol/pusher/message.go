package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

// A message is what a client sends: {"event":…,"channel":…,"data":…}. Other members
// are not looked at: nothing that a client adds reaches another one. The slices are
// valid until the bytes of the message are used again.
type message struct {
	event   []byte
	channel []byte
	data    []byte // JSON, nil if there is none
}

var errMessage = errors.New("the message is not an object with the event's name")

// parseMessage reads a message, which is valid UTF-8.
func parseMessage(text []byte) (m message, err error) {
	var room [fewMembers]codec.Field
	members, err := parseObject(room[:0], text)
	if err != nil {
		return message{}, errMessage
	}
	var ok bool
	if m.event, ok = members.text("event"); !ok || len(m.event) == 0 {
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

// ownEvent reports whether an event is one of the protocol itself. Clients believe what such
// events say, of whichever channel they are, so nobody publishes one.
func ownEvent[T ~string | ~[]byte](name T) bool {
	return strings.HasPrefix(string(name), "pusher:") || strings.HasPrefix(string(name), "pusher_internal:")
}

// fewMembers is how many members most objects of clients have at most.
const fewMembers = 6

// object is the members of a JSON object, each value as it was sent.
type object []codec.Field

// get returns the value of a member, nil if there is none of that name.
func (o object) get(name string) []byte {
	for i := range o {
		if string(o[i].Name) == name {
			return o[i].Value
		}
	}
	return nil
}

// twice reports whether a name is there more than once.
func (o object) twice() bool {
	for i := range o {
		for j := range i {
			if bytes.Equal(o[i].Name, o[j].Name) {
				return true
			}
		}
	}
	return false
}

// membersMax is how many members an object may have, so that no message is expensive.
const membersMax = 64

var errObject = errors.New("not a JSON object")

// parseObject extends room by the members of a JSON object, valid UTF-8, whose slices point
// into text for the most part. Unlike json.Unmarshal into a struct it knows names in one case only,
// and refuses an object in which one is there twice: two readers could each take another
// one. Every message of a client goes through it, so it makes no decoder and no map.
func parseObject(room []codec.Field, text []byte) (object, error) {
	all, ok := codec.AppendFields(room, text, membersMax)
	if !ok {
		all, ok = cutObject(text)
	}
	o := object(all)
	if !ok || o.twice() {
		return nil, errObject
	}
	return o, nil
}

// cutObject is codec.AppendFields for what that has refused: names with escapes, and values
// that are nested deeply.
func cutObject(text []byte) (all []codec.Field, ok bool) {
	if !json.Valid(text) {
		return nil, false
	}
	c := cutter{text}
	c.skipSpace()
	if c.rest[0] != '{' {
		return nil, false
	}
	c.skip(1)
	for c.rest[0] != '}' {
		if len(all) == membersMax {
			return nil, false
		}
		name, _ := textOf(c.value())
		c.skip(1) // the colon
		all = append(all, codec.Field{Name: name, Value: c.value()})
		if c.rest[0] == ',' {
			c.skip(1)
		}
	}
	return all, true
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
func (c *cutter) value() []byte {
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
func (o object) text(name string) (text []byte, ok bool) { return textOf(o.get(name)) }

// string is text as a string.
func (o object) string(name string) (text string, ok bool) {
	t, ok := o.text(name)
	return string(t), ok
}

// textOf returns the text of a JSON string: a part of it, if it has no escapes.
func textOf(value []byte) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	if plain := value[1 : len(value)-1]; bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return plain, true
	}
	var decoded string
	err := json.Unmarshal(value, &decoded)
	return []byte(decoded), err == nil
}

// arguments are what the data of an event of the protocol itself has: JSON, nil for what
// is not there. They are valid as long as the message.
type arguments struct{ channel, auth, channelData, userData []byte }

// arguments returns the data of an event of the protocol itself, which is an object,
// or, of some clients, a string with one.
func (m *message) arguments() (arguments, error) {
	if m.data == nil {
		return arguments{}, nil
	}
	text := m.data
	if inner, ok := textOf(m.data); ok {
		text = inner
	}
	var room [fewMembers]codec.Field
	o, err := parseObject(room[:0], text)
	if err != nil {
		return arguments{}, err
	}
	return arguments{o.get("channel"), o.get("auth"), o.get("channel_data"), o.get("user_data")}, nil
}

// dataSize returns how many bytes the data of an event has, without the escapes that a
// string needs.
func dataSize(sent []byte) int {
	if text, ok := textOf(sent); ok {
		return len(text)
	}
	return len(sent)
}

// toHub returns the data of an event as the hub has it, one JSON value, for what a
// client or the HTTP API has sent, which is one too. Where that is a string with the
// text of an object or array, as libraries make it, it is that object or array: a
// client of another protocol gets it as one. All else stays as it was sent.
func toHub(sent []byte) []byte {
	text, ok := textOf(sent)
	if !ok || len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return sent
	}
	// A string with half of a surrogate pair has no other spelling.
	if bytes.ContainsRune(text, utf8.RuneError) || !json.Valid(text) {
		return sent
	}
	return text
}

// appendData extends dst by the data of an event of the hub as clients get it, a
// string: what toHub has taken out of a string is the same string again.
func appendData(dst, data []byte) []byte {
	if text := bytes.Trim(data, " \t\r\n"); len(text) > 0 && text[0] == '"' {
		return append(dst, text...)
	}
	return appendString(dst, data)
}

// eventMessage returns an event for clients, for the most part in one allocation. data is
// nil for none, and user "" where they are not told who has sent it.
func eventMessage(event, channel, data []byte, user string) []byte {
	escapes := bytes.Count(data, []byte(`"`)) + bytes.Count(data, []byte(`\`))
	return appendEvent(begin(len(event)+len(channel)+len(data)+escapes+len(user)), event, channel, data, user)
}

// appendEvent extends dst by an event.
func appendEvent(dst, event, channel, data []byte, user string) []byte {
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
		dst = appendString(dst, user)
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString extends dst by a JSON string with that text, which is valid UTF-8.
func appendString[T ~string | ~[]byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
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

// headRoom is the length of the longest header of a frame from the server.
const headRoom = 10

// begin returns where a message is built whose texts have about so many bytes, with room
// for the header of its frame before it.
func begin(size int) []byte {
	const around = len(`{"event":"","channel":"","data":"","user_id":""}`)
	return make([]byte, headRoom, headRoom+around+size)
}

// finish returns the frame of a message that was begun so.
func finish(b []byte) []byte {
	var room [headRoom]byte
	head := codec.AppendHeader(room[:0], codec.OpText, len(b)-headRoom)
	frame := b[headRoom-len(head):]
	copy(frame, head)
	return frame
}

// send sends a message that was begun so.
func send(c *engine.Conn, b []byte) {
	if c.HearsDeflated() {
		c.Send(codec.OpText, b[headRoom:]) // which looks whether it gets shorter
		return
	}
	c.SendFrame(finish(b))
}

// internal returns an event of the protocol itself in a channel, "" for none. Its data
// is a string with the JSON text.
func internal(event, channel, data string) []byte {
	const quotes = 8 // in the data of most
	dst := begin(len(event) + len(channel) + len(data) + quotes)
	dst = appendString(append(dst, `{"event":`...), event)
	if channel != "" {
		dst = appendString(append(dst, `,"channel":`...), channel)
	}
	dst = appendString(append(dst, `,"data":`...), data)
	return append(dst, '}')
}

// established is the first message of the server. The time in seconds is that after
// which a silent client looks whether the server is there; pusher-js ends a connection
// without one.
func (a *App) established(number uint64, seconds int) []byte {
	dst := begin(len(`pusher:connection_established{\"socket_id\":\"\",\"activity_timeout\":120}`) + socketIDMax)
	dst = append(dst, `{"event":"pusher:connection_established","data":"{\"socket_id\":\"`...)
	dst = a.appendSocketID(dst, number)
	dst = append(dst, `\",\"activity_timeout\":`...)
	return append(strconv.AppendInt(dst, int64(seconds), 10), `}"}`...)
}

// An answer of the server to something that is refused. Its data is an object.
type clientError struct {
	message string
	code    int    // 0 for none
	channel string // "" for none
}

// errorMessage tells a client what was refused.
func errorMessage(e clientError) []byte {
	dst := append(begin(len(e.channel)+len(e.message)), `{"event":"pusher:error"`...)
	if e.channel != "" {
		dst = appendString(append(dst, `,"channel":`...), e.channel)
	}
	dst = appendString(append(dst, `,"data":{"message":`...), e.message)
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
	dst := append(begin(len(channel)+len(kind)+len(why)), `{"event":"pusher:subscription_error","channel":`...)
	dst = appendString(dst, channel)
	dst = appendString(append(dst, `,"data":{"type":`...), kind)
	dst = appendString(append(dst, `,"error":`...), why)
	dst = append(dst, `,"status":`...)
	return append(strconv.AppendInt(dst, int64(status), 10), "}}"...)
}

// textsOf returns the texts of a JSON array of strings.
func textsOf(value []byte) (all []string, ok bool) {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil, false
	}
	for _, v := range list {
		text, ok := textOf(v)
		if !ok {
			return nil, false
		}
		all = append(all, string(text))
	}
	return all, true
}

// objectsOf returns the objects of a JSON array.
func objectsOf(value []byte) (all []object, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, err
	}
	for _, v := range list {
		o, err := parseObject(nil, v)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}
