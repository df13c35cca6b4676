package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/bench"
	"github.com/nu7hatch/webrocket/httpapi"
)

func TestMain(m *testing.M) {
	bench.BeFloor()
	bench.BeSwarm()
	if os.Getenv(beServer) != "" {
		serve(os.Args[1:])
	}
	os.Exit(m.Run())
}

// beServer, in the environment, makes this program the server that a run starts.
const beServer = "ROCKET_BENCH_TEST_SERVER"

// serve understands the flags of rocket that a run gives it.
func serve(args []string) {
	fs := flag.NewFlagSet("server", flag.ExitOnError)
	host, port := fs.String("host", "", ""), fs.String("port", "", "")
	cert, key := fs.String("tls-cert", "", ""), fs.String("tls-key", "", "")
	fs.Int("loops", 0, "")
	admin := fs.String("admin", "", "")
	for _, name := range []string{"cluster-node", "cluster-listen", "cluster-routes"} {
		fs.String(name, "", "")
	}
	fs.Parse(args)
	if *admin != "" { // of a node that knows two others, it says
		go func() {
			log.Fatal(http.ListenAndServe(*admin, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, `{"nodes":[{},{}]}`)
			})))
		}()
	}
	s := webrocket.NewServer(net.JoinHostPort(*host, *port))
	s.Log = slog.New(slog.DiscardHandler)
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		log.Fatal(err)
	}
	if file := fs.Arg(0); file != "" {
		mountAPI(s, file)
	}
	if *cert != "" {
		log.Fatal(s.ListenAndServeTLS(*cert, *key))
	}
	log.Fatal(s.ListenAndServe())
}

// mountAPI makes the server take publishes by HTTP, with the keys of a configuration.
func mountAPI(s *webrocket.Server, file string) {
	text, err := os.ReadFile(file)
	var config struct {
		Hubs []struct{ Keys []httpapi.Key }
	}
	if err = errors.Join(err, json.Unmarshal(text, &config)); err != nil {
		log.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Config{Server: s, Keys: map[string][]httpapi.Key{"/": config.Hubs[0].Keys}})
	if err != nil {
		log.Fatal(err)
	}
	s.HTTP = api
}

func TestPost(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(beServer, "yes")
	var out, errs bytes.Buffer
	args := strings.Fields("post -dialects rocket -publishers 4 -warmup 10ms -duration 100ms -repeat 2 -server " + self)
	if status := run(t.Context(), args, &out, &errs); status != exitGood {
		t.Fatalf("status %d: %s%s", status, &out, &errs)
	}
	row := regexp.MustCompile(`(?m)^ *rocket +[1-9]\d* +[1-9]\d* to \d+ +\d+\.\d +\d+\.\d\d +\d+\.\d\d +[1-9]\d* +0$`)
	if !row.MatchString(out.String()) {
		t.Errorf("got\n%s", &out)
	}
}

