package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// node is a value of a JSON document that knows where it stands.
type node struct {
	file  string
	line  int    // of the key, where it has one
	path  string // "Hubs[1].Secrets.ReadOnly", "" for the document
	value any    // nil, bool, json.Number, string, []*node or []member
}

// member is one key of an object with its value.
type member struct {
	key   string
	value *node
	first int // if the key is given twice, the line of the first
}

// parseDocument reads the JSON document data of a file. Unlike json.Unmarshal
// it keeps lines, the exact case of keys, and keys that are given twice.
// A byte order mark of UTF-8 is skipped.
func parseDocument(file string, data []byte) (*node, problems) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if found := checkSyntax(file, data); found != nil {
		return nil, found
	}
	p := &documentParser{file: file, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	root := &node{file: file}
	p.value(root)
	return root, nil
}

// checkSyntax reports where data stops being JSON.
func checkSyntax(file string, data []byte) problems {
	if isWide(data) {
		return problems{{where: file, what: "the file is in UTF-16 or UTF-32; save it as UTF-8 (in PowerShell: Out-File -Encoding utf8)"}}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return problems{{where: file, what: `the file is empty; the least is {"Hubs": [{"Path": "/"}]}`}}
	}
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &raw); errors.As(err, &syntax) {
		if end := len(bytes.TrimRight(data, " \t\r\n")); endsEarly(data[:end]) {
			return problems{{where: place(file, data, end), what: unexpectedEnd(syntax)}}
		}
		at := max(int(syntax.Offset)-1, 0) // the last byte that was read
		return problems{{where: place(file, data, at), what: syntax.Error() + syntaxHint(data, at, syntax)}}
	}
	if at := invalidUTF8(data); at >= 0 {
		return problems{{where: place(file, data, at), what: "not UTF-8; save the file as UTF-8"}}
	}
	return nil
}

// isWide reports whether data is in UTF-16 or UTF-32, whose byte order marks and
// zero bytes no JSON in UTF-8 begins with.
func isWide(data []byte) bool {
	start := data[:min(len(data), 4)]
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.IndexByte(start, 0) >= 0
}

// endsEarly reports whether data is only the beginning of a document.
// json.Unmarshal does not report this where a word or a number is cut: it takes
// it as if a space followed.
func endsEarly(data []byte) bool {
	var raw json.RawMessage
	return errors.Is(json.NewDecoder(bytes.NewReader(data)).Decode(&raw), io.ErrUnexpectedEOF)
}

// unexpectedEnd says what is wrong with the end of a file.
func unexpectedEnd(err *json.SyntaxError) string {
	const what = "unexpected end of JSON input"
	if err.Error() == what {
		return what + `; a closing }, ] or " is missing`
	}
	return what + "; the file ends in the middle of a word or a number"
}

// syntaxHint says how the most common mistakes are mended.
func syntaxHint(data []byte, at int, err *json.SyntaxError) string {
	before := bytes.TrimRight(data[:at], " \t\r\n")
	message := err.Error()
	switch {
	case data[at] == '/' || data[at] == '#':
		return "; JSON has no comments"
	case bytes.HasSuffix(before, []byte(",")) && (data[at] == '}' || data[at] == ']'):
		return "; remove the comma before it"
	case strings.Contains(message, "after object key:value pair"), strings.Contains(message, "after array element"):
		return "; is a comma missing before it?"
	default:
		return ""
	}
}

// invalidUTF8 returns the index of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// place returns "file:line:column" of the byte at an index.
func place(file string, data []byte, at int) string {
	start := bytes.LastIndexByte(data[:at], '\n') + 1
	return fmt.Sprintf("%s:%d:%d", file, lineOf(data, at), utf8.RuneCount(data[start:at])+1)
}

func lineOf(data []byte, at int) int {
	return bytes.Count(data[:at], []byte("\n")) + 1
}

// documentParser turns tokens into nodes. The text is known to be valid, so
// Token does not fail.
type documentParser struct {
	file string
	data []byte
	dec  *json.Decoder
}

// token returns the next token and the line it ends on: no token of JSON
// reaches over the end of a line.
func (p *documentParser) token() (json.Token, int) {
	t, _ := p.dec.Token()
	return t, lineOf(p.data, int(p.dec.InputOffset()))
}

// value fills n, whose path is known and whose line is 0 if it has no key.
func (p *documentParser) value(n *node) {
	t, line := p.token()
	if n.line == 0 {
		n.line = line
	}
	switch t {
	case json.Delim('{'):
		n.value = p.object(n)
	case json.Delim('['):
		n.value = p.list(n)
	default:
		n.value = t
	}
}

func (p *documentParser) object(n *node) []member {
	members := []member{}
	lines := map[string]int{}
	for p.dec.More() {
		t, line := p.token()
		key := t.(string)
		child := &node{file: n.file, line: line, path: strings.TrimPrefix(n.path+"."+key, ".")}
		p.value(child)
		members = append(members, member{key, child, lines[key]})
		if lines[key] == 0 {
			lines[key] = line
		}
	}
	p.token()
	return members
}

func (p *documentParser) list(n *node) []*node {
	items := []*node{}
	for p.dec.More() {
		child := &node{file: n.file, path: fmt.Sprintf("%s[%d]", n.path, len(items))}
		p.value(child)
		items = append(items, child)
	}
	p.token()
	return items
}

// where names the node: "my.json:7: Hubs[1].Path".
func (n *node) where() string {
	where := fmt.Sprintf("%s:%d", n.file, n.line)
	if n.path != "" {
		where += ": " + n.path
	}
	return where
}

// problem says what is wrong with the node.
func (n *node) problem(format string, args ...any) problem {
	return problem{where: n.where(), what: fmt.Sprintf(format, args...), line: n.line}
}

// kind names the type of the node's value.
func (n *node) kind() string {
	switch n.value.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []*node:
		return "a list"
	default:
		return "an object"
	}
}

// show returns the value for a message: as it was written where that is short.
func (n *node) show() string {
	switch v := n.value.(type) {
	case bool, json.Number:
		return fmt.Sprint(v)
	case string:
		return fmt.Sprintf("%q", v)
	default:
		return n.kind()
	}
}

// field is a key that an object may have, and what takes its value.
type field struct {
	key  string
	read func(*node) problems
}

// fill hands the members of the object n to the fields of their names.
func fill(n *node, fields []field) problems {
	members, ok := n.value.([]member)
	if !ok {
		return problems{n.problem("want an object with %s, not %s", keysOf(fields), n.show())}
	}
	var found problems
	for _, m := range members {
		found = append(found, fillMember(m, fields)...)
	}
	return found
}

func fillMember(m member, fields []field) problems {
	if m.first != 0 {
		return problems{m.value.problem("given twice, first on line %d; remove one", m.first)}
	}
	for _, f := range fields {
		if f.key == m.key {
			return f.read(m.value)
		}
	}
	return problems{m.value.problem("unknown key%s", keyHint(m.key, fields))}
}

// keyHint suggests a key for one that is unknown: the same key in other case, a
// key that belongs elsewhere, or one with a similar name.
func keyHint(key string, fields []field) string {
	known := keyList(fields)
	if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, key) }) {
		if hint := belongs(key); hint != "" {
			return hint
		}
	}
	if hint := didYouMean(key, known, ""); hint != "" {
		return hint
	}
	return "; the keys here are " + keysOf(fields)
}

func keyList(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

func keysOf(fields []field) string { return strings.Join(keyList(fields), ", ") }
