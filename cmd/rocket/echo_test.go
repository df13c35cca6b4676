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
	config := `{"Hubs": [{"Path": "/echo", "Codec": "echo", "MaxMessageSize": 1048576}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, nil, file, "-port", "0")
	url := server.stdout.want(`hub +(ws://localhost:\d+/echo) +Echo +open to everyone`)[1]
	server.stdout.want(`^Ready`)
	ws, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	// More than a hub of channels lets wait, and nobody reads yet.
	messages := []string{"hello", strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20), ""}
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
	server.signal(syscall.SIGTERM)
	_, _, err = ws.Read(t.Context())
	if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
		t.Errorf("got %v, want 1001", err)
	}
	server.wantStatus(0)
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
