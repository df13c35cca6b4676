package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// members calls f for each member of a JSON object. Names are exact, as in the
// protocol: encoding/json alone would take them in any case, and the last of two.
func members(object []byte, f func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(object))
	t, err := d.Token()
	if err != nil {
		return notJSON(err)
	}
	if t != json.Delim('{') {
		return fmt.Errorf("want an object, not %s", typeOf(bytes.TrimLeft(object, " \t\r\n")))
	}
	var seen []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return notJSON(err)
		}
		for _, other := range seen {
			if other == name {
				return fmt.Errorf("%.50q is there twice", name)
			}
		}
		seen = append(seen, name)
		if err := f(name, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return notJSON(err)
	}
	if len(bytes.Trim(object[d.InputOffset():], " \t\r\n")) > 0 {
		return errors.New("something follows the object")
	}
	return nil
}

// text reads a string, the value of a member.
func text(name string, value json.RawMessage, to *string) error {
	if value[0] != '"' {
		return fmt.Errorf("%s: want a string, not %s", name, typeOf(value))
	}
	return json.Unmarshal(value, to)
}

// unknown is the error of a member that is not known.
func unknown(name string) error { return fmt.Errorf("unknown field %.50q", name) }

// typeOf names the type of a JSON value.
func typeOf(value []byte) string {
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// notJSON says why a text is not JSON, without the words of Go.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it is not JSON: it ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not JSON: %w, at byte %d", syntax, syntax.Offset)
	}
	return fmt.Errorf("it is not JSON: %w", err)
}
