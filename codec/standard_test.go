package codec

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
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
	if kind, ok := map[string]Kind{"logout": Logout, "disconnect": Disconnect, "ping": Ping}[name]; ok {
		cmd.Kind = kind
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
	token, _ := str("token")
	channel, hasChannel := str("channel")
	event, _ := str("event")
	number := func(raw []byte, least, most uint64) (uint64, bool) {
		n, err := strconv.ParseUint(string(raw), 10, 64)
		return n, err == nil && n >= least && n <= most
	}
	position := func(name string) (Position, bool) {
		if args[name] == nil {
			return Position{}, true
		}
		members, err := standardMembers(args[name])
		if err != nil {
			return Position{}, false
		}
		inner := map[string][]byte{}
		for _, m := range members {
			inner[m.name] = m.value
		}
		var epoch *string
		offset, ok := number(inner["offset"], 0, 1<<53-1)
		if json.Unmarshal(inner["epoch"], &epoch) != nil || epoch == nil || len(*epoch) < 1 || len(*epoch) > 32 {
			return Position{}, false
		}
		return Position{*epoch, offset}, ok
	}
	count := func(name string, least uint64, missing int) (int, bool) {
		if args[name] == nil {
			return missing, true
		}
		n, ok := number(args[name], least, 1e9)
		return int(n), ok
	}
	switch name {
	case "auth":
		cmd.Kind, cmd.Access, cmd.Secret = Auth, string(access), string(secret)
		if args["token"] != nil {
			cmd.Token = string(token)
			return cmd.Token != "" && args["access"] == nil && args["secret"] == nil
		}
		return hasAccess && hasSecret && (cmd.Access == "read-only" || cmd.Access == "read-write")
	case "subscribe":
		if args["pattern"] != nil {
			cmd.Kind = Subscribe
			return standardPattern(args, str, cmd)
		}
		if args["channels"] != nil {
			return standardList(args, cmd)
		}
		cmd.Kind, cmd.Channel = Subscribe, channel
		strict := string(args["strict"])
		cmd.Strict = strict == "true"
		var okSince, okRewind bool
		cmd.Since, okSince = position("since")
		cmd.Rewind, okRewind = count("rewind", 1, 0)
		_, isText := str("token")
		hex, isHex := str("signature")
		keyID, hasKeyID := str("key")
		expires, okExpires := number(args["expires"], 0, 1<<53-1)
		switch {
		case args["token"] != nil && (args["signature"] != nil || !isText || len(token) == 0):
			return false
		case args["token"] != nil:
			cmd.Token = string(token)
		case args["signature"] != nil && !(isHex && len(hex) > 0 && hasKeyID && okExpires):
			return false
		case args["signature"] != nil:
			cmd.Signature = Signature{string(keyID), int64(expires), string(hex)}
		}
		return hasChannel && okSince && okRewind && (strict == "" || strict == "true" || strict == "false")
	case "history":
		cmd.Kind, cmd.Channel = History, channel
		var okSince, okUntil, okLimit bool
		cmd.Since, okSince = position("since")
		cmd.Until, okUntil = position("until")
		cmd.Limit, okLimit = count("limit", 0, -1)
		return hasChannel && okSince && okUntil && okLimit && (args["since"] == nil || args["until"] == nil)
	case "unsubscribe":
		if args["pattern"] != nil {
			cmd.Kind = Unsubscribe
			return standardPattern(args, str, cmd)
		}
		cmd.Kind, cmd.Channel = Unsubscribe, channel
		return hasChannel
	case "publish":
		cmd.Kind, cmd.Event, cmd.Channel, cmd.Data = Publish, event, channel, args["data"]
		key, isText := str("key")
		if isText {
			cmd.Key = key
		}
		hasKey := args["key"] != nil
		return hasChannel && len(event) > 0 && (!hasKey || isText && len(key) > 0 && len(key) <= 128)
	}
	return false
}

// standardPattern reads a command about a pattern.
func standardPattern(args map[string][]byte, str func(string) ([]byte, bool), cmd *Command) bool {
	for _, name := range []string{"channel", "channels", "since", "rewind", "strict", "token", "signature", "presence"} {
		if args[name] != nil {
			return false
		}
	}
	var ok bool
	cmd.Pattern, ok = str("pattern")
	return ok
}

// standardList reads a subscribe that has a list of channels.
func standardList(args map[string][]byte, cmd *Command) bool {
	for _, name := range []string{"channel", "since", "rewind", "strict", "token", "signature"} {
		if args[name] != nil {
			return false
		}
	}
	var list []json.RawMessage
	if err := json.Unmarshal(args["channels"], &list); err != nil || len(list) == 0 || len(list) > MaxList {
		return false
	}
	cmd.Kind = Subscribe
	for _, value := range list {
		members, err := standardMembers(value)
		if err != nil {
			return false
		}
		var object []string
		for _, m := range members {
			if m.name != "channels" && m.name != "pattern" { // which mean nothing there
				name, _ := json.Marshal(m.name)
				object = append(object, string(name)+":"+string(m.value))
			}
		}
		var one Command
		if !standardCommand("subscribe", json.RawMessage("{"+strings.Join(object, ",")+"}"), &one) {
			return false
		}
		cmd.Channels = append(cmd.Channels, one)
	}
	return true
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
