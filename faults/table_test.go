package faults

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// documentedHeader is what stands above a table: a day, a machine, the commit that was tried.
var documentedHeader = regexp.MustCompile(`^\d{4}-\d\d-\d\d, .+, \d+ CPUs, Linux .+, commit [0-9a-f]{7,40}\.$`)

// The table in the documentation is one of a whole run in which everything held.
func TestDocumentedTable(t *testing.T) {
	b, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), tableBegin)
	table, _, _ = strings.Cut(table, tableEnd)
	if header := strings.TrimSpace(strings.SplitN(table, "\n###", 2)[0]); !documentedHeader.MatchString(header) {
		t.Errorf("got %q above the table, want a day, a machine and a commit", header)
	}
	for _, c := range Cases {
		_, rows, found := strings.Cut(table, "\n### "+c.Name+"\n")
		rows, _, _ = strings.Cut(rows, "\n### ")
		if !found || !strings.Contains(rows, "| "+string(Holds)+" |") {
			t.Errorf("the table lacks the case %s", c.Name)
		}
		for _, verdict := range []Verdict{Fails, Shown, NotRun} {
			if strings.Contains(rows, "| "+string(verdict)+" |") {
				t.Errorf("%s: the table has a row that %s", c.Name, verdict)
			}
		}
	}
}
