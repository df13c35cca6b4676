package faults

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics are the metrics of a server at one time.
type metrics map[string]*dto.MetricFamily

// metrics asks the admin port.
func (s *server) metrics() (metrics, error) {
	resp, err := s.get("/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: %s", resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}

// sum adds up the values of a metric whose labels are as given: name, value, name, value. It is 0 if there are none of
// these labels. If there is no such metric it is no number, so that no check takes it for the 0 that it wants.
func (m metrics) sum(name string, labels ...string) float64 {
	if m[name] == nil {
		return math.NaN()
	}
	total := 0.0
	for _, metric := range m[name].GetMetric() {
		if matches(metric, labels) {
			total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return total
}

func matches(metric *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range metric.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// read is sum for callers that ask again anyway: 0 if the server does not answer.
func (s *server) read(name string, labels ...string) float64 {
	m, err := s.metrics()
	if err != nil {
		return 0
	}
	return m.sum(name, labels...)
}

// highest begins to read a metric twice a second; what it returns ends that, and tells the highest value.
func (s *server) highest(ctx context.Context, name string, labels ...string) func() float64 {
	ctx, cancel := context.WithCancel(ctx)
	seen := make(chan float64, 1)
	go func() {
		most := 0.0
		for ctx.Err() == nil {
			most = max(most, s.read(name, labels...))
			rest(ctx, time.Second/2)
		}
		seen <- most
	}()
	return func() float64 {
		cancel()
		return <-seen
	}
}

// until is the trial's for what the server must be asked, which costs it something: it is asked ten times a second.
func (s *server) until(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	next := now()
	return s.t.until(ctx, limit, what, func() bool {
		if now() < next {
			return false
		}
		next = now() + time.Second/10
		return ok()
	})
}

// A counter is a metric with a label and its value.
type counter struct{ name, label, value string }

func (c counter) String() string { return fmt.Sprintf("%s{%s=%q}", c.name, c.label, c.value) }

func (s *server) count(c counter) float64 { return s.read(c.name, c.label, c.value) }

// checkCount waits until a server has counted so many, and leaves a finding.
func (t *trial) checkCount(ctx context.Context, s *server, c counter, want int) {
	_ = s.until(ctx, patience, c.String(), func() bool { return s.count(c) >= float64(want) }) // the finding says it
	got := s.count(c)
	t.check(got == float64(want), fmt.Sprintf("%v counts them", c), "%.0f, of %d", got, want)
}
