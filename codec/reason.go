package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-json"
)

// What is wrong with a message that is no command, in short sentences for the client's developer. All of this runs for
// such messages alone.

// tooManyMembers is said of a message and of the object of a command.
var tooManyMembers = fmt.Sprintf("there are more than %d members", maxMembers)

// notJSON says where a message stops being JSON, or is nested too deep.
func notJSON(msg []byte) string {
	var raw json.RawMessage
	var wrong *json.SyntaxError
	switch err := json.Unmarshal(msg, &raw); {
	case len(msg) == 0:
		return "the message is empty"
	case bytes.HasPrefix(msg, []byte("\ufeff")):
		return "the message begins with a byte order mark; send the JSON alone"
	case errors.As(err, &wrong):
		return fmt.Sprintf("the message is not JSON: %v, at byte %d", wrong, wrong.Offset)
	}
	return "the message is not JSON"
}

// notOneCommand says what is wrong where there are no or several members beside the id.
func notOneCommand(top []member) string {
	known, unknown := "", ""
	for _, m := range top {
		switch {
		case m.name == "id":
		case !isCommand(m.name):
			if unknown == "" {
				unknown = m.name
			}
		case m.name == known:
			return known + " is there twice"
		case known != "":
			return known + " and " + m.name + " are two commands; send each in a message of its own"
		default:
			known = m.name
		}
	}
	switch {
	case len(top) == 0 || known == "" && len(top) == 1:
		return "there is no command; " + theCommands
	case known == "":
		return unknownCommand(unknown)
	}
	return shown(unknown) + ": unknown member; beside " + known + " there may be only an id"
}

// theCommands ends a sentence about an unknown one.
var theCommands = "the commands are " + strings.Join(kindNames[1:Kinds-1], ", ") + " and " + (Kinds - 1).String()

// unknownCommand helps with the spelling of a name that is no command.
func unknownCommand(name string) string {
	help := theCommands
	for _, command := range kindNames[1:] {
		if strings.EqualFold(name, command) || len(name) >= 3 && strings.HasPrefix(command, strings.ToLower(name)) {
			help = "did you mean " + command + "?"
			break
		}
	}
	return shown(name) + ": unknown command; " + help
}

func isCommand(name string) bool {
	for _, command := range kindNames[1:] {
		if name == command {
			return true
		}
	}
	return false
}

// wrongType says that a value, of what has that name, has the wrong type.
func wrongType(name string, value []byte, want string) string {
	return name + " is " + typeOf(value) + ", not " + want
}

// typeOf names the type of a valid JSON value.
func typeOf(value []byte) string {
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't':
		return "true"
	case 'f':
		return "false"
	case 'n':
		return "null"
	}
	return "a number"
}

// shownMax is how much of a client's own text is sent back, in bytes.
const shownMax = 32

// shown returns a text of the client, not too long.
func shown(s string) string {
	if s == "" {
		return `""`
	}
	if len(s) <= shownMax {
		return s
	}
	n := shownMax
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
