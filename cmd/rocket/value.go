package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// value is the place of one setting, with what it takes to fill it. A flag or
// an environment variable fills it from text, the file from a node.
type value struct {
	want   string // completes "want …"
	number bool   // in the file it is a number, otherwise a string
	unit   bool   // it may have a unit; then it is a string in the file
	list   bool   // a list of such; in text separated by commas
	secret bool   // never shown
	truth  bool   // true or false; a flag may stand alone

	// set stores what s means. errWant says that s is not what is wanted.
	set func(s string) error
	// get returns what is stored.
	get func() any
	// clear empties a list before its items are set one by one.
	clear func()

	// objects, if it is set, reads a value that only the file can have.
	objects func(*node) problems
}

// wantError stands for "want …, not …", and may add what to write, as in "; write …".
type wantError string

func (e wantError) Error() string { return "not what is wanted" + string(e) }

// errWant is a wantError that adds nothing.
const errWant = wantError("")

// fromText fills the value from a flag or a variable, which where names.
func (v value) fromText(where, s string) problems {
	if !v.list {
		return v.store(where, s, strconv.Quote(s))
	}
	v.clear()
	var found problems
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			found = append(found, v.store(where, item, strconv.Quote(item))...)
		}
	}
	return found
}

// fromNode fills the value from the file.
func (v value) fromNode(n *node) problems {
	if v.objects != nil {
		return v.objects(n)
	}
	if !v.list {
		return v.fromScalar(n)
	}
	items, ok := n.value.([]*node)
	if !ok {
		return problems{n.problem("want a list of strings, not %s", n.show())}
	}
	v.clear()
	var found problems
	for _, item := range items {
		found = append(found, v.fromScalar(item)...)
	}
	return found
}

func (v value) fromScalar(n *node) problems {
	switch s := n.value.(type) {
	case json.Number:
		if v.number || v.unit {
			return v.storeNode(n, s.String())
		}
	case bool:
		if v.truth {
			return v.storeNode(n, strconv.FormatBool(s))
		}
	case string:
		if !v.number && !v.truth || v.unit {
			return v.storeNode(n, s)
		}
	}
	got := n.show()
	if _, ok := n.value.(string); ok {
		got = "the string " + got
	}
	if v.secret {
		got = n.kind()
	}
	return problems{n.problem("want %s, not %s", v.want, got)}
}

// storeNode stores what a node has.
func (v value) storeNode(n *node, s string) problems {
	found := v.store(n.where(), s, n.show())
	for i := range found {
		found[i].line = n.line
	}
	return found
}

func (v value) store(where, s, shown string) problems {
	err := v.set(s)
	var wanted wantError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wanted):
		return problems{{where: where, what: fmt.Sprintf("want %s, not %s%s", v.want, shown, string(wanted))}}
	default:
		return problems{{where: where, what: err.Error()}}
	}
}

// integer is a whole number from least to most; most 0 means no upper limit.
func integer(p *int, least, most int) value {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	if most == 0 {
		want = fmt.Sprintf("a whole number of at least %d", least)
	}
	return value{want: want, number: true, get: func() any { return *p }, set: func(s string) error {
		i, err := strconv.Atoi(s)
		if err != nil || i < least || most != 0 && i > most {
			return errWant
		}
		*p = i
		return nil
	}}
}

// boolean is true or false.
func boolean(p *bool) value {
	return value{want: "true or false", truth: true, get: func() any { return *p }, set: func(s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errWant
		}
		*p = b
		return nil
	}}
}

// duration is a time above zero.
func duration(p *time.Duration) value {
	return value{want: `a duration above zero such as "10s"`, unit: true, get: func() any { return *p }, set: func(s string) error {
		s = strings.ReplaceAll(s, " ", "")
		d, err := time.ParseDuration(s)
		if n, notNumber := strconv.ParseUint(s, 10, 32); notNumber == nil && n > 0 {
			return wantError(fmt.Sprintf("; write %q", s+"s"))
		}
		if err != nil || d <= 0 {
			return errWant
		}
		*p = d
		return nil
	}}
}

