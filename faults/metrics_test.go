package faults

import (
	"math"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// What a server does not count is not 0: checks that want none would hold.
func TestSum(t *testing.T) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	m, err := parser.TextToMetricFamilies(strings.NewReader(`# TYPE refused counter
refused{reason="full"} 3
refused{reason="timeout"} 4
# TYPE panics counter
panics 0
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"refused", nil, 7},
		{"refused", []string{"reason", "full"}, 3},
		{"refused", []string{"reason", "other"}, 0},
		{"panics", nil, 0},
		{"panic", nil, math.NaN()},
	} {
		if got := metrics(m).sum(test.name, test.labels...); got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
			t.Errorf("%s %v: got %v, want %v", test.name, test.labels, got, test.want)
		}
	}
}
