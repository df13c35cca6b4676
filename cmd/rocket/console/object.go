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
	if err := json.Unmarshal(object, &members); err != nil {
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
	return json.Unmarshal(value, g.to)
}
