package webrocket_test

import (
	"bufio"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	hubpkg "github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
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

// The dialogues in the documentation are ones that take place.
func TestDocumentedDialogue(t *testing.T) {
	blocks := fenced(readFile(t, "docs/protocol.md"), "dialogue")
	if len(blocks) == 0 {
		t.Fatal("there is none")
	}
	for _, block := range blocks {
		dialogue := regexp.MustCompile(`(?m)^(\w+) +`).ReplaceAllString(block, "$1 ")
		h := locked()
		h.Tokens = tokenHub(t).Tokens
		h.Patterns = true
		h.Rules = []webrocket.Rule{
			{Match: "chat:*", History: webrocket.History{Size: 100, TTL: time.Hour}},
			{Match: "price:*", History: webrocket.History{Size: 1, TTL: time.Hour}, Rewind: 1},
			{Match: "room:*", Presence: webrocket.Presence{Mode: webrocket.PresenceUsers}},
		}
		s := serve(t, hubs{"/": h})
		dialogue = people(t).Replace(dialogue)
		talk(t, s, strings.ReplaceAll(dialogue, documentedEpoch, s.Hub("/").Epoch()))
	}
}

// documentedEpoch stands in the documentation for the epoch of a hub.
const documentedEpoch = "k3vq9x2m"

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

// The programs in the documentation, and parts of some, can be built.
func TestDocumentedPrograms(t *testing.T) {
	programs := append(fenced(readFile(t, "README.md"), "go"), fenced(readFile(t, "docs/cluster.md"), "go")...)
	for _, part := range fenced(readFile(t, "docs/tls.md"), "go") {
		program := "package main\n\nimport (\n"
		for _, name := range []string{"crypto/tls", module} {
			if base := name[strings.LastIndex(name, "/")+1:]; strings.Contains(part, base+".") {
				program += strconv.Quote(name) + "\n"
			}
		}
		programs = append(programs, program+")\n\nfunc main() {\n"+part+"\n_ = err\n}\n")
	}
	if len(programs) < 4 {
		t.Fatalf("there are only %d", len(programs))
	}
	for _, program := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, program)
		}
	}
}

