package faults

import (
	"os"
	"strings"
	"testing"
)

// The table in the documentation is one of a whole run in which everything held.
func TestDocumentedTable(t *testing.T) {
	b, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), tableBegin)
	table, _, _ = strings.Cut(table, tableEnd)
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
