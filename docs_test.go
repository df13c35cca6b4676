package webrocket_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fenced returns the blocks of a document that are in some language.
func fenced(document, language string) []string {
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(document, -1) {
		if match[1] == language {
			blocks = append(blocks, match[2])
		}
	}
	return blocks
}

// The dialogue in the documentation is one that takes place.
func TestDocumentedDialogue(t *testing.T) {
	blocks := fenced(readFile(t, "docs/protocol.md"), "dialogue")
	if len(blocks) == 0 {
		t.Fatal("there is none")
	}
	for _, block := range blocks {
		dialogue := regexp.MustCompile(`(?m)^(\w+) +`).ReplaceAllString(block, "$1 ")
		talk(t, serve(t, hubs{"/": locked()}), dialogue)
	}
}

// The code in the documentation is that of the examples.
func TestDocumentedCode(t *testing.T) {
	files, err := filepath.Glob("example_*test.go")
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for _, file := range files {
		examples.WriteString(readFile(t, file))
	}
	blocks := fenced(readFile(t, "docs/handlers.md"), "go")
	if len(blocks) == 0 {
		t.Fatal("there is none")
	}
	for _, block := range blocks {
		if !strings.Contains(examples.String(), block) {
			t.Errorf("no example has this:\n%s", block)
		}
	}
}

// The limits in the documentation are those of the code.
func TestDocumentedLimits(t *testing.T) {
	document := readFile(t, "docs/protocol.md")
	for _, row := range []string{
		fmt.Sprintf("| a client's message | %d KiB |", engine.DefaultMaxMessageSize>>10),
		fmt.Sprintf("| what waits for a slow reader | %d MiB |", engine.DefaultMaxQueuedBytes>>20),
		fmt.Sprintf("| channels of one connection | %d |", webrocket.DefaultMaxSubscriptions),
		fmt.Sprintf("| time for the opening handshake | %.0f s |", engine.DefaultHandshakeTimeout.Seconds()),
		fmt.Sprintf("| silence of a client before a ping | %.0f s |", engine.DefaultPingInterval.Seconds()),
		fmt.Sprintf("| silence after a ping | %.0f s |", engine.DefaultPongTimeout.Seconds()),
		fmt.Sprintf("| time for the closing handshake | %.0f s |", engine.DefaultCloseTimeout.Seconds()),
		fmt.Sprintf("| length of a channel's name | %d bytes |", codec.MaxChannelName),
	} {
		if !strings.Contains(document, "\n"+row) {
			t.Errorf("docs/protocol.md lacks the row %q", row)
		}
	}
	for _, payload := range []webrocket.Payload{
		webrocket.InvalidData, webrocket.InvalidCredentials, webrocket.InvalidChannelName,
		webrocket.InvalidChannel, webrocket.AccessDenied, webrocket.LimitExceeded,
	} {
		if row := fmt.Sprintf("\n| `%s` |", payload["err"]); !strings.Contains(document, row) {
			t.Errorf("docs/protocol.md does not explain %v", payload["err"])
		}
	}
}
