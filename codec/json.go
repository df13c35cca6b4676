package codec

import (
	"bytes"

	"github.com/goccy/go-json"
)

// JSON is the native protocol: commands, replies and events as JSON objects in text messages.
//
// A command is an object with one member that names it, and perhaps an "id":
//
//	{"auth":{"access":"read-write","secret":"…"}}
//	{"subscribe":{"channel":"c"}}
//	{"unsubscribe":{"channel":"c"}}
//	{"publish":{"event":"e","channel":"c","data":…},"id":7}
//	{"logout":true}
//	{"disconnect":true}
//
// Names are exact. Any other member, or the same one twice, makes the object invalid; inside of a command's own
// object unknown members are ignored, and of two with one name the last one counts. Both objects have at most 64
// members; the data may have any number.
type JSON struct{}

// maxMembers bounds the members of an object that is taken apart. Each costs parseCommand two allocations: a message
// of 1 MB with nothing but small members would hold the caller's loop for 60 ms.
const maxMembers = 64

var _ Codec = JSON{}

// Opcode is OpText: "The 'Payload data' is text data encoded as UTF-8" (RFC 6455 §5.6).
func (JSON) Opcode() Opcode { return OpText }

// ParseCommand reads one command. The message must be valid UTF-8, which is for the caller to check.
func (JSON) ParseCommand(msg []byte, cmd *Command) error {
	if scan(msg, cmd) {
		return nil
	}
	return parseCommand(msg, cmd)
}

// parseCommand is ParseCommand in plain words, for every message.
func parseCommand(msg []byte, cmd *Command) error {
	*cmd = Command{}
	top, ok := members(msg)
	if !ok {
		return ErrInvalidData
	}
	var command member
	var ids, commands int
	for _, m := range top {
		if m.name == "id" {
			ids++
			cmd.ID = m.value
			continue
		}
		commands++
		command = m
	}
	if ids > 1 || ids == 1 && !isID(cmd.ID) {
		cmd.ID = nil
		return ErrInvalidData
	}
	if commands != 1 || !command.parse(cmd) {
		*cmd = Command{ID: cmd.ID}
		return ErrInvalidData
	}
	return nil
}

// isID tells whether a JSON value is a string or a number.
func isID(value []byte) bool {
	return value[0] == '"' || value[0] == '-' || value[0] >= '0' && value[0] <= '9'
}

// member is one name and value of a JSON object. The value is valid JSON as it was sent.
type member struct {
	name  string
	value json.RawMessage
}

// members takes a JSON object apart, in the order and as often as its members were sent. It reads tokens, since a map
// would hide a name that was sent twice, and a struct would take a name in any case.
func members(object []byte) ([]member, bool) {
	if !json.Valid(object) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	var all []member
	for d.More() {
		if len(all) == maxMembers {
			return nil, false
		}
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		m := member{name: name.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, false
		}
		all = append(all, m)
	}
	return all, true
}

// parse reads the member that names the command.
func (m member) parse(cmd *Command) bool {
	switch m.name {
	case "auth":
		cmd.Kind = Auth
		return m.parseAuth(cmd)
	case "subscribe":
		cmd.Kind = Subscribe
		return m.parseChannel(cmd)
	case "unsubscribe":
		cmd.Kind = Unsubscribe
		return m.parseChannel(cmd)
	case "publish":
		cmd.Kind = Publish
		return m.parsePublish(cmd)
	case "logout":
		cmd.Kind = Logout
		return string(m.value) == "true"
	case "disconnect":
		cmd.Kind = Disconnect
		return string(m.value) == "true"
	}
	return false
}

func (m member) parseAuth(cmd *Command) bool {
	args, ok := members(m.value)
	if !ok {
		return false
	}
	access, ok1 := text(last(args, "access"))
	secret, ok2 := text(last(args, "secret"))
	cmd.Access, cmd.Secret = access, secret
	return ok1 && ok2 && (access == ReadOnly || access == ReadWrite)
}

func (m member) parseChannel(cmd *Command) bool {
	args, ok := members(m.value)
	if !ok {
		return false
	}
	channel, ok := text(last(args, "channel"))
	cmd.Channel = []byte(channel)
	return ok
}

func (m member) parsePublish(cmd *Command) bool {
	args, ok := members(m.value)
	if !ok {
		return false
	}
	event, ok1 := text(last(args, "event"))
	channel, ok2 := text(last(args, "channel"))
	cmd.Event, cmd.Channel, cmd.Data = []byte(event), []byte(channel), last(args, "data")
	return ok1 && ok2 && event != ""
}

// last returns the value of the last member with that name, nil if there is none.
func last(all []member, name string) []byte {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].name == name {
			return all[i].value
		}
	}
	return nil
}

// text decodes a JSON string; it refuses every other value, null too, and a missing one.
func text(value []byte) (s string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(value, &s)
	return s, err == nil
}
