//go:build clients

package conformance_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

var (
	pusherKey  = pusher.Key{Key: "app-key", Secret: "app-secret"}
	pusherNext = pusher.Key{Key: "next-key", Secret: "next-secret"}
)

// A rocket is the command with one application.
type rocket struct {
	t            *testing.T
	binary, file string
	port         int
	log          string
	process      *exec.Cmd
}

// Clients and server libraries of Pusher, and Laravel Echo, unmodified, do with the
// command what they do with Pusher.
func TestPusher(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "rocket")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/rocket").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("Node", func(t *testing.T) { pusherInNode(t, launch(t, binary)) })
	t.Run("Chromium", func(t *testing.T) { pusherInChromium(t, launch(t, binary)) })
	t.Run("Go", func(t *testing.T) { pusherInGo(t, launch(t, binary)) })
}

// launch starts the command.
func launch(t *testing.T, binary string) *rocket {
	t.Helper()
	dir := t.TempDir()
	r := &rocket{t: t, binary: binary, file: filepath.Join(dir, "rocket.json"), log: filepath.Join(dir, "log")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	r.configure("")
	r.start()
	t.Cleanup(r.kill)
	return r
}

// configure writes the configuration, with a webhook unless that is empty.
func (r *rocket) configure(webhook string) {
	r.t.Helper()
	app := map[string]any{"ID": "app-1", "Keys": []pusher.Key{pusherKey, pusherNext}, "SubscriptionCounts": "on"}
	if webhook != "" {
		app["Webhooks"] = []any{map[string]string{"URL": webhook}}
	}
	b, _ := json.Marshal(map[string]any{"Host": "127.0.0.1", "Port": r.port, "Admin": "off", "Log": r.log, "Apps": []any{app}})
	if err := os.WriteFile(r.file, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start starts the command and waits until it answers.
func (r *rocket) start() {
	r.t.Helper()
	r.process = exec.Command(r.binary, r.file)
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", r.port))
		if err == nil {
			_ = answer.Body.Close()
			return
		}
		if time.Since(begin) > patience {
			r.t.Fatalf("it does not answer: %v", err)
		}
	}
}

// reload makes the command read its file again.
func (r *rocket) reload() {
	r.t.Helper()
	_ = r.process.Process.Signal(syscall.SIGHUP)
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if log, _ := os.ReadFile(r.log); strings.Contains(string(log), "reloaded") {
			return
		}
		if time.Since(begin) > patience {
			r.t.Fatal("it does not reload")
		}
	}
}

func (r *rocket) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

// pusherInNode tries pusher-js, Echo with both of its presets, and the npm package
// pusher, through a kill -9 of the server.
func pusherInNode(t *testing.T, r *rocket) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("node", "pusher.js"), fmt.Sprint(r.port), "app-1", pusherKey.Key, pusherKey.Secret, pusherNext.Key)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	last := ""
	for first := true; lines.Scan(); first = false {
		last = lines.Text()
		t.Log(last)
		switch {
		case first:
			r.configure("http://127.0.0.1:" + last + "/hook")
			r.reload()
			fmt.Fprintln(stdin)
		case last == "end the server":
			r.kill()
			r.start()
			fmt.Fprintln(stdin)
		}
	}
	if err := cmd.Wait(); err != nil || last != "ok" {
		t.Errorf("%v, after %q", err, last)
	}
}

