package webrocket_test

import (
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

// A promise is a row of the ledger.
type promise struct{ document, quote, shown string }

// Each promise stands in its document, and what shows it exists.
func TestPromises(t *testing.T) {
	texts := map[string][]string{}
	for _, name := range documents(t) {
		if !slices.Contains(ownLists, name) {
			texts[name] = passages(readFile(t, name))
		}
	}
	tests, seen, rows := readTests(t), map[promise]bool{}, map[string]int{}
	makefiles := readFile(t, "Makefile") + readFile(t, "bench/bench.mk")
	scenarios := readFile(t, "bench/README.md")
	for _, p := range promises(t) {
		rows[p.document]++
		if texts[p.document] == nil {
			t.Errorf("%s: there is no such document, or it has a list of its own", p.document)
			continue
		}
		if !stands(texts[p.document], p.quote) {
			t.Errorf("%s does not say %q", p.document, p.quote)
		}
		if what := (promise{p.document, p.quote, ""}); seen[what] {
			t.Errorf("%s: %q is there twice", p.document, p.quote)
		} else {
			seen[what] = true
		}
		for _, shown := range witnesses(t, p) {
			verb, rest, _ := strings.Cut(shown, " ")
			name, _, _ := strings.Cut(rest, " ")
			var ok bool
			switch verb {
			case "faults:":
				ok = faults.Named(rest) != nil
			case "make":
				ok = regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(rest) + `\b[^=\n]*:`).MatchString(makefiles)
			case "rocket-bench":
				ok = strings.Contains(scenarios, "| `"+name+"` |")
			default:
				ok = tests.have(shown)
			}
			if !ok {
				t.Errorf("%s: %q: there is no %s", p.document, p.quote, shown)
			}
		}
	}
	for name := range texts {
		if rows[name] == 0 {
			t.Errorf("%s has no row in %s", name, ledger)
		}
	}
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

// promises reads the rows of the ledger, each below the heading that names its
// document.
func promises(t *testing.T) (all []promise) {
	t.Helper()
	document := ""
	for line := range strings.Lines(readFile(t, ledger)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			document = name
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"), line == "| promise | shown by |", line == "|---|---|":
		case len(cells) != 2:
			t.Errorf("not a row of two cells: %s", line)
		default:
			all = append(all, promise{document, strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])})
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
			t.Errorf("%s: %q: not a list of names: %s", p.document, p.quote, p.shown)
			return nil
		}
		all = append(all, name)
	}
	return all
}

var (
	link     = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	emphasis = strings.NewReplacer("*", "", "`", "", "|", " ")
	newBlock = regexp.MustCompile(`\n\s*\n|\n\s*(?:- |\|)`)
)

// plain is Markdown without links, emphasis, columns and line breaks.
func plain(markdown string) string {
	text := emphasis.Replace(link.ReplaceAllString(markdown, "$1"))
	return strings.Join(strings.Fields(text), " ")
}

// passages are the paragraphs, items and rows of a document, plain.
func passages(document string) (all []string) {
	for _, block := range newBlock.Split(document, -1) {
		all = append(all, plain(block))
	}
	return all
}

// stands tells whether a passage has the parts of a quote, which … separates, in
// their order.
func stands(passages []string, quote string) bool {
	var parts []string
	for part := range strings.SplitSeq(plain(quote), "…") {
		parts = append(parts, strings.TrimSpace(part))
	}
	return slices.ContainsFunc(passages, func(passage string) bool {
		for _, part := range parts {
			_, rest, found := strings.Cut(passage, part)
			if !found {
				return false
			}
			passage = rest
		}
		return len(strings.Join(parts, "")) >= 10 // less would stand anywhere
	})
}

// A testFile is where a function is, with the strings that are there.
type testFile struct{ strings map[string]bool }

// testFunctions are files by "package.Function".
type testFunctions map[string]testFile

// have tells whether there is a test "package.Function", or one with that name
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
	document := passages("# A\n\nOne *promise*\nis [kept](x.md).\n\n- another\n  one\n- a third one\n| limit | `5` s | closed |\n")
	for quote, want := range map[string]bool{
		"One promise is kept.":   true,
		"**One** promise … kept": true,
		"limit … 5 s … closed":   true,
		"a third one":            true,
		"another one a third":    false, // two items
		"One promise is not":     false,
		"kept … One promise":     false,
		"kept":                   false, // too short
	} {
		if got := stands(document, quote); got != want {
			t.Errorf("%q: got %t, want %t", quote, got, want)
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
		"webrocket.passages":                     false,
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
