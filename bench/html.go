package bench

import (
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed" // for the plotting library and the page
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

//go:embed echarts/echarts.common.min.js.gz
var echartsGz []byte

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Parse(reportPage))

// page is what report.html shows.
type page struct {
	Library  template.JS
	Runs     []pageRun // one per column: where it comes from
	Sections []section
}

type pageRun struct {
	Name    string
	Machine Machine
	Started string
	Server  string
}

type section struct {
	Label, Title string
	Columns      []string
	Peers        bool // the lines have ratios to the best peer
	Lines        []row
	Problems     []string
	Plots        []plot
}

type plot struct {
	ID     string
	Option map[string]any // of ECharts; html/template writes it as JSON that cannot leave its script
}

// WriteHTML writes one page that needs nothing else: the table of WriteTable, and plots of latency and throughput.
func WriteHTML(w io.Writer, columns []Column) error {
	library, err := gunzip(echartsGz)
	if err != nil {
		return err
	}
	p := page{Library: template.JS(library)}
	for _, c := range columns {
		if len(c.Results) > 0 {
			r := c.Results[0]
			p.Runs = append(p.Runs, pageRun{c.Name, r.Machine, r.Started.Format("2006-01-02 15:04 MST"), strings.Join(r.Server, " ")})
		}
	}
	for _, label := range labels(columns) {
		p.Sections = append(p.Sections, newSection(columns, label))
	}
	return reportTemplate.Execute(w, p)
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func newSection(columns []Column, label string) section {
	s := section{Label: label, Title: title(label), Peers: hasPeers(columns)}
	for _, c := range columns {
		s.Columns = append(s.Columns, c.Name)
		for _, problem := range c.problems(label) {
			s.Problems = append(s.Problems, c.Name+": "+problem)
		}
	}
	for _, m := range metrics {
		if row, ok := newRow(columns, label, m); ok {
			s.Lines = append(s.Lines, row)
		}
	}
	for _, c := range []*charts.Line{latencyPlot(columns, label), throughputPlot(columns, label)} {
		if c != nil {
			c.Validate()
			s.Plots = append(s.Plots, plot{c.ChartID, c.JSON()})
		}
	}
	return s
}

func newLine(title, x, xType, y, yType string) *charts.Line {
	c := charts.NewLine()
	c.SetGlobalOptions(
		charts.WithTitleOpts(opts.Title{Title: title}),
		charts.WithXAxisOpts(opts.XAxis{Name: x, Type: xType, NameLocation: "center", NameGap: 28}),
		charts.WithYAxisOpts(opts.YAxis{Name: y, Type: yType}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true), Top: "28"}),
		charts.WithGridOpts(opts.Grid{Top: "80", Bottom: "50", Left: "70", Right: "30"}),
		charts.WithAnimation(false),
	)
	return c
}

// latencyPlot has one line per column: its run with the median p99. The axis stretches the tail: 10 is p90, 100 is p99.
func latencyPlot(columns []Column, label string) *charts.Line {
	c := newLine("Latency", "1 / (1 − percentile): 10 is p90, 1000 is p99.9", "log", "ms", "log")
	any := false
	for _, col := range columns {
		r := col.typical(label)
		if r == nil || r.Latency == nil || len(r.Latency.Points) == 0 {
			continue
		}
		var data []opts.LineData
		for _, p := range r.Latency.Points {
			if p.Percentile < 100 && p.Millis > 0 {
				data = append(data, opts.LineData{Value: []float64{1 / (1 - p.Percentile/100), p.Millis}})
			}
		}
		c.AddSeries(col.Name, data, charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)}))
		any = true
	}
	if !any {
		return nil
	}
	return c
}

func throughputPlot(columns []Column, label string) *charts.Line {
	c := newLine("Throughput", "second of the run", "value", "deliveries/s", "value")
	any := false
	for _, col := range columns {
		r := col.typical(label)
		if r == nil || len(r.Seconds) < 2 {
			continue
		}
		var data []opts.LineData
		for i, s := range r.Seconds {
			data = append(data, opts.LineData{Value: []float64{float64(i + 1), float64(s.Deliveries)}})
		}
		c.AddSeries(col.Name, data)
		any = true
	}
	if !any {
		return nil
	}
	return c
}

// typical is the run of a label whose p99 is the median, or the first if none has latencies.
func (c *Column) typical(label string) *Result {
	runs := c.labelled(label)
	if len(runs) == 0 {
		return nil
	}
	var p99 []float64
	for _, r := range runs {
		if r.Latency != nil {
			p99 = append(p99, r.Latency.P99)
		}
	}
	for _, r := range runs {
		if len(p99)%2 == 1 && r.Latency != nil && r.Latency.P99 == median(p99) {
			return r
		}
	}
	return runs[0]
}

// String says what machine it is on one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d CPUs, Linux %s, TCP %s, %s, commit %s", m.CPU, m.CPUs, m.Kernel, m.TCP, m.Go, cmp.Or(m.Commit, "unknown"))
}
