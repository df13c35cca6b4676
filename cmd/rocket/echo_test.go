package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
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
		endpoint, err := echo{hub{maxMessageSize: tt.message, maxQueuedBytes: tt.queued}}.Register(nil, "/")
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
	if err == nil || !strings.Contains(err.Error(), ":2: Hubs[0]: an Echo hub has no Channels, Secrets or Log; remove them") {
		t.Errorf("got %v", err)
	}
}
