package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

func TestEchoEndToEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "echo.json")
	config := `{"MaxMessageSize": 1048576, "Hubs": [{"Path": "/", "Codec": "echo"}, {"Path": "/deflate", "Codec": "Echo", "Compression": "on"}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, nil, file, "-port", "0")
	url := server.stdout.want(`hub +(ws://localhost:\d+)/deflate +Echo +open to everyone`)[1]
	server.stdout.want(`^Ready`)
	for path, extensions := range map[string]string{
		"/":        "",
		"/deflate": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
	} {
		for _, mode := range []websocket.CompressionMode{websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
			ws, response, err := websocket.Dial(t.Context(), url+path, &websocket.DialOptions{CompressionMode: mode})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			if got := response.Header.Get("Sec-WebSocket-Extensions"); got != extensions {
				t.Errorf("%s: got extensions %q, want %q", path, got, extensions)
			}
			checkEcho(t, ws)
		}
	}
	server.signal(syscall.SIGTERM)
	server.wantStatus(0)
}

// checkEcho sends more than a hub of channels lets wait before it reads.
func checkEcho(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	ws.SetReadLimit(-1)
	messages := []string{"hello", strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20), "", strings.Repeat("long", 1000)}
	for _, m := range messages {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range messages {
		kind, got, err := ws.Read(t.Context())
		if err != nil || kind != websocket.MessageText || string(got) != m {
			t.Fatalf("got %v of %d bytes, %v, want %d bytes of text back", kind, len(got), err, len(m))
		}
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
}

// As many of the longest messages may wait, whatever MaxQueuedBytes says.
func TestEchoQueue(t *testing.T) {
	for _, tt := range []struct{ message, queued, want int }{{1000, 1, 32_000}, {1000, 40_000, 40_000}} {
		endpoint, err := echo{hub{Endpoint: webrocket.Endpoint{MaxMessageSize: tt.message, MaxQueuedBytes: tt.queued}}}.Register(nil, "/")
		if err != nil || endpoint.MaxQueuedBytes != tt.want {
			t.Errorf("%+v: got %+v, %v", tt, endpoint, err)
		}
	}
}

func TestEchoHasNoSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "echo.json")
	config := "{\"Hubs\": [\n{\"Path\": \"/echo\", \"Codec\": \"Echo\", \"Secrets\": {\"ReadOnly\": \"r\"}}]}"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sources{file: file}.load()
	if err == nil || !strings.Contains(err.Error(), ":2: Hubs[0]: an Echo hub has no Channels, Rules, Secrets or Log; remove them") {
		t.Errorf("got %v", err)
	}
}

// Nothing is published to an Echo hub, and nobody is told that it was.
func TestClientsOfEchoEndToEnd(t *testing.T) {
	_, url := startServer(t, nil, writeFile(t, `{"Hubs": [{"Path": "/", "Codec": "Echo"}]}`))
	for _, args := range [][]string{{"publish", "-url", url, "c", "1"}, {"subscribe", "-url", url, "c"}} {
		p := start(t, nil, args...)
		p.wantStatus(1)
		if got := p.stderr.all(); !strings.Contains(got, "does not speak Rocket's protocol") {
			t.Errorf("%v: got %s", args, got)
		}
	}
}

// dialEcho connects to an echo hub.
func dialEcho(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// sendEcho sends a message and returns what comes back.
func sendEcho(t *testing.T, ws *websocket.Conn, message string) (string, error) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	_, got, err := ws.Read(t.Context())
	return string(got), err
}

// Who sends too much at once is sent away, nobody else.
func TestEchoRates(t *testing.T) {
	file := writeFile(t, `{"Hubs": [
		{"Path": "/messages", "Codec": "Echo", "CommandRate": 1},
		{"Path": "/bytes", "Codec": "Echo", "ByteRate": 1000}]}`)
	server := start(t, nil, file, "-port", "0")
	url := server.stdout.want(`hub +(ws://localhost:\d+)/bytes`)[1]
	server.stdout.want(`^Ready`)
	for path, message := range map[string]string{"/messages": "x", "/bytes": strings.Repeat("x", 5000)} {
		fast, other := dialEcho(t, url+path), dialEcho(t, url+path)
		var err error
		for n := 0; err == nil; n++ { // at most one in a second is answered
			if _, err = sendEcho(t, fast, message); n > 1000 {
				t.Fatalf("%s: %d messages in no time", path, n)
			}
		}
		if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("%s: got %v, want 1008", path, err)
		}
		if got, err := sendEcho(t, other, "hello"); got != "hello" {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	server.signal(syscall.SIGINT)
	server.wantStatus(0)
}

// A reload leaves the connections of an echo hub alone, and gives them its new
// limits; only other rates send them away.
func TestEchoReload(t *testing.T) {
	const config = `{"Hubs": [
		{"Path": "/", "Codec": "Echo", "MaxMessageSize": %1},
		{"Path": "/limited", "Codec": "Echo", "CommandRate": %2}]}`
	file := writeFile(t, strings.NewReplacer("%1", "10", "%2", "1000").Replace(config))
	server := start(t, nil, file, "-port", "0")
	url := server.stdout.want(`hub +(ws://localhost:\d+)/limited`)[1]
	server.stdout.want(`^Ready`)
	free, limited := dialEcho(t, url), dialEcho(t, url+"/limited")
	for range 2 { // nothing has changed the first time
		server.signal(syscall.SIGHUP)
		server.stderr.want(`"reloaded","hubs":2`)
		for _, ws := range []*websocket.Conn{free, limited} {
			if got, err := sendEcho(t, ws, "hello"); got != "hello" {
				t.Fatalf("after a reload: got %q, %v", got, err)
			}
		}
		rewrite(t, file, strings.NewReplacer("%1", "20", "%2", "1000").Replace(config))
	}
	if got, err := sendEcho(t, free, strings.Repeat("x", 20)); err != nil {
		t.Errorf("of the new length: got %q, %v", got, err)
	}
	rewrite(t, file, strings.NewReplacer("%1", "20", "%2", "1001").Replace(config))
	server.signal(syscall.SIGHUP)
	if _, _, err := limited.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("with another rate: got %v, want 1001", err)
	}
	if got, err := sendEcho(t, free, "hello"); got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	server.signal(syscall.SIGINT)
	server.wantStatus(0)
}