func TestTLSColumn(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(beServer, "yes")
	tests := []struct {
		args      string
		delivered string
	}{
		{"fanout -conns 5 -count 20 -warmup 0s -duration 1m -no-floor", "every delivery right: 100 delivered"},
		{"idle -conns 6 -channels 3 -warmup 0s -duration 1ms", "every delivery right: 6 delivered"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			json := filepath.Join(t.TempDir(), "a.json")
			var out, errs bytes.Buffer
			args := append(strings.Fields(tt.args), "-tls-column", "-server", self, "-json", json)
			if status := run(t.Context(), args, &out, &errs); status != exitGood {
				t.Fatalf("status %d: %s%s", status, &out, &errs)
			}
			if status := run(t.Context(), []string{"report", json}, &out, &errs); status != exitGood {
				t.Fatalf("report: status %d: %s", status, &errs)
			}
			for want, times := range map[string]int{
				"plain: " + tt.delivered: 1, "TLS: " + tt.delivered: 1, "TLS: TLS 1.3, ": 1,
				"metric": 2, "plain ": 2, "connects/s": 2, "server µs per connect": 2,
			} {
				if n := strings.Count(out.String(), want); n < times {
					t.Errorf("%q is there %d times, want %d:\n%s", want, n, times, &out)
				}
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	notJSON := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(notJSON, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   string
		status int
		says   string
	}{
		{"nothing", "", exitUsage, "rocket-bench SCENARIO"},
		{"help", "help", exitGood, "broadcast"},
		{"help of a scenario", "fanout -h", exitGood, "-saturate"},
		{"unknown scenario", "fly", exitUsage, `no scenario "fly"`},
		{"unknown flag", "fanout -wings", exitUsage, "-wings"},
		{"argument", "fanout wings", exitUsage, `"wings" is not a flag`},
		{"bad CPU", "fanout -cpus x", exitUsage, "not a CPU"},
		{"bad option", "fanout -conns -1", exitUsage, "-conns"},
		{"foreign target", "fanout -target ws://192.0.2.1/", exitUsage, "-i-own-this-target"},
		{"columns of a target", "idle -tls-column -target ws://127.0.0.1:1/", exitUsage, "-tls-column starts both"},
		{"authority without a target", "idle -tls -ca x.pem", exitUsage, "-ca and -insecure are for a -target"},
		{"no such authority", "idle -target wss://127.0.0.1:1/ -ca /nonexistent.pem", exitUsage, "-ca: open /nonexistent.pem"},
		{"nobody there", "fanout -target ws://127.0.0.1:1/ -no-floor", exitError, "connection refused"},
		{"no program", "fanout -server /nonexistent/rocket", exitError, "no server"},
		{"unknown entry", "standard -only S99", exitUsage, `no entry "S99"`},
		{"no repeats", "compare -repeat 0", exitUsage, "-repeat"},
		{"three nodes without a history", "fanout -nodes 3", exitUsage, "needs a -history"},
		{"four nodes", "fanout -nodes 4", exitUsage, "-nodes must be 1 to 3"},
		{"nodes of a target", "fanout -nodes 2 -target ws://127.0.0.1:1/", exitUsage, "-nodes 2 is for servers that are started"},
		{"nodes for a chat", "chat -nodes 2", exitUsage, "not for chat"},
		{"nodes that cannot be", "fanout -nodes 2 -dialect nchan", exitUsage, "nchan: they are started alone only"},
		{"near what", "fanout -near", exitUsage, "-near needs -nodes 2"},
		{"unknown entry of the other set", "cluster -only S1", exitUsage, `no entry "S1"`},
		{"one node", "nodes -nodes 1", exitUsage, "-nodes"},
		{"no patience", "nodes -within 0s", exitUsage, "-within"},
		{"no publishers", "post -publishers 0", exitUsage, "1 to 10000 publishers"},
		{"no HTTP API", "post -dialects nats", exitUsage, "no HTTP API of nats"},
		{"help of post", "post -h", exitGood, "keep-alive connections"},
		{"report of nothing", "report", exitUsage, "JSON files"},
		{"report of a missing file", "report /nonexistent.json", exitError, "no such file"},
		{"report of something else", "report " + notJSON, exitError, "not a result"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			status := run(t.Context(), strings.Fields(tt.args), &out, &out)
			if status != tt.status || !strings.Contains(out.String(), tt.says) {
				t.Errorf("rocket-bench %s: status %d, want %d and %q in:\n%s", tt.args, status, tt.status, tt.says, &out)
			}
		})
	}
}

// A run in which something went wrong has a result and ends with status 1.
func TestWrongDeliveriesHaveAStatus(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	h := webrocket.NewJSONHandler()
	h.CommandRate = 5 // with the login; the rest of ten publishes at once is refused
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	var out bytes.Buffer
	status := run(t.Context(), []string{
		"fanout", "-target", "ws://" + s.Addr().String(), "-conns", "3", "-count", "10", "-saturate", "10",
		"-warmup", "0s", "-duration", "1m", "-no-floor", "-drain", "1s",
	}, &out, &out)
	if status != exitWrong || !strings.Contains(out.String(), "rate_limited") {
		t.Errorf("status %d, want %d and what was refused in:\n%s", status, exitWrong, &out)
	}
}

func TestRunAndReport(t *testing.T) {
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	if err := s.Handle("/", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(context.Background())

	dir := t.TempDir()
	json, html := filepath.Join(dir, "a.json"), filepath.Join(dir, "a.html")
	var out, errs bytes.Buffer
	args := []string{
		"fanout", "-target", "ws://" + s.Addr().String(), "-conns", "5", "-count", "20", "-warmup", "0s", "-duration", "1m",
		"-no-floor", "-json", json, "-html", html,
	}
	if status := run(t.Context(), args, &out, &errs); status != exitGood {
		t.Fatalf("status %d: %s%s", status, &out, &errs)
	}
	if !strings.Contains(out.String(), "every delivery right: 100 delivered") {
		t.Errorf("result: %s", &out)
	}
	if errs.Len() > 0 {
		t.Errorf("progress though standard error is no terminal: %s", &errs)
	}
	out.Reset()
	if status := run(t.Context(), []string{"report", json, json, "-html", html}, &out, &errs); status != exitGood {
		t.Fatalf("report: status %d: %s", status, &errs)
	}
	if !strings.Contains(out.String(), "a rocket  a rocket") {
		t.Errorf("report: %s", &out)
	}
	page, err := os.ReadFile(html)
	if err != nil || !bytes.Contains(page, []byte("</html>")) {
		t.Errorf("page of %d bytes, %v", len(page), err)
	}
}
