package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/bench"
)

// buildServers returns a directory with rocket and nats-server.
func buildServers(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, source := range map[string]string{"rocket": "../rocket", "nats-server": "github.com/nats-io/nats-server/v2"} {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), source).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", source, err, out)
		}
	}
	return dir
}

// Two nodes with a server of NATS between them: subscribers at one hear what is published at the other, and what
// each of the three costs is known.
func TestTwoNodes(t *testing.T) {
	dir := buildServers(t)
	t.Setenv("PATH", dir)
	for _, more := range []string{"", " -near", " -history 10"} {
		t.Run("publishers"+more, func(t *testing.T) {
			file := filepath.Join(dir, "two.json")
			var out, errs bytes.Buffer
			args := "fanout -nodes 2 -conns 5 -rate 100 -warmup 0s -duration 1s -no-floor -json " + file + more
			if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitGood {
				t.Fatalf("status %d:\n%s%s", status, &out, &errs)
			}
			if !strings.Contains(out.String(), "CPU per publish") {
				t.Errorf("result:\n%s", &out)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			results, err := bench.ReadJSON(f)
			if err != nil {
				t.Fatal(err)
			}
			if l := results[0].Load; l.ServerMicros <= 0 || l.OtherMicros <= 0 || l.BrokerMicros <= 0 {
				t.Errorf("CPU time of a server is missing: %+v", l)
			}
			if acks := results[0].Acks; (acks != nil) != strings.Contains(more, "history") {
				t.Errorf("answers: %+v", acks)
			}
			if c := results[0].Check; c.Delivered == 0 || c.Delivered != 5*results[0].Published {
				t.Errorf("%d publishes: %v", results[0].Published, c)
			}
		})
	}
}

// Three nodes that store each event together: each subscriber hears all that its publisher publishes at another node, and
// how long the answers took is known.
func TestThreeNodes(t *testing.T) {
	dir := buildServers(t)
	t.Setenv("PATH", dir)
	file := filepath.Join(dir, "three.json")
	var out, errs bytes.Buffer
	args := "channels -nodes 3 -conns 6 -channels 6 -publishers 6 -history 10 -saturate 4 -count 600 -warmup 0s -duration 1m -drain 1m -no-floor -json " + file
	if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitGood {
		t.Fatalf("status %d:\n%s%s", status, &out, &errs)
	}
	if !strings.Contains(out.String(), "every delivery right: 600 delivered") || !strings.Contains(out.String(), "all nodes") {
		t.Errorf("result:\n%s", &out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	results, err := bench.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; r.Acks == nil || r.Acks.Count == 0 || r.Acks.P50 <= 0 || r.Load.OtherMicros <= 0 {
		t.Errorf("answers: %+v, load: %+v", r.Acks, r.Load)
	}
	if status := run(t.Context(), strings.Fields("fanout -nodes 3"), &out, &errs); status != exitUsage {
		t.Errorf("without a history: status %d, want %d", status, exitUsage)
	}
}

// A cluster of real nodes has all connections that it was asked for, and each hears what
// is published at any node, with a server of NATS for all or with one inside each.
func TestNodes(t *testing.T) {
	dir := buildServers(t)
	rocket, nats := filepath.Join(dir, "rocket"), filepath.Join(dir, "nats-server")
	for name, more := range map[string]string{"inside": "", "for all": " -nats " + nats} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "nodes.json")
			var out, errs bytes.Buffer
			args := "nodes -nodes 3 -conns 400 -rounds 3 -hold 0s -server " + rocket + " -json " + file + more
			if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitGood {
				t.Fatalf("status %d:\n%s%s", status, &out, &errs)
			}
			if !strings.Contains(out.String(), "every delivery right: 3600 delivered, 0 lost") {
				t.Errorf("not all have heard all:\n%s", &out)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var res bench.NodesResult
			if err := json.Unmarshal(b, &res); err != nil {
				t.Fatal(err)
			}
			if res.Connections != 1200 || len(res.Rounds) != 3 {
				t.Errorf("%d connections, %d rounds", res.Connections, len(res.Rounds))
			}
			for i, r := range res.Rounds {
				if r.Node != i || r.Receivers != 1200 || r.First <= 0 || r.Median < r.First || r.Last < r.Median {
					t.Errorf("round %d: %+v", i, r)
				}
			}
			if f := res.After; f.Nodes < f.Node || f.Clients < f.Client || f.Slab <= 0 || f.Used <= 0 || (f.NATS > 0) != (more != "") {
				t.Errorf("memory: %+v", f)
			}
		})
	}
}

// Nodes that do not hear each other are found out: two of three clients have not heard an event.
func TestNodesApart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(beServer, "yes")
	var out, errs bytes.Buffer
	args := "nodes -nodes 3 -conns 10 -rounds 1 -hold 0s -within 1s -server " + self
	if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitWrong {
		t.Errorf("status %d, want %d", status, exitWrong)
	}
	if !strings.Contains(out.String(), "FAILED: 10 delivered, 20 lost") {
		t.Errorf("result:\n%s%s", &out, &errs)
	}
}

// A run that takes too long ends, and says so.
func TestNodesLimit(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(beServer, "yes")
	var out, errs bytes.Buffer
	args := "nodes -nodes 3 -conns 10 -hold 1h -limit 5s -server " + self
	if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitError {
		t.Errorf("status %d, want %d", status, exitError)
	}
	if !strings.Contains(errs.String(), "the run took longer than 5s") {
		t.Errorf("result:\n%s%s", &out, &errs)
	}
}

// Where memory is short fewer connections are opened, and it is said why.
func TestNodesShortOfMemory(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(beServer, "yes")
	var out, errs bytes.Buffer
	args := "nodes -nodes 3 -conns 10 -hold 0s -spare 9000000000000000000 -server " + self
	if status := run(t.Context(), strings.Fields(args), &out, &errs); status != exitError {
		t.Errorf("status %d, want %d", status, exitError)
	}
	if !regexp.MustCompile(`only [0-9.]+ GiB of memory were left`).MatchString(out.String()) {
		t.Errorf("result:\n%s%s", &out, &errs)
	}
}
