package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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
			o.publishTo = []string{strings.TrimSuffix(strings.TrimPrefix(startRocket(t), "ws://"), "/")}
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

// A server that can be a node is told where the server between them is, and what it keeps; one that cannot be has one
// result that says so.
func TestServeNode(t *testing.T) {
	for name, d := range dialects {
		d, ok := d.(clusterDialect)
		if ok != (name == "rocket" || name == "centrifugo") {
			t.Errorf("%s: can be a node: %v", name, ok)
		}
		if !ok {
			continue
		}
		for _, events := range []int{0, 77} {
			kind, dir := d.Between(events), t.TempDir()
			url := kind.scheme + "://127.0.0.1:4222"
			args, err := d.ServeNode(name, dir, 80, 1, events, url)
			if err != nil {
				t.Fatal(err)
			}
			var conf []byte
			for _, file := range []string{"rocket.json", "centrifugo.json"} {
				if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					conf = text
				}
			}
			if len(conf) > 0 && !json.Valid(conf) {
				t.Errorf("%s: not JSON: %s", name, conf)
			}
			if all := strings.Join(args, " ") + string(conf); !strings.Contains(all, url) || strings.Contains(all, ":77") != (events > 0) {
				t.Errorf("%s that keeps %d: %q %s", name, events, args, conf)
			}
			if between := strings.Join(kind.args("4222", dir), " "); !strings.Contains(between, "4222") || strings.Contains(between, dir) != (events > 0) {
				t.Errorf("%s that keeps %d: between them is %s", name, events, between)
			}
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
	if n := strings.Count(table.String(), "not run: they are started alone only"); n != 2 {
		t.Errorf("it is said %d times:\n%s", n, &table)
	}
}
