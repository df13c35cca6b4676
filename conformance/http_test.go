//go:build clients

package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// Backends that are not ours, as docs/http.md has them, and streams through proxies
// that are not ours.

// publishers are the programs of docs/http.md, with what runs them.
var publishers = []struct {
	language, file string
	command        []string
}{
	{"go", "publish.go", []string{"go", "run"}},
	{"js", "publish.mjs", []string{"node"}},
	{"python", "publish.py", []string{"python3"}},
	{"php", "publish.php", []string{"php"}},
	{"ruby", "publish.rb", []string{"ruby"}},
}

// Each publishes one event, though the connection breaks before the first answer, and
// the server refuses the second request. With a key that may not, it fails at once.
func TestDocumentedPublishers(t *testing.T) {
	docs, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	command := filepath.Join(t.TempDir(), "rocket")
	if out, status := run(t, "go", "build", "-o", command, "../cmd/rocket"); status != 0 {
		t.Fatal(out)
	}
	made, status := run(t, command, "key", "new", "shop", "-channels", "orders:*")
	key := regexp.MustCompile(`  (rk_\S+)\n[^\n]+\n  (\{.*\})`).FindStringSubmatch(made)
	if status != 0 || key == nil {
		t.Fatal(made)
	}
	file := filepath.Join(t.TempDir(), "rocket.json")
	config := `{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"}, "Keys": [` + key[2] + `]}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := talk(t, command, "-host", proxyHost, "-port", "0", "-admin", "off", file)
	address := server.find(`"msg":"serving".*"address":"([^"]+)"`)
	for _, p := range publishers {
		t.Run(p.language, func(t *testing.T) {
			t.Parallel()
			program := regexp.MustCompile("(?s)\n```" + p.language + "\n(.*?)```").FindSubmatch(docs)
			if program == nil {
				t.Fatal("docs/http.md has no such program")
			}
			// Each language has a channel of its own.
			text := strings.ReplaceAll(string(program[1]), "orders:42", "orders:"+p.language)
			name := filepath.Join(t.TempDir(), p.file)
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			heard := hear(t, ctx, address, "orders:"+p.language)
			publish := func(key string) (int, string, int32) {
				t.Helper()
				front := newUnreliable(t, address)
				cmd := exec.CommandContext(ctx, p.command[0], append(p.command[1:], name)...)
				cmd.Env = append(os.Environ(), "ROCKET_URL="+front.URL, "ROCKET_KEY="+key)
				out, err := cmd.CombinedOutput()
				if cmd.ProcessState == nil {
					t.Fatal(err)
				}
				return cmd.ProcessState.ExitCode(), string(out), front.asked.Load()
			}
			if status, out, asked := publish(key[1]); status != 0 || asked != 3 {
				t.Errorf("got the status %d after %d requests, want 0 after 3: %s", status, asked, out)
			}
			if status, out, asked := publish("rk_other"); status == 0 || asked != 3 || !strings.Contains(out, "401") {
				t.Errorf("with another key: got the status %d after %d requests, want a failure with 401 after 3: %s", status, asked, out)
			}
			want := fmt.Sprintf(`{"event":"paid","channel":"orders:%s","data":`, p.language)
			if got := <-heard; !strings.HasPrefix(got, want) || !strings.Contains(got, `"total":`) || !strings.HasSuffix(got, `9.5}}`) {
				t.Errorf("got %s", got)
			}
			post(t, address, "/v1/publish/orders:"+p.language, `"end"`, "Bearer "+key[1])
			if got := <-heard; !strings.Contains(got, `"end"`) {
				t.Errorf("got a second event %s", got)
			}
		})
	}
}

