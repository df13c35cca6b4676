package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Column is results that stand below each other: of one server, or of one file.
type Column struct {
	Name    string
	Results []*Result
}

// ByDialect makes one column per dialect, or what else a result names as its column.
func ByDialect(results []*Result) []Column {
	var columns []Column
	for _, r := range results {
		name := cmp.Or(r.Column, r.Options.Dialect)
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			i = len(columns)
			columns = append(columns, Column{Name: name})
		}
		columns[i].Results = append(columns[i].Results, r)
	}
	return columns
}

// labels are those of all columns, in order of appearance.
func labels(columns []Column) []string {
	var all []string
	for _, c := range columns {
		for _, r := range c.Results {
			if !slices.Contains(all, r.Label) {
				all = append(all, r.Label)
			}
		}
	}
	return all
}

func (c *Column) labelled(label string) []*Result {
	var all []*Result
	for _, r := range c.Results {
		if r.Label == label {
			all = append(all, r)
		}
	}
	return all
}

// summarize takes the runs that got to their end; a wrong delivery does not make a run's speed disappear.
func (c *Column) summarize(label string, m metric) (summary, bool) {
	var values []float64
	for _, r := range c.labelled(label) {
		if v, ok := m.of(r); ok && r.Error == "" && !r.Interrupted {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return summary{}, false
	}
	return summaryOf(values), true
}

// WriteTable writes medians, with the lowest and the highest of repeated runs, one line per metric and one column per
// server or file. Targets and the best peer are compared with the first column.
func WriteTable(w io.Writer, columns []Column) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := []string{"", "metric"}
	for _, c := range columns {
		head = append(head, c.Name)
	}
	peers := hasPeers(columns)
	if peers {
		head = append(head, bestPeerHead)
	}
	fmt.Fprintln(t, strings.Join(append(head, "target"), "\t"))
	for _, label := range labels(columns) {
		fmt.Fprintf(t, "%s\t%s\n", label, title(label))
		for _, m := range metrics {
			if row, ok := newRow(columns, label, m); ok {
				cells := append([]string{"", row.Metric}, row.Cells...)
				if peers {
					cells = append(cells, row.BestPeer)
				}
				fmt.Fprintln(t, strings.Join(append(cells, row.Target), "\t"))
			}
		}
		for _, c := range columns {
			for _, problem := range c.problems(label) {
				fmt.Fprintf(t, "\t%s: %s\n", c.Name, problem)
			}
		}
	}
	return t.Flush()
}

// bestPeerHead stands above the first column's ratios to the best of the others.
const bestPeerHead = "to best peer"

func hasPeers(columns []Column) bool { return len(columns) > 0 && columns[0].hasPeers() }

// row is one metric of an entry. What is compared is that of the first column.
type row struct {
	Metric           string
	Cells            []string // per column
	BestPeer, Target string
}

func newRow(columns []Column, label string, m metric) (r row, any bool) {
	r.Metric = m.name
	for i, c := range columns {
		s, ok := c.summarize(label, m)
		if !ok {
			r.Cells = append(r.Cells, "–")
			continue
		}
		any = true
		r.Cells = append(r.Cells, s.String())
		if i > 0 {
			continue
		}
		r.BestPeer = c.toBestPeer(label, m)
		if bound, has := Targets[label][m.name]; has {
			r.Target = bound.String() + " missed"
			if bound.Met(s.median) {
				r.Target = bound.String() + " met"
			}
		}
	}
	return r, any
}

func title(label string) string {
	for _, e := range append(slices.Clone(Standard), Clustered...) {
		if e.ID == label {
			return e.Title
		}
	}
	if sc := ScenarioNamed(label); sc != nil {
		return sc.Help
	}
	return ""
}

// problems says what went wrong in the runs of a label, each thing once.
func (c *Column) problems(label string) []string {
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, r := range c.labelled(label) {
		if r.NotRun != "" {
			add("not run: " + r.NotRun)
		}
		if r.Error != "" {
			add("failed: " + r.Error)
		}
		if r.Lacks != "" {
			add("less work: " + r.Lacks)
		}
		if k := r.Check; !k.Good() {
			add(fmt.Sprintf("wrong: %d lost, %d duplicated, %d out of order, %d astray, %d corrupted, %d refused, %d unanswered of %d",
				k.Lost, k.Duplicated, k.OutOfOrder, k.Astray, k.Corrupted, k.Refused, k.Unanswered, k.Delivered))
		}
		for _, f := range r.Floor {
			if f.NotMeasured != "" {
				add(fmt.Sprintf("floor %s n/a: %s", f.Mode, f.NotMeasured))
			}
		}
		for _, w := range r.Warnings {
			add("warning: " + w)
		}
	}
	return all
}
