package console

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

func readOperations(t *testing.T) string {
	t.Helper()
	docs, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(docs)
}

// The probes and the metrics want no token. They name hubs, but no channel and
// no client.
func TestOpenRequests(t *testing.T) {
	o := operate(t, nil)
	o.dial("a channel")
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		text := o.askAs("", "GET", path, "", 200)
		if strings.Contains(text, "a channel") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("%s names a channel or a client:\n%s", path, text)
		}
	}
	if text := o.askAs("", "GET", "/metrics", "", 200); !strings.Contains(text, `hub="/"`) {
		t.Error("the metrics name no hub")
	}
}

// The request that docs/operations.md shows has the answer that it shows.
func TestDocumentedPublish(t *testing.T) {
	m := regexp.MustCompile(`(?s)localhost:9773(/api/publish) -d \\\n +'(.*?)'\n(.*?)\x60\x60\x60`).FindStringSubmatch(readOperations(t))
	if m == nil {
		t.Fatal("there is none")
	}
	o := operate(t, nil)
	c := o.dial("news")
	if got := o.ask("POST", m[1], m[2], 200); got != m[3] {
		t.Errorf("got %s want %s", got, m[3])
	}
	c.want(`{"event":"message","channel":"news","data":{"title": "hello"}}`)
}

// Who publishes faster than subscribers can be served is told so.
func TestPublishOverloaded(t *testing.T) {
	hold := &stuck{make(chan int), make(chan struct{})}
	o := operate(t, func(_ *console, s *webrocket.Server) {
		s.Config.Loops = 1
		if err := s.Handle("/stuck", hold); err != nil {
			t.Fatal(err)
		}
	})
	o.dial("news")
	o.ws += "/stuck"
	o.send("x")
	<-hold.in
	defer close(hold.free)
	message := fmt.Sprintf(`{"hub":"/","channel":"news","event":"e","data":"%s"}`, strings.Repeat("x", 4000))
	batch := `{"messages":[` + strings.Repeat(message+",", batchMax-1) + message + `]}`
	for range 10 {
		if strings.Contains(o.ask("POST", "/api/publish", batch, 200), `{"err":"overloaded"}`) {
			return
		}
	}
	t.Error("a loop that is stuck takes 40 MB")
}

// A connection is disconnected by the name that the list of the slowest has for
// it, with 1008 if there is no code.
func TestDisconnectSlowest(t *testing.T) {
	o := operate(t, func(_ *console, s *webrocket.Server) { s.Config.SendBuffer = 4096 })
	slow := o.dial("news")
	data, err := json.Marshal(strings.Repeat("x", 4000))
	if err != nil {
		t.Fatal(err)
	}
	var slowest []Connection
	for n := 0; len(slowest) == 0; n++ {
		o.ask("POST", "/api/publish", `{"messages":[{"hub":"/","channel":"news","event":"e","data":`+string(data)+`}]}`, 200)
		slowest = get[Connections](o, "/api/connections/slowest?limit=1").Connections
	}
	o.ask("POST", "/api/disconnect", `{"connection":"`+slowest[0].Connection+`","reason":"too slow"}`, 200)
	for {
		if _, _, err := slow.conn.Read(t.Context()); err != nil {
			if websocket.CloseStatus(err) != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), "too slow") {
				t.Errorf("got %v, want 1008 too slow", err)
			}
			return
		}
	}
}

// The codes of applications are joined, and every other has its own number.
func TestDisconnectsByCode(t *testing.T) {
	o := operate(t, nil)
	for _, code := range []websocket.StatusCode{3000, 4000, 4321, 1001} {
		if err := o.dial().conn.Close(code, ""); err != nil {
			t.Fatal(err)
		}
	}
	var text string
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		if text = o.ask("GET", "/metrics", "", 200); value(text, `rocket_connections`) == "0" {
			break
		}
	}
	for code, want := range map[string]string{"3xxx": "1", "4xxx": "2", "1001": "1", "4000": ""} {
		if got := value(text, `rocket_disconnects_total{code="`+code+`"}`); got != want {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
}

// Messages are logged at the level that docs/operations.md has for them.
func TestDocumentedLogLevels(t *testing.T) {
	_, table, _ := strings.Cut(readOperations(t), "| message | level | means |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	source := readSource(t)
	levels := map[string]string{"Debug": "debug", "Info": "info", "Warn": "warn", "Error": "error"}
	for _, row := range strings.Split(table, "\n") {
		cells := strings.Split(row, " | ")
		documented := strings.Split(cells[1], ", ")
		for i, message := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
			start, _, _ := strings.Cut(message[1], "…")
			want := documented[min(i, len(documented)-1)]
			found := regexp.MustCompile(`\.(Debug|Info|Warn|Error)\(\s*"`+regexp.QuoteMeta(start)).FindAllStringSubmatch(source, -1)
			for _, m := range found {
				if got := levels[m[1]]; got != want && !(start == "event loops" && strings.Contains(cells[1], got)) {
					t.Errorf("%q is logged at the level %s, not %s", start, got, want)
				}
			}
			// What is put together elsewhere is tested where it is.
			if len(found) == 0 && start != "the hub at " && start != "the certificate of " {
				t.Errorf("nothing logs %q", message[1])
			}
		}
	}
}

// A request waits for a loop as long as docs/operations.md says.
func TestDocumentedTimeout(t *testing.T) {
	if loopTimeout != 2*time.Second || !strings.Contains(readOperations(t), "a loop that does not answer for two seconds gives 503") {
		t.Errorf("a request waits for %v", loopTimeout)
	}
}