// The configurations of proxies in the documentation are the files that can be copied,
// which conformance tries.
func TestDocumentedProxies(t *testing.T) {
	document := readFile(t, "docs/proxies.md")
	for language, files := range map[string][]string{
		"nginx": {"nginx.conf"}, "haproxy": {"haproxy.cfg", "haproxy-tcp.cfg"}, "caddyfile": {"Caddyfile"},
	} {
		blocks := fenced(document, language)
		if len(blocks) != len(files) {
			t.Fatalf("docs/proxies.md has %d blocks of %s, want %d", len(blocks), language, len(files))
		}
		for i, file := range files {
			if want := readFile(t, "deploy/"+file); blocks[i] != want {
				t.Errorf("docs/proxies.md has\n%s\nand deploy/%s\n%s", blocks[i], file, want)
			}
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
		fmt.Sprintf("| logins of one connection that fail | %d |", webrocket.DefaultMaxFailedLogins),
		fmt.Sprintf("| time for a message to arrive | %.0f s |", engine.DefaultMessageTimeout.Seconds()),
		fmt.Sprintf("| time for the opening handshake | %.0f s |", engine.DefaultHandshakeTimeout.Seconds()),
		fmt.Sprintf("| silence of a client before a ping | %.0f s |", engine.DefaultPingInterval.Seconds()),
		fmt.Sprintf("| silence after a ping | %.0f s |", engine.DefaultPongTimeout.Seconds()),
		fmt.Sprintf("| time for the closing handshake | %.0f s |", engine.DefaultCloseTimeout.Seconds()),
		fmt.Sprintf("| length of a channel's name | %d bytes |", codec.MaxChannelName),
		fmt.Sprintf("| bytes kept of a channel | %d MiB |", hubpkg.DefaultHistoryBytes>>20),
		fmt.Sprintf("| bytes of the events kept in a hub, without the 400 of each channel | %d MiB |", pubsub.DefaultHistoryBytes>>20),
		fmt.Sprintf("| time for which a key is remembered | %.0f s |", pubsub.DefaultKeyWindow.Seconds()),
		fmt.Sprintf("| keys that a hub remembers | %d,000 |", pubsub.DefaultKeys/1000),
		fmt.Sprintf("| length of a key | %d bytes |", codec.MaxKey),
		fmt.Sprintf("| members that are listed | %d,000 |", presence.DefaultMaxMembers/1000),
		fmt.Sprintf("| members up to which notices name them | %d,000 |", presence.DefaultMaxListed/1000),
		fmt.Sprintf("| time between two notices about a channel | %d ms |", presence.DefaultInterval.Milliseconds()),
	} {
		if !strings.Contains(document, "\n"+row) {
			t.Errorf("docs/protocol.md lacks the row %q", row)
		}
	}
	for code := hubpkg.Success + 1; code < hubpkg.Codes; code++ {
		if row := fmt.Sprintf("\n| `%v` |", code); !strings.Contains(document, row) {
			t.Errorf("docs/protocol.md does not explain %v", code)
		}
	}
}

// Handshakes are refused as the documentation says, with a body that says why.
func TestDocumentedRefusals(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Origins = []string{"https://example.com"}
	h.Subprotocols = []string{"rocket.v1"}
	s := serve(t, hubs{"/chat": h})
	const (
		upgrade = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	)
	document := readFile(t, "docs/protocol.md")
	for _, test := range []struct {
		status           int
		request, headers string
		want             string // a header field of the response
	}{
		{101, "GET /chat HTTP/1.1", upgrade + key, "Upgrade: websocket"},
		{101, "GET /chat?a=b HTTP/1.1", upgrade + key + "Origin: https://example.com\r\n", ""},
		{101, "GET /chat HTTP/1.1", upgrade + key + "Sec-WebSocket-Protocol: other, rocket.v1\r\n", "Sec-WebSocket-Protocol: rocket.v1"},
		{400, "GET /chat HTTP/1.1", upgrade, ""},
		{403, "GET /chat HTTP/1.1", upgrade + key + "Origin: https://elsewhere.example\r\n", ""},
		{404, "GET /chat/ HTTP/1.1", upgrade + key, ""},
		{405, "POST /chat HTTP/1.1", upgrade + key, "Allow: GET, HEAD, OPTIONS"},
		{414, "GET /chat?" + strings.Repeat("x", 8<<10) + " HTTP/1.1", upgrade + key, ""},
		{421, "GET wss://x/chat HTTP/1.1", upgrade + key, ""},
		{426, "GET /chat HTTP/1.1", "Host: x\r\n", "Upgrade: websocket"},
		{431, "GET /chat HTTP/1.1", upgrade + key + "Cookie: " + strings.Repeat("x", 8<<10) + "\r\n", ""},
		{501, "get /chat HTTP/1.1", upgrade + key, ""},
		{505, "GET /chat HTTP/1.0", upgrade + key, ""},
	} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s\r\n%s\r\n", test.request, test.headers)
		answer := bufio.NewReader(conn)
		response, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatalf("%s: %v", test.request, err)
		}
		if response.StatusCode != test.status {
			t.Errorf("%s: got %s, want %d", test.request, response.Status, test.status)
		}
		if name, value, ok := strings.Cut(test.want, ": "); ok && response.Header.Get(name) != value {
			t.Errorf("%s: got %v, want %s", test.request, response.Header, test.want)
		}
		if test.status != http.StatusSwitchingProtocols {
			if body, err := io.ReadAll(response.Body); err != nil || len(body) < 20 {
				t.Errorf("%d: got the body %q, %v, want the reason", test.status, body, err)
			}
			if !strings.Contains(document, fmt.Sprintf("\n| %d |", test.status)) {
				t.Errorf("docs/protocol.md does not explain %d", test.status)
			}
			// The connection is closed after it.
			if rest, err := io.ReadAll(answer); err != nil || len(rest) > 0 {
				t.Errorf("%d: got %q, %v after it, want the end", test.status, rest, err)
			}
		}
		_ = response.Body.Close()
		_ = conn.Close()
	}
}

