package main

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

// The tables of docs/pusher.md are those of the code.
func TestDocsNameEveryAppSetting(t *testing.T) {
	docs, err := os.ReadFile("../../docs/pusher.md")
	if err != nil {
		t.Fatal(err)
	}
	apps, hooks := "| key | default | meaning |\n|---|---|---|\n", "| key | default | meaning |\n|---|---|---|\n"
	for _, st := range appSettings() {
		apps += fmt.Sprintf("| %s | %s | %s |\n", code(st.key), code(st.def), st.doc)
	}
	for _, st := range webhookSettings() {
		hooks += fmt.Sprintf("| %s | %s | %s |\n", code(st.key), code(st.def), st.doc)
	}
	for _, table := range []string{apps, hooks} {
		if !strings.Contains(string(docs), "\n\n"+table+"\n") {
			t.Errorf("docs/pusher.md lacks this table:\n%s", table)
		}
	}
}

// The defaults of the file are those of the library, but for client events.
func TestAppDefaults(t *testing.T) {
	c, err := sources{getenv: env(map[string]string{"ROCKET_PUSHER_APP": "app:key:se:cret"})}.load()
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.hubs[0].handlers(newLogs(io.Discard, "info"))
	if err != nil {
		t.Fatal(err)
	}
	all := new(applications)
	ch, _, err := all.prepare(c, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.giveUp()
	got := ch.next["app"].Config()
	plain, err := pusher.New(ch.next["app"].Hub(), pusher.Config{ID: "app", Keys: []pusher.Key{{Key: "key", Secret: "se:cret"}}, ClientEvents: true})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if want := plain.Config(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAppProblems(t *testing.T) {
	const app = `{"ID": "a", "Keys": [{"Key": "k", "Secret": "s"}]%s}`
	one := func(rest string) string { return fmt.Sprintf(app, rest) }
	for _, tt := range []struct{ name, apps, want string }{
		{"good", `[` + one("") + `]`, ""},
		{"no list", `{}`, "Apps: want a list of applications"},
		{"an unknown key", `[` + one(`, "Clientevents": "on"`) + `]`, "Apps[0].Clientevents: unknown key; did you mean ClientEvents?"},
		{"no ID", `[{"Keys": [{"Key": "k", "Secret": "s"}]}]`, "cannot be the ID"},
		{"no keys", `[{"ID": "a"}]`, "needs a key"},
		{"no secret", `[{"ID": "a", "Keys": [{"Key": "k"}]}]`, "want one of Secret and SecretFile"},
		{"a secret's file that is not there", `[{"ID": "a", "Keys": [{"Key": "k", "SecretFile": "/nowhere"}]}]`, "/nowhere"},
		{"one ID twice", `[` + one("") + `,` + one("") + `]`, "another application with the ID a"},
		{"one key twice", `[` + one("") + `,{"ID": "b", "Keys": [{"Key": "k", "Secret": "s"}]}]`, "the application a has the key k too"},
		{"no such hub", `[` + one(`, "Hub": "/nowhere"`) + `]`, "no hub has that as its Path"},
		{"an Echo hub", `[` + one(`, "Hub": "/echo"`) + `]`, "is an Echo hub"},
		{"a webhook without a URL", `[` + one(`, "Webhooks": [{}]`) + `]`, "not the URL of an endpoint"},
		{"a webhook that is told nothing", `[` + one(`, "Webhooks": [{"URL": "http://x", "Events": ["all"]}]`) + `]`, `there is no event "all"`},
		{"a header that is none", `[` + one(`, "Webhooks": [{"URL": "http://x", "Header": {"A": 1}}]`) + `]`, "want a string, not 1"},
		{"the path of a hub", `[{"ID": "a", "Keys": [{"Key": "taken", "Secret": "s"}]}]`, "the path is that of an application"},
	} {
		file := writeFile(t, `{"Hubs": [{"Path": "/"}, {"Path": "/echo", "Codec": "Echo"}, {"Path": "/app/taken"}], "Apps": `+tt.apps+`}`)
		_, err := sources{file: file}.load()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	for _, text := range []string{"a:b", "a", "a::s", "a:k:", "a b:k:s"} {
		if _, err := (sources{getenv: env(map[string]string{"ROCKET_PUSHER_APP": text})}).load(); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	file := writeFile(t, `{"Hubs": [{"Path": "/"}]}`)
	_, err := sources{file: file, getenv: env(map[string]string{"ROCKET_PUSHER_APP": "a:k:s"})}.load()
	if err == nil || !strings.Contains(err.Error(), "in Apps") {
		t.Errorf("a variable beside a file: got %v", err)
	}
}

// A pusherClient is one connection of an application.
type pusherClient struct {
	t  *testing.T
	ws *websocket.Conn
}

func dialApp(t *testing.T, url, key string) pusherClient {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), strings.TrimSuffix(url, "/")+"/app/"+key+"?protocol=7", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return pusherClient{t, ws}
}

func (c pusherClient) say(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c pusherClient) want(part string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if _, got, err := c.ws.Read(ctx); err != nil || !strings.Contains(string(got), part) {
		c.t.Fatalf("got %s, %v, want %s", got, err, part)
	}
}

func (c pusherClient) wantClose(code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, got, err := c.ws.Read(ctx); int(websocket.CloseStatus(err)) != code {
		c.t.Fatalf("got %s, %v, want the end with %d", got, err, code)
	}
}

// trigger publishes by the HTTP API on the port of the clients.
func trigger(t *testing.T, url, app, key, secret, body string) int {
	t.Helper()
	path, sum := "/apps/"+app+"/events", md5.Sum([]byte(body))
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%x", key, time.Now().Unix(), sum)
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "POST\n%s\n%s", path, query)
	base := "http" + strings.TrimPrefix(strings.TrimSuffix(url, "/"), "ws")
	answer, err := http.Post(base+path+"?"+query+"&auth_signature="+hex.EncodeToString(mac.Sum(nil)), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

const subscribeC = `{"event":"pusher:subscribe","data":{"channel":"c"}}`

// A variable is enough for an application, and its HTTP API is on the port of the
// clients.
func TestAppEndToEnd(t *testing.T) {
	_, url := startServer(t, []string{"ROCKET_PUSHER_APP=app:key:secret"})
	c := dialApp(t, url, "key")
	c.want(`"pusher:connection_established"`)
	c.say(subscribeC)
	c.want(`subscription_succeeded`)
	if got := trigger(t, url, "app", "key", "secret", `{"name":"e","channel":"c","data":"x"}`); got != 200 {
		t.Errorf("got %d", got)
	}
	c.want(`{"event":"e","channel":"c","data":"x"}`)
	if got := trigger(t, url, "app", "key", "wrong", `{"name":"e","channel":"c","data":"x"}`); got != 401 {
		t.Errorf("with a wrong secret: got %d", got)
	}
	base := "http" + strings.TrimPrefix(strings.TrimSuffix(url, "/"), "ws")
	for _, channel := range []string{"c", "private-c"} { // whoever knows the key, which is public
		answer, err := http.Post(base+"/v1/publish/"+channel+"?hub=/app/key&event=e", "application/json", strings.NewReader(`1`))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode < 400 {
			t.Errorf("%s is published to without a signature: %s", channel, answer.Status)
		}
	}
	stranger := dialApp(t, url, "other")
	stranger.want(`"code":4001`)
	stranger.wantClose(4001)
}

// What an application holds, and what became of the events for its webhooks, is on the
// admin port.
func TestAppOnTheAdminPort(t *testing.T) {
	told := make(chan struct{}, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told <- struct{}{} }))
	defer receiver.Close()
	file := writeFile(t, `{"Hubs": [{"Path": "/"}], "Apps": [
		{"ID": "app", "Keys": [{"Key": "key", "Secret": "s"}], "Webhooks": [{"URL": "`+receiver.URL+`/hook"}]},
		{"ID": "other", "Keys": [{"Key": "other", "Secret": "s"}]}]}`)
	server := start(t, nil, "-port", "0", "-admin", "127.0.0.1:0", file)
	url := server.stdout.want(`app +(ws://localhost:\d+) `)[1]
	admin := server.stdout.want(`admin +(http://\S+)`)[1]
	server.stdout.want(`^Ready`)
	c := dialApp(t, url, "key")
	c.want(`"pusher:connection_established"`)
	c.say(subscribeC)
	c.want(`subscription_succeeded`)
	<-told
	want := `{"apps":[{"app":"app","hub":"/apps/app","connections":1,"channels":1,"cachedBytes":0,"webhooks":[` +
		`{"endpoint":"` + receiver.URL + `/hook","queued":0,"sent":1,"failures":0,"lost":0}]},` +
		`{"app":"other","hub":"/apps/other","connections":0,"channels":0,"cachedBytes":0,"webhooks":[]}]}`
	waitFor(t, want, func() bool {
		_, text := ask(t, admin+"/api/apps")
		return strings.TrimSpace(text) == want
	})
	stdout, stderr, status := call("top", "-admin", admin, "-interval", "1ms")
	if status != 0 || !strings.Contains(stdout, "applications:") {
		t.Errorf("top: got status %d\n%s%s", status, stdout, stderr)
	}
}

// A reload changes keys and switches while connections stay, begins applications and
// ends them.
func TestReloadApps(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("old-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const old = `{"Key": "old", "Secret": "old-secret"}`
	file := writeFile(t, `{"Hubs": [{"Path": "/"}], "Apps": [
		{"ID": "app", "Keys": [{"Key": "old", "SecretFile": "`+secret+`"}], "Hub": "/"},
		{"ID": "gone", "Keys": [{"Key": "gone", "Secret": "s"}]},
		{"ID": "off", "Keys": [{"Key": "off", "Secret": "s"}], "Enabled": "off"}]}`)
	server, url := startServer(t, nil, file)
	url = strings.TrimSuffix(url, "/")
	stays, gone := dialApp(t, url, "old"), dialApp(t, url, "gone")
	for _, c := range []pusherClient{stays, gone} {
		c.want(`established`)
	}
	off := dialApp(t, url, "off")
	off.want(`"code":4003`)
	off.wantClose(4003)
	stays.say(subscribeC)
	stays.want(`subscription_succeeded`)
	start(t, nil, "publish", "-url", url+"/", "c", `{"n":1}`).wantStatus(0)
	stays.want(`"data":"{\"n\":1}"`)

	rewrite(t, file, `{"Hubs": [{"Path": "/"}], "Apps": [
		{"ID": "app", "Keys": [`+old+`, {"Key": "new", "Secret": "new-secret"}], "Hub": "/"},
		{"ID": "added", "Keys": [{"Key": "added", "Secret": "s"}]},
		{"ID": "off", "Keys": [{"Key": "off", "Secret": "s"}]}]}`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	gone.wantClose(1001) // it comes back, and then
	gone = dialApp(t, url, "gone")
	gone.want(`"code":4001`)
	for _, key := range []string{"added", "off", "new"} {
		dialApp(t, url, key).want(`established`)
	}
	for i, key := range []string{"old", "new"} {
		if got := trigger(t, url, "app", key, key+"-secret", fmt.Sprintf(`{"name":"e","channel":"c","data":"%d"}`, i)); got != 200 {
			t.Errorf("%s: got %d", key, got)
		}
		stays.want(fmt.Sprintf(`"data":"%d"`, i))
	}
	if got := trigger(t, url, "gone", "gone", "s", `{}`); got != 404 {
		t.Errorf("an application that is gone: got %d", got)
	}

	rewrite(t, file, `{"Apps": [{"ID": "app", "Keys": [{"Key": "new", "Secret": "new-secret"}]}]}`)
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	stays.wantClose(1001) // its hub is gone, and its key
	again := dialApp(t, url, "old")
	again.want(`"code":4001`)
	dialApp(t, url, "new").want(`established`)
}
