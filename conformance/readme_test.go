//go:build clients

package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// The page in README.md, opened as a file, shows in Chromium what rocket publish and
// curl send, also after a kill -9 of the server. Only the port is another than in the
// text.
func TestReadmePage(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, found := strings.Cut(string(readme), "\n```html\n")
	page, _, ended := strings.Cut(page, "```\n")
	if !found || !ended || strings.Count(page, "//localhost:9772/") != 2 {
		t.Fatal("README.md has no such page")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	rocket := filepath.Join(dir, "rocket")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", rocket, "../cmd/rocket").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, port, _ := net.SplitHostPort(freeAddress(t))
	serve := func() *exec.Cmd {
		server := exec.CommandContext(ctx, rocket, "-port", port, "-admin", "off")
		firstMatch(t, server, `"msg":"(serving)"`)
		return server
	}
	server := serve()
	file := filepath.Join(dir, "news.html")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(page, "//localhost:9772/", "//localhost:"+port+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	shows := open(ctx, t, dir, "file://"+file)
	wait := func(want string) {
		t.Helper()
		for got := ""; !strings.Contains(got, want); {
			if got = shows(); ctx.Err() != nil {
				t.Fatalf("the page shows %q, want %q", got, want)
			}
		}
	}
	for _, data := range []string{`{"title":"hello"}`, `{"title":"again"}`} {
		for attempt := 0; ; attempt++ {
			// The channel has no subscribers until the page has subscribed.
			out, err := exec.CommandContext(ctx, "curl", "-s", "localhost:"+port+"/v1/publish/news", "-d", data).CombinedOutput()
			if err == nil && strings.Contains(string(out), `"heard":true`) {
				break
			}
			if ctx.Err() != nil || err != nil || !strings.Contains(string(out), `"heard":false`) {
				t.Fatalf("curl: %v\n%s", err, out)
			}
		}
		wait(data)
		if data == `{"title":"hello"}` {
			_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
			wait("waiting")
			serve()
		}
	}
	wait("events may be missing")
	command := exec.CommandContext(ctx, rocket, "publish", "-url", "ws://localhost:"+port+"/", "news", `{"title":"by the command"}`)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("publish: %v\n%s", err, out)
	}
	wait(`{"title":"by the command"}`)
}

// open opens a page in Chromium, with a profile in a directory, and returns what asks for
// the page's text. The browser is as a user has it but for what a machine without a screen,
// and root, take.
func open(ctx context.Context, t *testing.T, dir, url string) func() string {
	t.Helper()
	tools := firstMatch(t, exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-dev-shm-usage", "--user-data-dir="+filepath.Join(dir, "profile"), "--remote-debugging-port=0", url),
		`DevTools listening on ws://([^/]+)/`)
	return textOf(ctx, t, tools)
}

// firstMatch starts a command that goes on until the end of the test, and returns
// what the expression finds in what it prints.
func firstMatch(t *testing.T, cmd *exec.Cmd, expr string) string {
	t.Helper()
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for re := regexp.MustCompile(expr); lines.Scan(); {
		if m := re.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() { // so that it can print more
				}
			}()
			return m[1]
		}
	}
	t.Fatalf("%s does not print %s", cmd.Path, expr)
	return ""
}

// textOf returns what asks a browser for the text of its only page.
func textOf(ctx context.Context, t *testing.T, tools string) func() string {
	t.Helper()
	response, err := http.Get("http://" + tools + "/json/list")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var pages []struct {
		Type string `json:"type"`
		URL  string `json:"webSocketDebuggerUrl"`
	}
	if err := json.NewDecoder(response.Body).Decode(&pages); err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if page.Type != "page" {
			continue
		}
		conn, _, err := websocket.Dial(ctx, page.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
		return func() string { return evaluate(ctx, t, conn, "document.body ? document.body.innerText : ''") }
	}
	t.Fatalf("the browser has no page: %v", pages)
	return nil
}

// evaluate returns the value of an expression in a page.
func evaluate(ctx context.Context, t *testing.T, conn *websocket.Conn, expression string) string {
	t.Helper()
	command, _ := json.Marshal(map[string]any{"id": 1, "method": "Runtime.evaluate", "params": map[string]string{"expression": expression}})
	if err := conn.Write(ctx, websocket.MessageText, command); err != nil {
		t.Fatal(err)
	}
	_, answer, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Result struct {
			Result struct {
				Value string `json:"value"`
			} `json:"result"`
		} `json:"result"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return reply.Result.Result.Value
}
