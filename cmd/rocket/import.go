package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/joho/godotenv"
)

const importHelp = `
It writes a configuration for Rocket to standard output, made of that of another
server for Pusher clients, and says on standard error what has no equivalent.

With soketi FILE is the JSON file that its option config names, or a file with its
variables (SOKETI_DEFAULT_APP_ID=...). With reverb it is the .env of a Laravel
application.

The result has secrets: keep it from others. docs/pusher.md has the whole
migration, step by step.

Examples:
  (umask 077; rocket import soketi soketi.json > rocket.json)
  (umask 077; rocket import reverb .env > rocket.json)
  rocket check rocket.json
`

// runImport is the command import.
func runImport(_ context.Context, p *program, args []string) error {
	words, err := parseFlags(newFlags("import"), args)
	if err != nil {
		return err
	}
	importers := map[string]func(*importing) error{"soketi": importSoketi, "reverb": importReverb}
	if len(words) != 2 || importers[words[0]] == nil {
		return usageError("want soketi or reverb, and a FILE")
	}
	data, err := os.ReadFile(words[1])
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", words[1], reason(err))
	}
	im := &importing{file: words[1], data: data}
	if err := importers[words[0]](im); err != nil {
		return fmt.Errorf("%s: %w", words[1], err)
	}
	im.sayWhatIsLeft()
	text := im.text()
	im.check(text)
	for _, note := range im.notes {
		fmt.Fprintf(p.stderr, "%s: %s\n", words[1], note)
	}
	_, err = p.stdout.Write(text)
	return err
}

// importing is the configuration of another server while it becomes one of ours.
type importing struct {
	file  string
	data  []byte
	given map[string]string // options that have not been looked at, by name
	known []noEquivalent    // what is said of those that nothing takes

	server, apps members
	notes        []string
}

// noEquivalent says something of all options whose names begin so.
type noEquivalent struct{ prefix, why string }

func (im *importing) note(format string, args ...any) {
	im.notes = append(im.notes, fmt.Sprintf(format, args...))
}

// readEnv reads a file of variables, as Laravel and Docker have it.
func (im *importing) readEnv() error {
	var err error
	im.given, err = godotenv.UnmarshalBytes(im.data)
	return err
}

// take returns an option, and notes that it has been looked at.
func (im *importing) take(name string) (text string, ok bool) {
	text, ok = im.given[name]
	delete(im.given, name)
	return text, ok && text != ""
}

// or is take with a default.
func (im *importing) or(name, otherwise string) string {
	if text, ok := im.take(name); ok {
		return text
	}
	return otherwise
}

// number returns an option that is a number, otherwise if it is not there or none.
func (im *importing) number(name string, otherwise float64) float64 {
	text, ok := im.take(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		im.note("%s: %q is not a number; it is left out", name, text)
		return otherwise
	}
	return n
}

// on reports whether an option is switched on.
func (im *importing) on(name string) bool {
	text, _ := im.take(name)
	return isOn(text)
}

func isOn(text string) bool {
	return slices.Contains([]string{"true", "(true)", "1", "on", "yes"}, strings.ToLower(text))
}

// sayWhatIsLeft notes each option that has not been looked at.
func (im *importing) sayWhatIsLeft() {
	said := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(im.given)) {
		i := slices.IndexFunc(im.known, func(k noEquivalent) bool { return strings.HasPrefix(name, k.prefix) })
		switch {
		case i < 0:
			im.note("%s: nothing is known of it; it is left out", name)
		case im.known[i].why != "" && !said[im.known[i].prefix]:
			said[im.known[i].prefix] = true
			im.note("%s: %s", name, im.known[i].why)
		}
	}
}

// text returns the configuration.
func (im *importing) text() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(append(im.server, pair{"Apps", im.apps.values()})) // strings, numbers and lists of them
	return b.Bytes()
}

// check notes what the server would say of the result.
func (im *importing) check(text []byte) {
	read := func(string) ([]byte, error) { return text, nil }
	_, err := sources{file: "the result", read: read}.load()
	var found problems
	if errors.As(err, &found) {
		for _, p := range found {
			im.note("the server would not start with %s: %s", p.where, p.what)
		}
	}
}

// members are those of a JSON object, in their order.
type members []pair

type pair struct {
	key   string
	value any
}

// add adds a member.
func (ms *members) add(key string, value any) { *ms = append(*ms, pair{key, value}) }

// addUnless adds a member whose value is not what it would be without it.
func (ms *members) addUnless(key string, value, otherwise any) {
	if value != otherwise {
		ms.add(key, value)
	}
}

// values returns the values of the members.
func (ms members) values() []any {
	all := []any{}
	for _, m := range ms {
		all = append(all, m.value)
	}
	return all
}

// MarshalJSON makes members a json.Marshaler.
func (ms members) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := e.Encode(m.key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// kilobytes is a size in the file, of so many KiB.
func kilobytes(n float64) any {
	if n == float64(int(n)) {
		return fmt.Sprintf("%dKB", int(n))
	}
	return int(n * 1024)
}