// The first screen of the README, its first ten lines that are not empty, says what
// Rocket is, how it is started, and how one talks to it.
func TestReadmeFirstScreen(t *testing.T) {
	readme := readFile(t, "README.md")
	var screen []string
	for line := range strings.Lines(readme) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "```") && len(screen) < 10 {
			screen = append(screen, line)
		}
	}
	first := strings.Join(screen, "")
	for _, want := range []string{"WebSocket server", " for ", "go install " + module + "/cmd/rocket@latest", "$ rocket ", "$ rocket subscribe", "$ rocket publish"} {
		if !strings.Contains(first, want) {
			t.Errorf("the first screen lacks %q:\n%s", want, first)
		}
	}
	if n := strings.Count(readme, "\n"); n > 150 {
		t.Errorf("README.md has %d lines, want at most 150", n)
	}
}

// make help lists every target with a word about it, and make run builds what it
// runs and nothing else.
func TestMakefile(t *testing.T) {
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "make", append([]string{"--no-print-directory"}, args...)...)
		cmd.Env = append(os.Environ(), "MAKEFLAGS=") // those of a make that runs the tests
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	help := run("help")
	makefiles := readFile(t, "Makefile") + readFile(t, "bench/bench.mk")
	targets := regexp.MustCompile(`(?m)^([a-z-]+):[^=]`).FindAllStringSubmatch(makefiles+"\n", -1)
	if len(targets) < 20 {
		t.Fatalf("only %d targets are found", len(targets))
	}
	for _, target := range targets {
		if !regexp.MustCompile(`(?m)^  ` + target[1] + ` +\S`).MatchString(help) {
			t.Errorf("make help lacks %s:\n%s", target[1], help)
		}
	}
	for _, document := range append(documents(t), "CONTRIBUTING.md") {
		for _, target := range regexp.MustCompile("(?m)(?:^    |^    sudo |`)make ([a-z][a-z-]*)").FindAllStringSubmatch(readFile(t, document), -1) {
			if !strings.Contains(help, "\n  "+target[1]+" ") {
				t.Errorf("%s: there is no make %s", document, target[1])
			}
		}
	}
	if steps := run("-n", "run"); !strings.Contains(steps, " ./cmd/rocket\n") || strings.Contains(steps, "./cmd/...") {
		t.Errorf("make run does\n%s", steps)
	}
}

// Each file that a package doc or a document of the tree names is there: a reader
// finds every step of the main path where it is said to be.
func TestDocumentedFiles(t *testing.T) {
	there := func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	}
	for _, dir := range packageDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range regexp.MustCompile(`[\w/-]+\.go\b`).FindAllString(parsed.Doc.Text(), -1) {
				if !there(filepath.Join(dir, name)) && !there(name) {
					t.Errorf("the doc of package %s names %s, which does not exist", dir, name)
				}
			}
		}
	}
	for _, document := range append(documents(t), "CONTRIBUTING.md") {
		for _, match := range regexp.MustCompile("`([\\w-]+/[\\w/-]+\\.go)`").FindAllStringSubmatch(readFile(t, document), -1) {
			if !there(match[1]) {
				t.Errorf("%s names %s, which does not exist", document, match[1])
			}
		}
	}
}

// The table of CONTRIBUTING.md has every package.
func TestDocumentedPackages(t *testing.T) {
	table := readFile(t, "CONTRIBUTING.md")
	for _, dir := range packageDirs(t) {
		if !strings.Contains(table, "`"+dir+"`") {
			t.Errorf("%s is not there", dir)
		}
	}
}

// packageDirs are the directories of the packages of this module.
func packageDirs(t *testing.T) (dirs []string) {
	t.Helper()
	for _, p := range listPackages(t) {
		dirs = append(dirs, nameOf(p.ImportPath))
	}
	return dirs
}