// hear returns what comes to a channel.
func hear(t *testing.T, ctx context.Context, address, channel string) <-chan string {
	t.Helper()
	ws, _, err := websocket.Dial(ctx, "ws://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	for _, m := range []string{`{"auth":{"access":"read-only","secret":"r"}}`, `{"subscribe":{"channel":"` + channel + `"}}`} {
		if err := ws.Write(ctx, websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ws.Read(ctx); err != nil {
			t.Fatal(err)
		}
	}
	heard := make(chan string, 10)
	go func() {
		for {
			_, m, err := ws.Read(ctx)
			if err != nil {
				return
			}
			heard <- string(m)
		}
	}()
	return heard
}

// unreliable passes requests on to the server. It breaks the connection before the
// first answer, and refuses the second request.
type unreliable struct {
	*httptest.Server
	asked atomic.Int32
}

func newUnreliable(t *testing.T, address string) *unreliable {
	u := &unreliable{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := u.asked.Add(1)
		if asked == 2 {
			w.Header().Set("Retry-After", "0")
			http.Error(w, `{"err":"overloaded","message":"of the test"}`, http.StatusServiceUnavailable)
			return
		}
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", address, ""
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || asked == 1 {
			panic(http.ErrAbortHandler)
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	u.Config.ErrorLog = nil
	t.Cleanup(u.Close)
	return u
}

// streamProxies are configurations without a word about streams.
var streamProxies = []struct{ name, config string }{
	{"nginx", `daemon off; master_process off; pid %[3]s/pid; error_log stderr;
events {}
http {
access_log off;
client_body_temp_path %[3]s/a; proxy_temp_path %[3]s/b; fastcgi_temp_path %[3]s/c; uwsgi_temp_path %[3]s/d; scgi_temp_path %[3]s/e;
server { listen %[1]s; location / { proxy_pass http://%[2]s; } }
}
`},
	{"haproxy", `defaults
	mode http
	timeout connect 5s
	timeout client 50s
	timeout server 50s
frontend f
	bind %[1]s
	default_backend b
backend b
	server rocket %[2]s
`},
}

// Events come through proxies one by one, as they are published, and commands get to
// the server.
func TestStreamThroughProxies(t *testing.T) {
	command := filepath.Join(t.TempDir(), "rocket")
	if out, status := run(t, "go", "build", "-o", command, "../cmd/rocket"); status != 0 {
		t.Fatal(out)
	}
	server := talk(t, command, "-host", proxyHost, "-port", "0", "-admin", "off")
	address := server.find(`"msg":"serving".*"address":"([^"]+)"`)
	for _, tt := range streamProxies {
		t.Run(tt.name, func(t *testing.T) {
			p, dir := &proxied{address: freeAddress(t)}, t.TempDir()
			config := filepath.Join(dir, "config")
			if err := os.WriteFile(config, fmt.Appendf(nil, tt.config+"%.0[3]s", p.address, address, dir), 0o600); err != nil {
				t.Fatal(err)
			}
			args := map[string][]string{"nginx": {"-c", config}, "haproxy": {"-db", "-f", config}}[tt.name]
			p.run(t, tt.name, args, dir)

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/v1/stream?channel=news", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			lines := bufio.NewReader(answer.Body)
			next := func(prefix string) string { t.Helper(); return dataIn(t, lines, prefix) }
			session, _, _ := strings.Cut(next(`{"session":"`), `"`)
			next(`{"ok":true,"channel":"news"}`)
			for i := range 5 { // each comes before the next is published
				post(t, p.address, "/v1/publish/news", fmt.Sprint(i), "")
				next(fmt.Sprintf(`{"event":"message","channel":"news","data":%d}`, i))
			}
			post(t, p.address, "/v1/commands", fmt.Sprintf(`{"session":%q,"seq":1}`, session)+"\n"+`{"subscribe":{"channel":"more"},"id":7}`, "")
			next(`{"ok":true,"id":7}`)
		})
	}
}

func post(t *testing.T, address, path, body, authorization string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, _ := io.ReadAll(answer.Body); answer.StatusCode/100 != 2 {
		t.Errorf("%s: got %s %s", path, answer.Status, got)
	}
}
