package bench

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestBestPeer(t *testing.T) {
	lossy, lazy, broken := sample("lossy", 1), sample("lazy", 1), sample("broken", 1)
	lossy.Check.Lost = 1
	lazy.Lacks = "it does not acknowledge publishes"
	broken.Error = "it died"
	results := []*Result{
		sample("rocket", 3), sample("nats", 12), sample("centrifugo", 10), lossy, lazy, broken,
		sample("rocket", 4), sample("nats", 6), sample("centrifugo", 10.5),
	}
	for _, r := range results {
		r.Connect, r.Idle = &Connects{PerSecond: 1000 * r.Load.ServerMicros}, &Idle{}
	}
	compareToPeers(results, "rocket")
	// The medians of the peers are 9 and 10.25 µs, 9,000 and 10,250 connects/s.
	for i, want := range map[int]map[string]PeerRatio{
		0: {metricServer: {"nats", 3. / 9}, metricConnects: {"centrifugo", 3000 / 10250.}, metricP50: {"nats", 1}},
		6: {metricServer: {"nats", 4. / 9}, metricConnects: {"centrifugo", 4000 / 10250.}, metricP50: {"nats", 1}},
	} {
		for name, ratio := range want {
			if got := results[i].ToBestPeer[name]; got != ratio {
				t.Errorf("result %d: %s is %v, want %v", i, name, got, ratio)
			}
		}
		for _, name := range []string{metricRate, metricFloor, metricRatio} { // given, or nobody's merit
			if got, ok := results[i].ToBestPeer[name]; ok {
				t.Errorf("result %d: %s is compared: %v", i, name, got)
			}
		}
	}
	if len(results[1].ToBestPeer) > 0 {
		t.Errorf("a peer has ratios: %v", results[1].ToBestPeer)
	}

	var file, table, page bytes.Buffer
	if err := WriteJSON(&file, results); err != nil {
		t.Fatal(err)
	}
	back, err := ReadJSON(&file)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteTable(&table, ByDialect(back)); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(&page, ByDialect(back)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"table": table.String(), "page": page.String()} {
		for _, want := range []string{bestPeerHead, "0.389 × nats", "0.341 × centrifugo", "less work: it does not acknowledge publishes"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s lacks %q", name, want)
			}
		}
	}
}

func TestNoPeersNoRatios(t *testing.T) {
	results := []*Result{sample("rocket", 3), sample("rocket", 4)}
	compareToPeers(results, "rocket")
	var table bytes.Buffer
	if err := WriteTable(&table, ByDialect(results)); err != nil || strings.Contains(table.String(), bestPeerHead) {
		t.Errorf("%v in\n%s", err, &table)
	}
}

// What a peer cannot do is said, once.
func TestEntriesThatAPeerCannotRun(t *testing.T) {
	so := SuiteOptions{Base: DefaultOptions(), Only: []string{"S1t"}, Sides: []Side{{Dialect: "nats"}, {Dialect: "nchan"}}, Repeat: 2}
	results, err := RunSuite(context.Background(), so, nil, nil)
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	var table bytes.Buffer
	if err := WriteTable(&table, ByDialect(results)); err != nil {
		t.Fatal(err)
	}
	for _, side := range so.Sides {
		if want := side.Dialect + ": not run: it is started without TLS only"; strings.Count(table.String(), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, &table)
		}
	}
}

// A chat with a server that does not acknowledge is less work, and the result says so.
func TestChatWithoutAcknowledgements(t *testing.T) {
	for dialect, lacks := range map[string]bool{"nats": true, "rocket": false, "centrifugo": false, "nchan": false, "pusher": true} {
		o := quick(ScenarioNamed("chat"), "ws://127.0.0.1:1/", 1)
		o.Dialect = dialect
		res, err := Run(t.Context(), ScenarioNamed("chat"), o, nil)
		if err == nil || res == nil || (res.Lacks != "") != lacks {
			t.Errorf("%s: result %+v, %v", dialect, res, err)
		}
	}
}
