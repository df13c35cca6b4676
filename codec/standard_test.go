package codec

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
)

// standardParse reads a command with encoding/json, to compare with.
func standardParse(msg []byte) (Command, error) {
	top, err := standardMembers(msg)
	if err != nil {
		return Command{}, ErrInvalidData
	}
	var cmd Command
	var named string
	var ids, commands int
	var value json.RawMessage
	for _, m := range top {
		if m.name == "id" {
			ids++
			cmd.ID = m.value
		} else {
			commands++
			named, value = m.name, json.RawMessage(m.value)
		}
	}
	if ids > 1 || ids == 1 && !strings.ContainsAny(string(cmd.ID[:1]), `"-0123456789`) {
		return Command{}, ErrInvalidData
	}
	if commands != 1 || !standardCommand(named, value, &cmd) {
		return Command{ID: cmd.ID}, ErrInvalidData
	}
	return cmd, nil
}

func standardCommand(name string, value json.RawMessage, cmd *Command) bool {
	if name == "logout" || name == "disconnect" {
		cmd.Kind = map[string]Kind{"logout": Logout, "disconnect": Disconnect}[name]
		return string(value) == "true"
	}
	members, err := standardMembers(value)
	if err != nil {
		return false
	}
	args := map[string][]byte{}
	for _, m := range members {
		args[m.name] = m.value
	}
	str := func(name string) ([]byte, bool) {
		var s *string
		err := json.Unmarshal(args[name], &s)
		if err != nil || s == nil {
			return nil, false
		}
		return []byte(*s), true
	}
	access, hasAccess := str("access")
	secret, hasSecret := str("secret")
	channel, hasChannel := str("channel")
	event, _ := str("event")
	switch name {
	case "auth":
		cmd.Kind, cmd.Access, cmd.Secret = Auth, string(access), string(secret)
		return hasAccess && hasSecret && (cmd.Access == "read-only" || cmd.Access == "read-write")
	case "subscribe":
		cmd.Kind, cmd.Channel = Subscribe, channel
		return hasChannel
	case "unsubscribe":
		cmd.Kind, cmd.Channel = Unsubscribe, channel
		return hasChannel
	case "publish":
		cmd.Kind, cmd.Event, cmd.Channel, cmd.Data = Publish, event, channel, args["data"]
		return hasChannel && len(event) > 0
	}
	return false
}

type standardMember struct {
	name  string
	value []byte
}

// standardMembers takes an object apart with the tokens of encoding/json.
func standardMembers(object []byte) ([]standardMember, error) {
	if !json.Valid(object) {
		return nil, ErrInvalidData
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, ErrInvalidData
	}
	var all []standardMember
	for d.More() {
		if len(all) == maxMembers {
			return nil, ErrInvalidData
		}
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		all = append(all, standardMember{name.(string), value})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, ErrInvalidData
	}
	return all, nil
}
