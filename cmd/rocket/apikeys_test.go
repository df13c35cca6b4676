package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// newKey calls rocket key new, and returns the key and the object for Keys.
func newKey(t *testing.T, args ...string) (key, object string) {
	t.Helper()
	stdout, stderr, status := call(append([]string{"key", "new"}, args...)...)
	m := regexp.MustCompile(`(?s)^The key, .*\n  (rk_\S+)\nIn the file .*\n  (\{.*\})\n$`).FindStringSubmatch(stdout)
	if status != 0 || m == nil {
		t.Fatalf("got %d, %s, %s", status, stdout, stderr)
	}
	return m[1], m[2]
}

// post publishes by HTTP, and fails unless the answer is as it should.
func post(t *testing.T, url, key, body string, status int, want string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, _ := io.ReadAll(answer.Body); answer.StatusCode != status || !strings.Contains(string(got), want) {
		t.Errorf("%s: got %s %s, want %d with %s", url, answer.Status, got, status, want)
	}
}

// A backend publishes with a key, on both ports; keys change with a reload.
func TestPublishByHTTP(t *testing.T) {
	one, first := newKey(t, "one", "-channels", "orders:*,news")
	two, second := newKey(t, "two", "-may", "publish,read", "-rate", "100")
	const config = `{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"}, "Keys": [%s]}]}`
	file := writeFile(t, fmt.Sprintf(config, first))
	pid := filepath.Join(t.TempDir(), "rocket.pid")
	server, url := startServer(t, nil, file, "-pid-file", pid)
	listener := start(t, []string{"ROCKET_SECRET=r"}, "subscribe", "-url", url, "news")
	listener.stderr.want(`^subscribed`)
	base := strings.Replace(url, "ws://", "http://", 1)
	base = strings.TrimSuffix(base, "/")
	post(t, base+"/v1/publish/news", one, `"by key"`, 200, `{"ok":true,"heard":true}`)
	listener.stdout.want(`"data":"by key"`)
	post(t, base+"/v1/publish/chat", one, `1`, 403, `it is for orders:*, news`)
	post(t, base+"/v1/publish/news", "", `1`, 401, `want a key`)
	post(t, base+"/v1/publish/news", two, `1`, 401, `no such key`)
	post(t, base+"/", one, `1`, 405, `a WebSocket handshake is a GET request`)
	post(t, base+"/nowhere", one, `1`, 404, `There is nothing at this path`)

	rewrite(t, file, fmt.Sprintf(config, second))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	post(t, base+"/v1/publish/news", one, `1`, 401, `no such key`)
	post(t, base+"/v1/publish/news", two, `"by another"`, 200, `{"ok":true,"heard":true}`)
	listener.stdout.want(`"data":"by another"`)
	http.DefaultClient.CloseIdleConnections()
}

// The admin port has the same, and its metrics count.
func TestPublishOnTheAdminPort(t *testing.T) {
	server, url := startServer(t, nil)
	admin := server.stderr.want(`"admin":"(http://[^"]+)"`)[1]
	post(t, admin+"/v1/publish/news", "", `1`, 200, `{"ok":true,"heard":false}`)
	post(t, strings.Replace(strings.TrimSuffix(url, "/"), "ws://", "http://", 1)+"/v1/publish/news", "", `x`, 400, `not JSON`)
	answer, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, _ := io.ReadAll(answer.Body)
	for _, want := range []string{
		`rocket_http_requests_total{route="/v1/publish/{channel}",status="200"} 1`,
		`rocket_http_requests_total{route="/v1/publish/{channel}",status="400"} 1`,
		`rocket_http_connections_accepted_total 1`,
	} {
		if !strings.Contains(string(metrics), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestKeysInTheFile(t *testing.T) {
	_, good := newKey(t, "a")
	for _, tt := range []struct{ hubs, want string }{
		{`{"Path": "/", "Keys": [` + good + `]}`, ""},
		{`{"Path": "/", "Keys": [` + good + `,` + good + `]}`, `there is a key of the name "a" already`},
		{`{"Path": "/", "Keys": [{"Name": "a"}]}`, `SHA256: want the 64 hexadecimal digits`},
		{`{"Path": "/", "Keys": [` + strings.Replace(good, `"*"`, `"orders.*"`, 1) + `]}`, `\"orders.*\" is no pattern|"orders.*" is no pattern`},
		{`{"Path": "/", "Keys": [` + strings.Replace(good, `"May"`, `"Might"`, 1) + `]}`, `Might`},
		{`{"Path": "/", "Keys": 7}`, `want a list of keys`},
		{`{"Path": "/", "Codec": "Echo", "Keys": [` + good + `]}`, `an Echo hub has no Keys`},
		{`{"Path": "/v1/chat"}`, `is for HTTP requests, as all below /v1/ are`},
		{`{"Path": "/", "Paths": ["/v1"]}`, `is for HTTP requests`},
		{`{"Path": "/v10"}`, ""},
	} {
		stdout, stderr, status := call("check", writeFile(t, `{"Hubs": [`+tt.hubs+`]}`))
		if (status == 0) != (tt.want == "") || !regexp.MustCompile(regexpOf(tt.want)).MatchString(stderr+stdout) {
			t.Errorf("%s: got %d, %s %s, want %s", tt.hubs, status, stdout, stderr, tt.want)
		}
	}
}

// regexpOf returns a pattern for one of the texts with | between them.
func regexpOf(texts string) string {
	var all []string
	for text := range strings.SplitSeq(texts, "|") {
		all = append(all, regexp.QuoteMeta(text))
	}
	return strings.Join(all, "|")
}

func TestKeyRefusals(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "want new and a name"},
		{"new", "want new and a name"},
		{"old shop", "want new and a name"},
		{"new a/b", "1 to 32 letters"},
		{"new a -may write", `"write" is not known`},
		{"new a -channels orders.*", "no pattern"},
		{"new a -rate -1", "Rate"},
	} {
		_, stderr, status := call(append([]string{"key"}, strings.Fields(tt.args)...)...)
		if status != 2 || !strings.Contains(stderr, tt.want) {
			t.Errorf("rocket key %s: got %d, %s, want %s", tt.args, status, stderr, tt.want)
		}
	}
}
