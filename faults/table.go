package faults

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Good reports whether nothing fails.
func Good(findings []Finding) bool {
	for _, f := range findings {
		if f.Verdict == Fails {
			return false
		}
	}
	return len(findings) > 0
}

// WriteTable writes the findings for a terminal.
func WriteTable(w io.Writer, findings []Finding) error {
	var b strings.Builder
	last := ""
	for _, f := range findings {
		if f.Case != last {
			last = f.Case
			fmt.Fprintf(&b, "\n%s: %s\n", f.Case, does(f.Case))
		}
		fmt.Fprintf(&b, "  %-7s  %s\n           %s\n", f.Verdict, f.Must, f.Saw)
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

func does(name string) string {
	if c := Named(name); c != nil {
		return c.Does
	}
	return ""
}

// Marks of the document between which the table stands.
const (
	tableBegin = "<!-- table: make faults -->"
	tableEnd   = "<!-- end of the table -->"
)

var errNoMarks = errors.New("the document lacks the marks " + tableBegin + " and " + tableEnd)

// Document returns a document with its table replaced by that of the findings. where says on what machine they were
// made, and of what commit.
func Document(document, where string, findings []Finding) (string, error) {
	before, rest, ok := strings.Cut(document, tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		return "", errNoMarks
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n%s\n", before, tableBegin, where)
	last := ""
	for _, f := range findings {
		if f.Case != last {
			last = f.Case
			fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n| must hold | was seen | |\n|---|---|---|\n", f.Case, does(f.Case))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(f.Must), cell(f.Saw), f.Verdict)
	}
	b.WriteString("\n" + tableEnd + after)
	return b.String(), nil
}

// cell is text within a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}
