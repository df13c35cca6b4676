//go:build clients

package conformance_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// docs/start.md, step by step, in an empty folder, with its own commands and files. Only
// the ports are others than in the text.
func TestStart(t *testing.T) {
	text, err := os.ReadFile("../docs/start.md")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tools, dir := t.TempDir(), t.TempDir()
	rocket := filepath.Join(tools, "rocket")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", rocket, "../cmd/rocket").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, port, _ := net.SplitHostPort(freeAddress(t))
	_, web, _ := net.SplitHostPort(freeAddress(t))
	ports := strings.NewReplacer("localhost:9772", "localhost:"+port, "localhost:8080", "localhost:"+web, "8080, 'localhost'", web+", 'localhost'")
	// run runs a command of the text, which must be there.
	run := func(command string) string {
		t.Helper()
		if !strings.Contains(string(text), command) {
			t.Fatalf("docs/start.md has no %q", command)
		}
		cmd := exec.CommandContext(ctx, "sh", "-c", ports.Replace(command))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "ROCKET_PORT="+port, "ROCKET_ADMIN=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = append(out, "\nfailed: "+err.Error()...)
		}
		return string(out)
	}
	run("openssl rand -hex 32 > k1.secret")
	made := regexp.MustCompile(`(?s)(rk_backend_\S+).*?(\{.*\})`).FindStringSubmatch(run("rocket key new backend -channels news"))
	if made == nil {
		t.Fatal("rocket key new prints no key")
	}
	for _, f := range []struct{ language, name string }{{"json", "rocket.json"}, {"js", "server.mjs"}, {"html", "news.html"}} {
		_, block, found := strings.Cut(string(text), "\n```"+f.language+"\n")
		block, _, _ = strings.Cut(block, "```\n")
		if f.name == "rocket.json" {
			block = regexp.MustCompile(`\{"Name": "backend".*\}`).ReplaceAllLiteralString(block, made[2])
		}
		if !found || os.WriteFile(filepath.Join(dir, f.name), []byte(ports.Replace(block)), 0o600) != nil {
			t.Fatalf("docs/start.md has no %s", f.name)
		}
	}
	if got := run("rocket check rocket.json"); !strings.HasPrefix(got, "rocket.json: ok\n") || strings.Contains(got, "warning") {
		t.Fatalf("rocket check: %s", got)
	}
	serve := func() *exec.Cmd {
		server := exec.CommandContext(ctx, rocket, "-port", port, "-admin", "off", "rocket.json")
		server.Dir = dir
		firstMatch(t, server, `"msg":"(serving)"`)
		return server
	}
	server := serve()
	backend := func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, "node", "server.mjs")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "ROCKET_KEY="+made[1])
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		for ctx.Err() == nil {
			if r, err := http.Get("http://localhost:" + web + "/token"); err == nil {
				_ = r.Body.Close()
				return cmd
			}
		}
		t.Fatal("the backend does not answer")
		return nil
	}
	node := backend()
	shows := open(ctx, t, tools, "http://localhost:"+web+"/")
	wait := func(want string, times int) {
		t.Helper()
		for got := ""; strings.Count(got, want) < times; {
			if got = shows(); ctx.Err() != nil {
				t.Fatalf("the page shows %q, want %d times %q", got, times, want)
			}
		}
	}
	wait("online as user 42", 1)
	if got := run("curl localhost:8080 -d 'hello'"); !strings.Contains(got, `{"ok":true,"heard":true,"offset":1}`) {
		t.Errorf("publish: %s", got)
	}
	wait(`{"title":"hello"}`, 1)
	_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
	wait("waiting", 1)
	serve()
	wait("online as user 42", 2)
	wait("events may be missing before this", 1)
	run("curl localhost:8080 -d 'hello'")
	wait(`{"title":"hello"}`, 2)

	if got := run("curl localhost:9772/v1/publish/news -d 1"); !strings.Contains(got, "want a key") {
		t.Errorf("without a key: %s", got)
	}
	command := exec.CommandContext(ctx, rocket, "publish", "-url", "ws://localhost:"+port+"/", "news", "1")
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "refuses") {
		t.Errorf("rocket publish: %v %s", err, out)
	}
	_ = node.Process.Kill()
	_ = node.Wait()
	if err := os.WriteFile(filepath.Join(dir, "k1.secret"), []byte(strings.Repeat("something else ", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	backend()
	shows = open(ctx, t, filepath.Join(tools, "again"), "http://localhost:"+web+"/")
	wait("failed: invalid_credentials", 1)
}
