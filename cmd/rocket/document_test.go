package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseDocumentKnowsLines(t *testing.T) {
	root, found := parseDocument("f", []byte("{\n \"A\":\n  1, \"B\": [\n true,\n {\"C\": null}]}"))
	if found != nil {
		t.Fatal(found)
	}
	var got []string
	var walk func(*node)
	walk = func(n *node) {
		got = append(got, n.where()+" is "+n.kind())
		switch v := n.value.(type) {
		case []member:
			for _, m := range v {
				walk(m.value)
			}
		case []*node:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(root)
	want := "f:1 is an object, f:2: A is a number, f:3: B is a list, f:4: B[0] is true or false, f:5: B[1] is an object, f:5: B[1].C is null"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// Editors of Windows begin a file with a byte order mark.
func TestByteOrderMark(t *testing.T) {
	c, err := sources{file: writeFile(t, "\ufeff{\"Port\": 7, \"Hubs\": [{\"Path\": \"/\"}]}")}.load()
	if err != nil || c.port != 7 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"empty", " \n", `f: the file is empty; the least is {"Hubs": [{"Path": "/"}]}`},
		{"comma too many", "{\n  \"A\": 1,\n}", "f:3:1: invalid character '}' looking for beginning of object key string; remove the comma before it"},
		{"comma too many in a list", `{"A": [1, ]}`, "f:1:11: invalid character ']' looking for beginning of value; remove the comma before it"},
		{"comma missing", "{\"A\": 1\n \"B\": 2}", "f:2:2: invalid character '\"' after object key:value pair; is a comma missing before it?"},
		{"comma missing in a list", `["é" 2]`, "f:1:6: invalid character '2' after array element; is a comma missing before it?"},
		{"comment", "{\n// no\n}", "f:2:1: invalid character '/' looking for beginning of object key string; JSON has no comments"},
		{"cut", "{\"A\": [1\n", `f:1:9: unexpected end of JSON input; a closing }, ] or " is missing`},
		{"cut in a word", "{\"A\": [1],\n \"B\": nul", "f:2:10: unexpected end of JSON input; the file ends in the middle of a word or a number"},
		{"cut in a word, and a line", "{\"A\": tru\n", "f:1:10: unexpected end of JSON input; the file ends in the middle of a word or a number"},
		{"cut in a number", "{\"A\": -", "f:1:8: unexpected end of JSON input; the file ends in the middle of a word or a number"},
		{"a wrong word", "{\"A\": nux", "f:1:9: invalid character 'x' in literal null (expecting 'l')"},
		{"two documents", "{}\n{}", "f:2:1: invalid character '{' after top-level value"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "f: the file is in UTF-16 or UTF-32; save it as UTF-8 (in PowerShell: Out-File -Encoding utf8)"},
		{"UTF-16, big end first", "\xfe\xff\x00{\x00}", "f: the file is in UTF-16 or UTF-32; save it as UTF-8 (in PowerShell: Out-File -Encoding utf8)"},
		{"UTF-16 without a mark", "{\x00}\x00", "f: the file is in UTF-16 or UTF-32; save it as UTF-8 (in PowerShell: Out-File -Encoding utf8)"},
		{"a mark of UTF-8 before", "\ufeff{,}", "f:1:2: invalid character ',' looking for beginning of object key string"},
		{"nothing after a mark", "\ufeff", `f: the file is empty; the least is {"Hubs": [{"Path": "/"}]}`},
		{"not UTF-8", "{\"A\":\n\"\xff\"}", "f:2:2: not UTF-8; save the file as UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, found := parseDocument("f", []byte(tt.data))
			if got := found.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func FuzzParseDocument(f *testing.F) {
	const example = `{"A": [1, -2.5e3, "x\"\n", {"B": {}}, []], "A": null, "ü": true}`
	for i := range len(example) + 1 {
		f.Add(example[:i])
	}
	f.Fuzz(func(t *testing.T, s string) {
		root, found := parseDocument("f", []byte(s))
		valid := json.Valid([]byte(s)) && invalidUTF8([]byte(s)) < 0
		if valid != (found == nil) {
			t.Fatalf("%q: valid is %v, but the problems are %v", s, valid, found)
		}
		if found == nil && root.line < 1 {
			t.Fatalf("%q: the document has line %d", s, root.line)
		}
	})
}