// durationOrOff is a time above zero, or "off", which is stored as -1.
func durationOrOff(p *time.Duration) value {
	v := duration(p)
	set := v.set
	v.want += `, or "off"`
	v.set = func(s string) error {
		if s == "off" {
			*p = -1
			return nil
		}
		return set(s)
	}
	return v
}

// text is a string for which check, if it is not nil, returns nil.
func text(p *string, want string, check func(string) error) value {
	return value{want: want, get: func() any { return *p }, set: func(s string) error {
		if check != nil {
			if err := check(s); err != nil {
				return err
			}
		}
		*p = s
		return nil
	}}
}

// file is the name of a file for which check returns nil. The name is stored
// even if check fails, so that settings which need a file do not report it as
// missing too.
func file(p *string, check func(string) error) value {
	return value{want: "a file", get: func() any { return *p }, set: func(s string) error {
		*p = s
		return check(s)
	}}
}

// secret is a string that no message shows. A line end after it, as in a file
// that echo has written, does not belong to it; other white space around it is
// refused, because it cannot be seen.
func secret(p *string) value {
	return value{want: "a string", secret: true, get: func() any { return *p }, set: func(s string) error {
		secret := strings.TrimRight(s, "\r\n")
		switch {
		case s != "" && strings.TrimSpace(s) == "":
			return errors.New("there is only white space in it, which is no secret; give one, or none")
		case strings.Trim(secret, "\ufeff") != secret || strings.TrimSpace(secret) != secret:
			return errors.New("it begins or ends with white space or a byte order mark; remove it")
		case !utf8.ValidString(secret):
			return errors.New("it is not UTF-8, so no client can send it")
		}
		*p = secret
		return nil
	}}
}

// bearer is a secret that is sent in a header field.
func bearer(p *string) value {
	v := secret(p)
	set := v.set
	v.set = func(s string) error {
		if strings.ContainsFunc(strings.TrimRight(s, "\r\n"), unicode.IsControl) {
			return errors.New("it has a line end or another control character, so no client can send it")
		}
		return set(s)
	}
	return v
}

// oneOf is one of the words, in any case; it is stored as the list has it.
func oneOf(p *string, words ...string) value {
	want := words[len(words)-1]
	if before := words[:len(words)-1]; len(before) > 0 {
		want = strings.Join(before, ", ") + " or " + want
	}
	return value{want: want, get: func() any { return *p }, set: func(s string) error {
		i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, s) })
		if i < 0 {
			return errWant
		}
		*p = words[i]
		return nil
	}}
}

// meaning is one of the words, in any case, each of which stands for a value.
func meaning[T any](p *T, of func(word string) T, words ...string) value {
	var word string
	v := oneOf(&word, words...)
	v.get = func() any { return *p }
	set := v.set
	v.set = func(s string) error {
		if err := set(s); err != nil {
			return err
		}
		*p = of(word)
		return nil
	}
	return v
}

// choice is one of the words, in any case, which stand for values in their order.
func choice[T ~uint8](p *T, words ...string) value {
	return meaning(p, func(word string) T { return T(slices.Index(words, word)) }, words...)
}

// onOrOff is "on" or "off".
func onOrOff(p *bool) value {
	return meaning(p, func(word string) bool { return word == "on" }, "on", "off")
}

// list is a list of strings for which check returns nil.
func list(p *[]string, want string, check func(string) error) value {
	return parsedList(p, want, func(s string) (string, error) { return s, check(s) })
}

// parsedList is a list of what parse returns for each string.
func parsedList(p *[]string, want string, parse func(string) (string, error)) value {
	return value{
		want: want, list: true,
		clear: func() { *p = nil },
		get:   func() any { return *p },
		set: func(s string) error {
			s, err := parse(s)
			if err == nil {
				*p = append(*p, s)
			}
			return err
		},
	}
}
