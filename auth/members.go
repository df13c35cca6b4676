package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// member is one member of a JSON object. Its name is as it stands there: encoding/json
// would take "EXP" for "exp".
type member struct {
	name  string
	value json.RawMessage
}

var errNotObject = errors.New("not a JSON object")

// members returns the members of a JSON object in their order. A name that is there twice
// is an error (RFC 7519 §4): two readers may each take another one.
func members(data []byte) ([]member, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	var all []member
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, errNotObject
		}
		m := member{name: t.(string)} // no other token can stand there
		if err := dec.Decode(&m.value); err != nil {
			return nil, errNotObject
		}
		all = append(all, m)
	}
	return all, twice(all)
}

// twice returns an error if two members have one name.
func twice(all []member) error {
	seen := make(map[string]bool, len(all))
	for _, m := range all {
		if seen[m.name] {
			return fmt.Errorf("%q is there twice", m.name)
		}
		seen[m.name] = true
	}
	return nil
}

// text reads a JSON string.
func (m member) text() (string, error) {
	var s *string
	if err := json.Unmarshal(m.value, &s); err != nil || s == nil {
		return "", fmt.Errorf("%q is not a string", m.name)
	}
	return *s, nil
}

// list reads a JSON array of strings.
func (m member) list() ([]string, error) {
	var list []*string
	if err := json.Unmarshal(m.value, &list); err != nil || m.value[0] != '[' {
		return nil, fmt.Errorf("%q is not an array of strings", m.name)
	}
	all := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, fmt.Errorf("%q is not an array of strings", m.name)
		}
		all[i] = *s
	}
	return all, nil
}
