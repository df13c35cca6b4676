//go:build clients

package conformance_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

// Clients that are not ours, over TLS: openssl, curl, Node's ws and faye-websocket, a browser.
// make conformance installs what it can; what is missing then is a failure.

// address is where the server speaks TLS.
func address() string { return server.Addrs()[1].String() }

// caFile is the authority that clients are to trust, in a file.
func caFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// run returns what a command prints, and how it ends.
func run(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestCurl(t *testing.T) {
	ca := caFile(t)
	for _, version := range []string{"1.2", "1.3"} {
		common := []string{"-sS", "-i", "--cacert", ca, "--tlsv" + version, "--tls-max", version}
		out, status := run(t, "curl", append(common, "https://"+address()+"/nowhere")...)
		if status != 0 || !strings.HasPrefix(out, "HTTP/1.1 404 ") {
			t.Errorf("TLS %s: got %d, %s, want 404", version, status, out)
		}
		// It does not know what to do with a WebSocket, and stays until it is ended.
		talk(t, "curl", append(common, "-v", "--http1.1",
			"-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
			"-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "https://"+address()+"/")...).hear("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
	}
}

// A program is a command that one talks to.
type program struct {
	t     *testing.T
	stdin io.Writer
	out   *bufio.Reader
}

// talk starts a command, which ends with the test.
func talk(t *testing.T, name string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, name, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		cancel()
		_ = cmd.Wait()
	})
	return &program{t, stdin, bufio.NewReader(out)}
}

// newOpenSSL starts openssl s_client.
func newOpenSSL(t *testing.T, args ...string) *program {
	t.Helper()
	return talk(t, "openssl", append([]string{
		"s_client", "-connect", address(), "-CAfile", caFile(t), "-verify_return_error",
	}, args...)...)
}

// say gives a program what it reads: for openssl a line with one letter is a command, all else is sent.
func (p *program) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatal(err)
	}
}

// hear waits for a text.
func (p *program) hear(text string) {
	p.t.Helper()
	var got []byte
	for !bytes.Contains(got, []byte(text)) {
		b, err := p.out.ReadByte()
		if err != nil {
			p.t.Fatalf("got %q, %v, want %q", got, err, text)
		}
		got = append(got, b)
	}
}

// Both sides change their keys, in the middle of the conversation.
func TestOpenSSLKeyUpdate(t *testing.T) {
	o := newOpenSSL(t, "-tls1_3")
	o.hear("Verify return code: 0")
	o.say(request("/", ""))
	o.hear("\r\n\r\n")
	for i, command := range []string{"", "k", "K", "K"} {
		if command != "" {
			o.say(command + "\n")
			o.hear("KEYUPDATE")
		}
		text := fmt.Sprint("message ", i)
		o.say(textMessage(text))
		o.hear(text)
	}
}

// A handshake within a connection is refused.
func TestOpenSSLRenegotiation(t *testing.T) {
	o := newOpenSSL(t, "-tls1_2")
	o.hear("Verify return code: 0")
	o.say(request("/", ""))
	o.hear("\r\n\r\n")
	o.say("R\n")
	o.hear("RENEGOTIATING")
	o.hear("alert")
}

func TestOpenSSL(t *testing.T) {
	for _, args := range [][]string{
		{"-tls1_2"},
		{"-tls1_3"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"},
		{"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"},
		{"-tls1_3", "-groups", "P-521:P-256"}, // needs a second ClientHello
		{"-alpn", "h2,http/1.1"},
		{"-max_send_frag", "512"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			o := newOpenSSL(t, args...)
			o.hear("Verify return code: 0")
			o.say(request("/", ""))
			o.hear("\r\n\r\n")
			o.say(textMessage(strings.Repeat("x", 5000) + "end"))
			o.hear("end")
			o.say(closing(1000, ""))
			o.hear("closed") // openssl has heard a close_notify
		})
	}
	if out, status := run(t, "openssl", "s_client", "-connect", address(), "-tls1_1"); status == 0 {
		t.Errorf("TLS 1.1: got %s, want a refusal", out)
	}
}

// npm ci in the directory node installs what it needs.
func TestNode(t *testing.T) {
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		out, status := run(t, "node", filepath.Join("node", "client.js"), "wss://"+address()+"/", caFile(t), version)
		if status != 0 || out != "ok\n" {
			t.Errorf("%s: got %d, %s", version, status, out)
		}
	}
}

// A client that asks for a window of the server waits for it in the answer (RFC 7692 §7.1.2.1), the largest one too.
func TestNodeFaye(t *testing.T) {
	for _, bits := range []string{"9", "15"} {
		out, status := run(t, "node", filepath.Join("node", "faye.js"), "ws://"+server.Addr().String()+"/deflate", bits)
		if status != 0 || out != "ok\n" {
			t.Errorf("requestMaxWindowBits %s: got %d, %s", bits, status, out)
		}
	}
}