// pusherPage is what the browser runs: two clients of pusher-js with encryption, and
// Echo.
const pusherPage = `<!doctype html><script src="/pusher.js"></script><script src="/echo.js"></script><script>
const say = text => fetch('/result', {method: 'POST', body: String(text)})
addEventListener('error', e => say(e.message))
addEventListener('unhandledrejection', e => say(e.reason && e.reason.stack))
const options = user => ({
  cluster: '', wsHost: '127.0.0.1', wsPort: %d, forceTLS: false, enabledTransports: ['ws'],
  channelAuthorization: {endpoint: '/auth?user=' + user}, authEndpoint: '/auth?user=' + user,
})
const once = (target, name) => new Promise(resolve => target.bind(name, resolve))
async function main () {
  const [a, b] = ['ann', 'bob'].map(user => new Pusher('app-key', options(user)))
  const [pa, pb] = [a, b].map(c => c.subscribe('presence-room'))
  await Promise.all([once(pa, 'pusher:subscription_succeeded'), once(pb, 'pusher:subscription_succeeded')])
  while (pa.members.count !== 2) await once(pa, 'pusher:member_added')
  const hi = once(pb, 'client-hi')
  pa.trigger('client-hi', {n: 1})
  if ((await hi).n !== 1) throw new Error('another event')
  const secret = a.subscribe('private-encrypted-room')
  await once(secret, 'pusher:subscription_succeeded')
  const echo = new (Echo.default || Echo)({broadcaster: 'reverb', key: 'app-key', wsHost: '127.0.0.1', wsPort: %d, forceTLS: false, enabledTransports: ['ws'], authEndpoint: '/auth?user=eve'})
  const shipped = new Promise(resolve => echo.private('orders').listen('.shipped', resolve).subscribed(() => say('subscribed')))
  if ((await shipped).id !== 1) throw new Error('another order')
  say('ok')
}
main()
</script>`

// pusherInChromium tries pusher-js with encryption, and Echo.
func pusherInChromium(t *testing.T, r *rocket) {
	results := make(chan string, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, pusherPage, r.port, r.port) })
	for path, file := range map[string]string{"/pusher.js": "pusher-js/dist/web/pusher-with-encryption.js", "/echo.js": "laravel-echo/dist/echo.iife.js"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) { http.ServeFile(w, q, "node/node_modules/"+file) })
	}
	mux.HandleFunc("/auth", func(w http.ResponseWriter, q *http.Request) {
		socket, channel := q.FormValue("socket_id"), q.FormValue("channel_name")
		answer := map[string]string{}
		if strings.HasPrefix(channel, "presence-") {
			answer["channel_data"] = fmt.Sprintf(`{"user_id":%q}`, q.URL.Query().Get("user"))
		}
		if strings.HasPrefix(channel, "private-encrypted-") {
			answer["shared_secret"] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		}
		answer["auth"] = pusherKey.SignChannel(socket, channel, answer["channel_data"])
		_ = json.NewEncoder(w).Encode(answer)
	})
	mux.HandleFunc("/result", func(_ http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		results <- string(b)
	})
	pages := httptest.NewServer(mux)
	defer pages.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end := browse(ctx, t, pages.URL)
	defer end()
	for {
		select {
		case got := <-results:
			if got == "subscribed" {
				trigger(t, r.port, `{"name":"shipped","channel":"private-orders","data":"{\"id\":1}"}`)
				continue
			}
			if got != "ok" {
				t.Error(got)
			}
		case <-ctx.Done():
			t.Error("the page has not said anything")
		}
		return
	}
}

// trigger publishes by the HTTP API.
func trigger(t *testing.T, port int, body string) {
	t.Helper()
	path := "/apps/app-1/events"
	query := url.Values{"auth_key": {pusherKey.Key}, "auth_timestamp": {fmt.Sprint(time.Now().Unix())}, "auth_version": {"1.0"}, "body_md5": {md5Of(body)}}.Encode()
	answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d%s?%s&auth_signature=%s", port, path, query, hmacOf(pusherKey.Secret, "POST\n"+path+"\n"+query)),
		"application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("publish: %s", answer.Status)
	}
}

// pusherInGo tries pusher-http-go v5, which decodes every answer.
func pusherInGo(t *testing.T, r *rocket) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "run", ".", fmt.Sprintf("127.0.0.1:%d", r.port), "app-1", pusherKey.Key, pusherKey.Secret)
	cmd.Dir = "pushergo"
	var stderr strings.Builder
	cmd.Stderr = &stderr // go says there what it downloads, too
	if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Errorf("%v: %s%s", err, out, stderr.String())
	}
}

func md5Of(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }

func hmacOf(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, text)
	return fmt.Sprintf("%x", mac.Sum(nil))
}
