package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// field is a member that an object may have, and where its value goes: a pointer,
// which only a *json.RawMessage lets be null.
type field struct {
	name   string
	to     any
	needed bool
}

// What a field's member is.
const (
	required = true
	optional = false
)

// fields are the members that an object may have. To json.Unmarshal alone the
// case of a name does not matter, and null is every value.
type fields []field

// read fills the fields from the members of an object.
func (f fields) read(object []byte) error {
	var members map[string]json.RawMessage
	if err := unmarshal(object, &members, "an object"); err != nil {
		return err
	}
	if members == nil {
		return errors.New("want an object, not null")
	}
	for name := range members {
		if !slices.ContainsFunc(f, func(g field) bool { return g.name == name }) {
			return fmt.Errorf("unknown member %q", name)
		}
	}
	for _, g := range f {
		value, given := members[g.name]
		if !given && g.needed {
			return fmt.Errorf("%s is missing", g.name)
		}
		if !given {
			continue
		}
		if err := g.read(value); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}

func (g field) read(value json.RawMessage) error {
	if _, any := g.to.(*json.RawMessage); !any && string(value) == "null" {
		return errors.New("it is null")
	}
	return unmarshal(value, g.to, g.kind())
}

// kind names the type of the member, without the words of Go.
func (g field) kind() string {
	switch g.to.(type) {
	case *string:
		return "a string"
	case *int:
		return "a whole number"
	case *uint16:
		return "a whole number from 0 to 65535"
	case *[]json.RawMessage:
		return "an array"
	default:
		return "another value"
	}
}

// unmarshal is json.Unmarshal, but an error names no Go type.
func unmarshal(value []byte, to any, kind string) error {
	err := json.Unmarshal(value, to)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("want %s", kind)
	}
	return err
}