// Origins and paths get the spelling of the URL standard that browsers follow, which Node has too.
func TestSpellingOfURLs(t *testing.T) {
	for _, in := range []string{
		"https://example.com:443", "http://example.com:80", "https://example.com:0443", "https://example.com:8443/",
		"HTTPS://Example.COM", "https://example.com.", "https://a_b.example.com", "https://xn--bcher-kva.example",
		"https://192.0.2.1:443", "https://[2001:DB8:0:0:0::1]:443", "http://[::FFFF:1.2.3.4]:8443",
	} {
		want, _ := run(t, "node", "-p", "new URL(process.argv[1]).origin", in)
		if got, err := codec.ParseOrigin(in); err != nil || got+"\n" != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"/", "/chat/", "/a/../b", "/../b", "/a/./b", "/a/.", "/a/b/..", "/%2e%2E/b", `/a\b`, "/a b", "/bücher",
		"/a;b=1,@:!$&'()*+|[]", "/a\"<>`{}", "/a?b#c", "/a#b", "/a%2Fb",
	} {
		want, _ := run(t, "node", "-p", "new URL('ws://localhost' + process.argv[1]).pathname", in)
		if got := codec.NormalPath(in); got+"\n" != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// The script for a page in docs/protocol.md hears events, and comes back after
// the connection has ended.
func TestDocumentedPage(t *testing.T) {
	docs, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(docs), "```js\n")
	script, _, _ = strings.Cut(script, "```")
	const there = "ws://localhost:9772/"
	if strings.Count(script, there) != 1 {
		t.Fatalf("the script does not connect to %s:\n%s", there, script)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	heard := runPage(ctx, t, strings.Replace(script, there, "ws://"+server.Addr().String()+"/deflate/hub", 1))
	for _, event := range []string{"first", "second"} {
		// Until it has subscribed there is no such channel.
		for server.Publish("/deflate/hub", "news", event, map[string]string{"title": "Hello"}) != nil {
			if ctx.Err() != nil {
				t.Fatalf("%s: it does not subscribe", event)
			}
			runtime.Gosched()
		}
		if got, err := heard.ReadString('\n'); got != event+" { title: 'Hello' }\n" {
			t.Fatalf("got %q, %v, want %s", got, err, event)
		}
		if _, err := server.DisconnectChannel(ctx, "/deflate/hub", "news", 1001, ""); err != nil {
			t.Error(err)
		}
	}
}

// page is what the browser runs. It says how it went to /result.
const page = `<!doctype html><script>
const messages = ['', 'hello', 'κόσμε', 'x'.repeat(60000)]
const ws = new WebSocket(%q)
let heard = 0
const say = text => fetch('/result', {method: 'POST', body: text})
ws.onopen = () => messages.forEach(m => ws.send(m))
ws.onmessage = m => {
  if (m.data !== messages[heard++]) say('message ' + heard + ' differs')
  if (heard === messages.length) ws.close(1000, 'bye')
}
ws.onclose = e => say(e.code === 1000 && e.wasClean && heard === messages.length ? 'ok' : 'close ' + e.code + ' after ' + heard)
</script>`

func TestBrowser(t *testing.T) {
	results := make(chan string, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, page, "wss://"+address()+"/")
	})
	mux.HandleFunc("/result", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		results <- string(b)
	})
	pages := httptest.NewServer(mux)
	defer pages.Close()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end := browse(ctx, t, pages.URL)
	defer end()
	select {
	case got := <-results:
		if got != "ok" {
			t.Errorf("got %s", got)
		}
	case <-ctx.Done():
		t.Error("the page has not said anything")
	}
}

// browse opens a page in Chromium. What it returns ends that.
func browse(ctx context.Context, t *testing.T, url string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-dev-shm-usage", "--ignore-certificate-errors", "--user-data-dir="+t.TempDir(),
		"--remote-debugging-port=0", // it stays until it is ended
		url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	return func() {
		cancel()
		_ = cmd.Wait()
	}
}

// The script in docs/guarantees.md loads the state when it begins, gets what is
// published while it is away, and loads the state again when it was away too long.
func TestDocumentedRecovery(t *testing.T) {
	docs, err := os.ReadFile("../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(docs), "```js\n")
	script, _, _ = strings.Cut(script, "```")
	h := webrocket.NewJSONHandler()
	h.Secrets = webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}
	h.Rules = []webrocket.Rule{{Match: "chat:*", History: webrocket.History{Size: 3, TTL: time.Hour}}}
	s := webrocket.NewServer("127.0.0.1:0")
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Shutdown(t.Context()) }()
	const there = "ws://localhost:9772/"
	if strings.Count(script, there) != 1 {
		t.Fatalf("the script does not connect to %s:\n%s", there, script)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	heard := runPage(ctx, t, strings.Replace(script, there, "ws://"+s.Addr().String(), 1))
	want := func(lines ...string) {
		t.Helper()
		for _, line := range lines {
			if got, err := heard.ReadString('\n'); got != line+"\n" {
				t.Fatalf("got %q, %v, want %s", got, err, line)
			}
		}
	}
	publish := func(from, to int) {
		t.Helper()
		for i := from; i <= to; i++ {
			if err := s.Publish("/", "chat:1", "said", i); err != nil {
				t.Fatal(err)
			}
		}
	}
	away := func() {
		t.Helper()
		if done, err := s.DisconnectChannel(ctx, "/", "chat:1", 1001, ""); done.Count != 1 || err != nil {
			t.Fatalf("%d connections were closed, %v", done.Count, err)
		}
	}
	want("load the state")
	publish(1, 1)
	want("said 1")
	away()
	publish(2, 4)
	want("said 2", "said 3", "said 4")
	away()
	publish(5, 9) // more than are kept
	want("load the state")
	publish(10, 10)
	want("said 10")
}

// runPage runs the script of a page in Node until ctx is done, and returns what it
// prints.
func runPage(ctx context.Context, t *testing.T, script string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "node", filepath.Join("node", "page.js"))
	cmd.Stdin = strings.NewReader(script)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	return bufio.NewReader(out)
}
