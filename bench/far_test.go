package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// Publishers are at the other server: if it is no node with the subscribers' one, they hear nothing.
func TestPublishersAreElsewhere(t *testing.T) {
	sc := ScenarioNamed("fanout")
	o := quick(sc, startRocket(t), 10)
	o.Conns, o.Count, o.Drain, o.NoFloor = 10, 1, 100*time.Millisecond, true
	for _, elsewhere := range []bool{false, true} {
		if elsewhere {
			o.publishTo = strings.TrimSuffix(strings.TrimPrefix(startRocket(t), "ws://"), "/")
		}
		res, err := Run(t.Context(), sc, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := Check{Delivered: 10}
		if elsewhere {
			want = Check{Lost: 10, Refused: 1} // there is no such channel
		}
		if res.Check != want {
			t.Errorf("publishers elsewhere: %v: %v, want %v", elsewhere, res.Check, want)
		}
	}
}

// A server that can be a node is told where NATS is, and one that cannot be has one result that says so.
func TestServeNode(t *testing.T) {
	const url = "nats://127.0.0.1:4222"
	for name, d := range dialects {
		d, ok := d.(clusterDialect)
		if ok != (name == "rocket" || name == "centrifugo") {
			t.Errorf("%s: can be a node: %v", name, ok)
		}
		if !ok {
			continue
		}
		args, err := d.ServeNode(name, t.TempDir(), 80, 1, url)
		if err != nil {
			t.Fatal(err)
		}
		conf, err := os.ReadFile(args[len(args)-1])
		if err == nil && !json.Valid(conf) {
			t.Errorf("%s: not JSON: %s", name, conf)
		}
		if !strings.Contains(strings.Join(args, " ")+string(conf), url) {
			t.Errorf("%s is not told where NATS is: %q %s", name, args, conf)
		}
	}
	so := SuiteOptions{Set: Clustered, Base: DefaultOptions(), Only: []string{"N1"}, Sides: []Side{{Dialect: "nats"}, {Dialect: "nchan"}}, Repeat: 2}
	results, err := RunSuite(t.Context(), so, nil, nil)
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	var table bytes.Buffer
	if err := WriteTable(&table, ByDialect(results)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(table.String(), "not run: it is started alone only"); n != 2 {
		t.Errorf("it is said %d times:\n%s", n, &table)
	}
}
