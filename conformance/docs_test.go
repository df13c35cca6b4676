package conformance_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// shown finds the tests that docs/conformance.md names: file:function/case.
var shown = regexp.MustCompile("`([a-z0-9_/]+_test\\.go):(\\w+)(?:/([^`]+))?`")

// What docs/conformance.md names exists: a function, and the name of the case in
// the same file.
func TestDocsNameTests(t *testing.T) {
	docs, err := os.ReadFile("../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]names{}
	all := shown.FindAllStringSubmatch(string(docs), -1)
	if got := strings.Count(string(docs), "_test.go:"); len(all) != got || got < 50 {
		t.Errorf("understood %d of %d names of tests", len(all), got)
	}
	for _, m := range all {
		if files[m[1]].functions == nil {
			files[m[1]] = read(t, "../"+m[1])
		}
		if f := files[m[1]]; !f.functions[m[2]] || m[3] != "" && !f.literals[m[3]] {
			t.Errorf("there is no %s", m[0])
		}
	}
}

// names are what a file has.
type names struct{ functions, literals map[string]bool }

func read(t *testing.T, file string) names {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := names{map[string]bool{}, map[string]bool{}}
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			n.functions[node.Name.Name] = true
		case *ast.BasicLit:
			if s, err := strconv.Unquote(node.Value); err == nil {
				n.literals[s] = true
			}
		}
		return true
	})
	return n
}
