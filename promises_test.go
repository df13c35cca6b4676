package webrocket_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/faults"
)

// ledger is where each promise stands beside what shows it.
const ledger = "docs/promises.md"

// ownLists are documents that name their tests themselves.
var ownLists = []string{ledger, "docs/conformance.md", "docs/reliability.md"}

// A promise is a row of the ledger: what is promised, a link to the section that
// says it in full, and the names of what shows it.
type promise struct{ text, section, shown string }

// Each promise is said in a section that exists, and what shows it exists. Each
// document has a promise.
func TestPromises(t *testing.T) {
	sections := map[string][]string{}
	for _, name := range documents(t) {
		if !slices.Contains(ownLists, name) {
			sections[name] = anchors(readFile(t, name))
		}
	}
	tests, seen, linked := readTests(t), map[string]bool{}, map[string]bool{}
	makefiles := readFile(t, "Makefile") + readFile(t, "bench/bench.mk")
	scenarios := readFile(t, "bench/README.md")
	titles := readTogether(t, "js/test/*/*.test.ts")
	for _, p := range promises(t) {
		if seen[p.text] {
			t.Errorf("%q is there twice", p.text)
		}
		seen[p.text] = true
		document, anchor, ok := target(p.section)
		if !ok || !slices.Contains(sections[document], anchor) {
			t.Errorf("%q: no link to a section of a document: %s", p.text, p.section)
		}
		linked[document] = true
		for _, shown := range witnesses(t, p) {
			verb, rest, _ := strings.Cut(shown, " ")
			name, _, _ := strings.Cut(rest, " ")
			var ok bool
			switch verb {
			case "faults:":
				ok = faults.Named(rest) != nil
			case "js:":
				ok = strings.Contains(titles, "('"+rest+"', ")
			case "make":
				ok = regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(rest) + `\b[^=\n]*:`).MatchString(makefiles)
			case "rocket-bench":
				ok = strings.Contains(scenarios, "| `"+name+"` |")
			default:
				ok = tests.have(shown)
			}
			if !ok {
				t.Errorf("%q: there is no %s", p.text, shown)
			}
		}
	}
	for name := range sections {
		if !linked[name] {
			t.Errorf("%s has no promise in %s", name, ledger)
		}
	}
}

// readTogether returns the files that match a pattern, one after another.
func readTogether(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		all.WriteString(readFile(t, name))
	}
	return all.String()
}

// documents are the names of all documents for users.
func documents(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(names, "README.md", "bench/README.md")
}

// promises reads the rows of the ledger.
func promises(t *testing.T) (all []promise) {
	t.Helper()
	for line := range strings.Lines(readFile(t, ledger)) {
		line = strings.TrimSpace(line)
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"), line == "| promise | in full | shown by |", line == "|---|---|---|":
		case len(cells) != 3:
			t.Errorf("not a row of three cells: %s", line)
		default:
			all = append(all, promise{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])})
		}
	}
	return all
}

// witnesses are what shows a promise: names in backticks, and commas.
func witnesses(t *testing.T, p promise) (all []string) {
	t.Helper()
	for item := range strings.SplitSeq(p.shown, ", `") {
		item = strings.TrimPrefix(item, "`")
		name, ok := strings.CutSuffix(item, "`")
		if !ok || name == "" || strings.Contains(name, "`") {
			t.Errorf("%q: not a list of names: %s", p.text, p.shown)
			return nil
		}
		all = append(all, name)
	}
	return all
}

var (
	fence       = regexp.MustCompile("(?s)```.*?```")
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	punctuation = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	link        = regexp.MustCompile(`^\[[^\]]+\]\(([^)#]+)#([^)]+)\)$`)
)

// anchors returns the anchors of a document's headings, as GitHub makes them.
func anchors(document string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(document, ""), -1) {
		anchor := punctuation.ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, strings.ReplaceAll(anchor, " ", "-"))
	}
	return all
}

// target returns the document and the anchor of a link of the ledger.
func target(markdown string) (document, anchor string, ok bool) {
	match := link.FindStringSubmatch(markdown)
	if match == nil {
		return "", "", false
	}
	return filepath.Join(filepath.Dir(ledger), match[1]), match[2], true
}

// A testFile is where a function is, with the strings that are there.
type testFile struct{ strings map[string]bool }

// testFunctions are files by "package.Function".
type testFunctions map[string]testFile

// have reports whether there is a test "package.Function", or one with that name
// of a case: "package.Function/case".
func (f testFunctions) have(test string) bool {
	dot := strings.Index(test, ".")
	if dot < 0 {
		return false
	}
	function, name, isCase := strings.Cut(test[dot:], "/")
	file, ok := f[test[:dot]+function]
	return ok && (!isCase || file.strings[name])
}

// readTests finds the tests, examples, fuzz targets and benchmarks of the module,
// with those that a build tag hides.
func readTests(t *testing.T) testFunctions {
	t.Helper()
	all := testFunctions{}
	isTest := regexp.MustCompile(`^(Test|Example|Fuzz|Benchmark)([^a-z]|$)`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		if pkg == "." {
			pkg = "webrocket"
		}
		file := testFile{map[string]bool{}}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if s, err := strconv.Unquote(literal.Value); err == nil {
					file.strings[s] = true
				}
			}
			return true
		})
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && isTest.MatchString(f.Name.Name) {
				all[pkg+"."+f.Name.Name] = file
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What TestPromises must not overlook.
func TestPromisesAreHeldAgainst(t *testing.T) {
	got := anchors("# A\n\n## What it speaks\n\n```\n# not a heading\n```\n\n### RFC 6455 §4: `GET`, and more\n")
	if want := []string{"a", "what-it-speaks", "rfc-6455-4-get-and-more"}; !slices.Equal(got, want) {
		t.Errorf("anchors: got %q, want %q", got, want)
	}
	for markdown, want := range map[string]string{
		"[Limits](protocol.md#limits)":         "docs/protocol.md limits true",
		"[Start](../README.md#start)":          "README.md start true",
		"[Limits](protocol.md)":                "  false",
		"Limits":                               "  false",
		"[Limits](protocol.md#limits) and [a]": "  false",
	} {
		document, anchor, ok := target(markdown)
		if got := fmt.Sprint(document, " ", anchor, " ", ok); got != want {
			t.Errorf("%s: got %q, want %q", markdown, got, want)
		}
	}
	tests := readTests(t)
	for name, want := range map[string]bool{
		"webrocket.TestPromises":                 true,
		"webrocket.TestDialogues/logout":         true,
		"conformance.TestBrowser":                true, // behind a build tag
		"cmd/rocket/console.TestMetrics":         true,
		"webrocket.TestDialogues/no such case":   false,
		"webrocket.TestNoSuchThing":              false,
		"webrocket.anchors":                      false,
		"nowhere":                                false,
		"nowhere.TestPromises":                   false,
		"conformance.TestHandshake/HTTP/1.0":     true,
		"engine.TestStatsOfEnds/not in any file": false,
	} {
		if got := tests.have(name); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}
