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

// maxMembers bounds the members of a command's objects. Each costs parseCommand two allocations: a message of 1 MB with
// nothing but small members would hold the caller's loop for 60 ms.
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

// parseCommand is ParseCommand in plain words, for every message. What is wrong is said by reason.go.
func parseCommand(msg []byte, cmd *Command) error {
	*cmd = Command{}
	top, reason := members(msg)
	if reason != "" {
		return &InvalidDataError{Reason: reason}
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
	switch {
	case ids > 1:
		*cmd, reason = Command{}, "id is there twice"
	case ids == 1 && !isID(cmd.ID):
		*cmd, reason = Command{}, wrongType("id", cmd.ID, "a string or a number")
	case commands != 1:
		reason = notOneCommand(top)
	default:
		reason = command.parse(cmd)
	}
	if reason != "" {
		*cmd = Command{ID: cmd.ID}
		return &InvalidDataError{Reason: reason}
	}
	return nil
}

// isID reports whether a JSON value is a string or a number.
func isID(value []byte) bool {
	return value[0] == '"' || value[0] == '-' || value[0] >= '0' && value[0] <= '9'
}

// member is one name and value of a JSON object. The value is valid JSON as it was sent.
type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of a JSON object, in the order and as often as they were sent. It reads tokens, since a
// map would hide a name that was sent twice, and a struct would take a name in any case.
func members(object []byte) (all []member, reason string) {
	if !json.Valid(object) {
		return nil, notJSON(object)
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, "the message is " + typeOf(bytes.TrimLeft(object, " \t\r\n")) + ", not an object"
	}
	for d.More() {
		if len(all) == maxMembers {
			return nil, tooManyMembers
		}
		name, err := d.Token()
		if err != nil {
			return nil, notJSON(object)
		}
		m := member{name: name.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, notJSON(object)
		}
		all = append(all, m)
	}
	return all, ""
}

// parse reads the member that names the command. The reason is why it is none, or empty.
func (m member) parse(cmd *Command) (reason string) {
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
		return m.parseTrue()
	case "disconnect":
		cmd.Kind = Disconnect
		return m.parseTrue()
	}
	return unknownCommand(m.name)
}

func (m member) parseTrue() (reason string) {
	if string(m.value) != "true" {
		return wrongType(m.name, m.value, "true")
	}
	return ""
}

func (m member) parseAuth(cmd *Command) (reason string) {
	args, reason := m.args()
	access, reason := m.text(args, "access", reason)
	secret, reason := m.text(args, "secret", reason)
	if reason == "" && access != ReadOnly && access != ReadWrite {
		reason = "auth: access is " + shown(access) + ", not " + ReadOnly + " or " + ReadWrite
	}
	cmd.Access, cmd.Secret = access, secret
	return reason
}

func (m member) parseChannel(cmd *Command) (reason string) {
	args, reason := m.args()
	channel, reason := m.text(args, "channel", reason)
	cmd.Channel = []byte(channel)
	return reason
}

func (m member) parsePublish(cmd *Command) (reason string) {
	args, reason := m.args()
	event, reason := m.text(args, "event", reason)
	channel, reason := m.text(args, "channel", reason)
	if reason == "" && event == "" {
		reason = "publish: event is empty"
	}
	cmd.Event, cmd.Channel, cmd.Data = []byte(event), []byte(channel), last(args, "data")
	return reason
}

// args returns the members of the command's own object.
func (m member) args() (args []member, reason string) {
	if m.value[0] != '{' {
		return nil, wrongType(m.name, m.value, "an object")
	}
	if args, reason = members(m.value); reason != "" {
		return nil, m.name + ": " + reason
	}
	return args, ""
}

// text decodes the string with that name, unless there is a reason already: every other value is refused, null too.
func (m member) text(args []member, name, earlier string) (s, reason string) {
	if earlier != "" {
		return "", earlier
	}
	value := last(args, name)
	switch {
	case value == nil:
		return "", m.name + ": " + name + " is missing"
	case value[0] != '"' || json.Unmarshal(value, &s) != nil:
		return "", wrongType(m.name+": "+name, value, "a string")
	}
	return s, ""
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
