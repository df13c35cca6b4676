package codec

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/goccy/go-json"
)

// JSON is the native protocol: commands, replies and events as JSON objects in text messages.
//
// A command is an object with one member that names it, and perhaps an "id":
//
//	{"auth":{"access":"read-write","secret":"…"}}
//	{"auth":{"token":"…"}}
//	{"subscribe":{"channel":"c"}}
//	{"subscribe":{"pattern":"c:*"}}
//	{"subscribe":{"channels":[{"channel":"c"},{"channel":"d"}]}}
//	{"unsubscribe":{"channel":"c"}}
//	{"publish":{"event":"e","channel":"c","data":…},"id":7}
//	{"logout":true}
//	{"disconnect":true}
//	{"ping":true}
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
		return m.parseSubscribe(cmd)
	case "unsubscribe":
		cmd.Kind = Unsubscribe
		if args, reason := m.args(); reason == "" && last(args, "pattern") != nil {
			return m.parsePattern(args, cmd)
		}
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
	case "ping":
		cmd.Kind = Ping
		return m.parseTrue()
	}
	if m.name == "history" {
		cmd.Kind = History
		return m.parseHistory(cmd)
	}
	if m.name == "presence" {
		cmd.Kind = Presence
		return m.parsePresence(cmd)
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
	if reason == "" && last(args, "token") != nil {
		return m.parseToken(args, cmd)
	}
	access, reason := m.text(args, "access", reason)
	secret, reason := m.text(args, "secret", reason)
	if reason == "" && access != ReadOnly && access != ReadWrite {
		reason = "auth: access is " + shown(access) + ", not " + ReadOnly + " or " + ReadWrite
	}
	cmd.Access, cmd.Secret = access, secret
	return reason
}

// parseToken reads an auth that has a token.
func (m member) parseToken(args []member, cmd *Command) (reason string) {
	cmd.Token, reason = m.text(args, "token", "")
	switch {
	case reason != "":
	case last(args, "access") != nil || last(args, "secret") != nil:
		reason = "auth: there is a token and an access or a secret; send one of them"
	case cmd.Token == "":
		reason = "auth: token is empty"
	default:
		cmd.Positions, reason = m.positions(args, "since")
	}
	return reason
}

// positions reads an object with a position for each of some channels, which may be missing.
func (m member) positions(args []member, name string) (of map[string]Position, reason string) {
	value := last(args, name)
	if value == nil {
		return nil, ""
	}
	all, reason := member{m.name + ": " + name, value}.args()
	for _, channel := range all {
		var p Position
		if p, reason = m.position([]member{{name, channel.value}}, name, ""); reason != "" {
			return nil, reason
		}
		if of == nil {
			of = make(map[string]Position, len(all))
		}
		of[channel.name] = p
	}
	return of, reason
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
	if reason == "" && last(args, "key") != nil {
		var key string
		if key, reason = m.text(args, "key", ""); reason == "" && (key == "" || len(key) > MaxKey) {
			reason = fmt.Sprintf("publish: key has %d bytes; want 1 to %d", len(key), MaxKey)
		}
		cmd.Key = []byte(key)
	}
	return reason
}

func (m member) parseSubscribe(cmd *Command) (reason string) {
	args, reason := m.args()
	if reason == "" && last(args, "pattern") != nil {
		return m.parsePattern(args, cmd)
	}
	if list := last(args, "channels"); reason == "" && list != nil {
		return m.parseList(list, args, cmd)
	}
	return m.parseOne(args, reason, cmd)
}

// parsePattern reads a command about a pattern.
func (m member) parsePattern(args []member, cmd *Command) (reason string) {
	for _, name := range noPattern {
		if last(args, name) != nil {
			return m.name + ": " + name + " stands beside pattern; a pattern stands alone"
		}
	}
	pattern, reason := m.text(args, "pattern", "")
	cmd.Pattern = []byte(pattern)
	return reason
}

// noPattern are the arguments that a command about a pattern does not have.
var noPattern = []string{"channel", "since", "rewind", "strict", "token", "signature", "presence", "channels"}

// inList are the arguments of a subscribe that stand in each object of a list of channels, and not beside it.
var inList = []string{"channel", "since", "rewind", "strict", "token", "signature", "presence"}

// parseList reads a subscribe that has a list of channels.
func (m member) parseList(list []byte, args []member, cmd *Command) (reason string) {
	for _, name := range inList {
		if last(args, name) != nil {
			return m.name + ": " + name + " stands beside channels; put it into the objects of the list"
		}
	}
	if list[0] != '[' {
		return wrongType(m.name+": channels", list, "an array of objects")
	}
	d := json.NewDecoder(bytes.NewReader(list))
	_, err := d.Token()
	for err == nil && d.More() {
		one := member{name: m.name + ": channels[" + strconv.Itoa(len(cmd.Channels)) + "]"}
		if len(cmd.Channels) == MaxList {
			return fmt.Sprintf("%s: channels has more than %d objects", m.name, MaxList)
		}
		if err = d.Decode(&one.value); err != nil {
			break
		}
		cmd.Channels = append(cmd.Channels, Command{Kind: Subscribe})
		args, reason := one.args()
		if reason = one.parseOne(args, reason, &cmd.Channels[len(cmd.Channels)-1]); reason != "" {
			return reason
		}
	}
	switch {
	case err != nil:
		return notJSON(list)
	case cmd.Channels == nil:
		return m.name + ": channels is empty"
	}
	return ""
}

