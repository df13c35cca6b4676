package bench

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// sample is a run of S2 with this much CPU per delivery.
func sample(dialect string, server float64) *Result {
	return &Result{
		Label: "S2", Scenario: "fanout", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Options: Options{Dialect: dialect, Conns: 1000, Channels: 1, Rate: 100, Payload: 128},
		Load:    &Load{Seconds: 5, Deliveries: 500_000, DeliveriesPerSecond: 100_000, ServerMicros: server},
		Latency: &Latency{Count: 500_000, P50: 1, P99: server, Max: 9, Points: []Point{{50, 1}, {99, server}, {100, 9}}},
		Seconds: []Second{{Deliveries: 100_000}, {Deliveries: 100_000}},
		Floor:   []FloorResult{{FloorSpec: FloorSpec{Mode: FloorPaced, PerWrite: 1}, MicrosPerMessage: 3}},
		Ratio:   server / 3,
	}
}

func TestMedian(t *testing.T) {
	tests := []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}}
	for _, tt := range tests {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestBounds(t *testing.T) {
	tests := []struct {
		bound Bound
		v     float64
		met   bool
	}{
		{atLeast(2), 1.9, false},
		{atLeast(2), 2, true},
		{atLeast(2), 3, true},
		{atMost(2), 1, true},
		{atMost(2), 2, true},
		{atMost(2), 2.1, false},
	}
	for _, tt := range tests {
		if got := tt.bound.Met(tt.v); got != tt.met {
			t.Errorf("%v met by %v: %v, want %v", tt.bound, tt.v, got, tt.met)
		}
	}
}

func TestTargetsNameEntriesAndMetrics(t *testing.T) {
	for label, bounds := range Targets {
		if title(label) == "" {
			t.Errorf("there is no entry %s", label)
		}
		for name := range bounds {
			known := false
			for _, m := range metrics {
				known = known || m.name == name
			}
			if !known {
				t.Errorf("%s has a target for %q, which is no metric", label, name)
			}
		}
	}
}

func TestWriteTable(t *testing.T) {
	broken := sample("nats", 9)
	broken.Error = "the server closed the connection"
	lossy := sample("nats", 8)
	lossy.Check.Lost = 3
	columns := ByDialect([]*Result{sample("rocket", 3.3), sample("rocket", 3.6), sample("rocket", 3.15), broken, lossy})
	var b bytes.Buffer
	if err := WriteTable(&b, columns); err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(b.String()) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), "  ")
		lines[name] = strings.Join(strings.Fields(rest), " ")
	}
	for name, want := range map[string]string{
		"metric":                 "rocket nats target",
		"S2":                     "fan-out, 1,000 subscribers, 100 publishes/s",
		"server µs per delivery": "3.30 (3.15–3.60) 8.00",
		"× floor":                "1.10 (1.05–1.20) 2.67 ≤ 1.12 met",
		"p99 ms":                 "3.30 (3.15–3.60) 8.00 ≤ 5.00 met",
		"nats: failed: the server closed the connection": "",
	} {
		if got, ok := lines[name]; !ok || got != want {
			t.Errorf("line %q is %q, want %q in\n%s", name, got, want, &b)
		}
	}
	if !strings.Contains(b.String(), "nats: wrong: 3 lost") {
		t.Errorf("the loss is not shown:\n%s", &b)
	}
}

func TestJSONComesBack(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, []*Result{sample("rocket", 3)}); err != nil {
		t.Fatal(err)
	}
	results, err := ReadJSON(&b)
	if err != nil || len(results) != 1 || results[0].Label != "S2" || results[0].Latency.Points[1].Millis != 3 {
		t.Errorf("ReadJSON = %+v, %v", results, err)
	}
	if _, err := ReadJSON(strings.NewReader("nonsense")); err == nil {
		t.Error("nonsense is read as a result")
	}
}

func TestWriteHTML(t *testing.T) {
	const evil = `</script><script>alert(1)</script>`
	r := sample(evil, 3)
	r.Error, r.Machine.CPU = evil, evil
	var b bytes.Buffer
	if err := WriteHTML(&b, ByDialect([]*Result{r, sample("rocket", 4)})); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, evil) {
		t.Error("a name becomes part of the page's code")
	}
	for _, want := range []string{"fan-out, 1,000 subscribers", "echarts.init", "1.33", "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, unwanted := range []string{`src="http`, `src='http`, `href="http`} {
		if strings.Contains(page, unwanted) {
			t.Errorf("the page wants something from elsewhere: %s", unwanted)
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.046: "0.046", 0.2: "0.2", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 9999: "9999", 22500: "22.5 k", 4.5e6: "4.50 M",
	} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %q, want %q", v, got, want)
		}
	}
}