// parseOne reads the arguments for one channel, unless there is a reason already.
func (m member) parseOne(args []member, earlier string, cmd *Command) (reason string) {
	channel, reason := m.text(args, "channel", earlier)
	cmd.Channel = []byte(channel)
	cmd.Since, reason = m.position(args, "since", reason)
	cmd.Rewind, reason = m.count(args, "rewind", 1, 0, reason)
	cmd.Strict, reason = m.truth(args, "strict", reason)
	cmd.Watch, reason = m.truth(args, "presence", reason)
	if reason == "" && (last(args, "token") != nil || last(args, "signature") != nil) {
		reason = m.parseProof(args, cmd)
	}
	return reason
}

// parseProof reads the token or the signature of a subscribe.
func (m member) parseProof(args []member, cmd *Command) (reason string) {
	if last(args, "signature") == nil {
		if cmd.Token, reason = m.text(args, "token", ""); reason == "" && cmd.Token == "" {
			reason = m.name + ": token is empty"
		}
		return reason
	}
	if last(args, "token") != nil {
		return m.name + ": token and signature are both there; send one of them"
	}
	s := &cmd.Signature
	s.Hex, reason = m.text(args, "signature", "")
	s.KeyID, reason = m.text(args, "key", reason)
	number := last(args, "expires")
	expires, err := strconv.ParseUint(string(number), 10, 64)
	switch {
	case reason != "":
	case s.Hex == "":
		reason = m.name + ": signature is empty"
	case number == nil:
		reason = m.name + ": expires is missing"
	case err != nil || expires > MaxOffset:
		reason = wrongType(m.name+": expires", number, "a whole number up to 2^53-1")
	}
	s.Expires = int64(expires)
	return reason
}

func (m member) parseHistory(cmd *Command) (reason string) {
	args, reason := m.args()
	channel, reason := m.text(args, "channel", reason)
	cmd.Channel = []byte(channel)
	cmd.Since, reason = m.position(args, "since", reason)
	cmd.Until, reason = m.position(args, "until", reason)
	cmd.Limit, reason = m.count(args, "limit", 0, -1, reason)
	if reason == "" && cmd.Since.Epoch != "" && cmd.Until.Epoch != "" {
		reason = "history: since and until are both there; send one of them"
	}
	return reason
}

func (m member) parsePresence(cmd *Command) (reason string) {
	args, reason := m.args()
	channel, reason := m.text(args, "channel", reason)
	cmd.Channel = []byte(channel)
	cmd.Limit, reason = m.count(args, "limit", 0, -1, reason)
	value := last(args, "after")
	if reason != "" || value == nil {
		return reason
	}
	after, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil || after > MaxOffset {
		return wrongType("presence: after", value, "a whole number up to 2^53-1")
	}
	cmd.After = after
	return ""
}

// position reads a position, which may be missing.
func (m member) position(args []member, name, earlier string) (p Position, reason string) {
	value := last(args, name)
	if earlier != "" || value == nil {
		return Position{}, earlier
	}
	inner := member{m.name + ": " + name, value}
	members, reason := inner.args()
	if p.Epoch, reason = inner.text(members, "epoch", reason); reason != "" {
		return Position{}, reason
	}
	if p.Epoch == "" || len(p.Epoch) > MaxEpoch {
		return Position{}, fmt.Sprintf("%s: epoch has %d bytes; want 1 to %d", inner.name, len(p.Epoch), MaxEpoch)
	}
	number := last(members, "offset")
	offset, err := strconv.ParseUint(string(number), 10, 64)
	switch {
	case number == nil:
		return Position{}, inner.name + ": offset is missing"
	case err != nil || offset > MaxOffset:
		return Position{}, wrongType(inner.name+": offset", number, "a whole number up to 2^53-1")
	}
	p.Offset = offset
	return p, ""
}

// count reads a whole number of at least least, which may be missing.
func (m member) count(args []member, name string, least, missing int, earlier string) (n int, reason string) {
	value := last(args, name)
	if earlier != "" || value == nil {
		return missing, earlier
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < least || n > maxCount {
		return 0, wrongType(m.name+": "+name, value, fmt.Sprintf("a whole number of at least %d", least))
	}
	return n, ""
}

// truth reads true or false, which may be missing.
func (m member) truth(args []member, name, earlier string) (is bool, reason string) {
	switch value := last(args, name); {
	case earlier != "" || value == nil:
		return false, earlier
	case string(value) == "true":
		return true, ""
	case string(value) == "false":
		return false, ""
	default:
		return false, wrongType(m.name+": "+name, value, "true or false")
	}
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
