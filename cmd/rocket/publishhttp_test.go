package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A shell publishes by HTTP, with a key or without one.
func TestPublishWithAPI(t *testing.T) {
	key, object := newKey(t, "shop", "-channels", "orders:*,*", "-rate", "1000000")
	narrow, second := newKey(t, "narrow", "-channels", "orders:*")
	_, url := startServer(t, nil, writeFile(t, fmt.Sprintf(
		`{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "r", "ReadWrite": "w"}, "Keys": [%s, %s]}, {"Path": "/open"}]}`, object, second)))
	listener := start(t, []string{"ROCKET_SECRET=r"}, "subscribe", "-url", url, "a/b ü")
	listener.stderr.want(`^subscribed`)
	open := start(t, nil, "subscribe", "-url", strings.TrimSuffix(url, "/")+"/open", "news")
	open.stderr.want(`^subscribed`)
	api := strings.TrimSuffix(strings.Replace(url, "ws://", "http://", 1), "/")
	host := strings.TrimPrefix(api, "http://")

	publish := func(vars []string, args ...string) *process {
		t.Helper()
		return start(t, vars, append([]string{"publish", "-api"}, args...)...)
	}
	publish([]string{"ROCKET_KEY=" + key}, api, "-event", "e&f", "a/b ü", `{"a": 1}`).wantStatus(0)
	listener.stdout.want(`^\{"event":"e&f","channel":"a/b ü","data":\{"a": 1\}\}$`)
	publish([]string{"ROCKET_KEY=" + narrow}, host, "-api-key", key, "a/b ü", "text").wantStatus(0) // the flag counts
	listener.stdout.want(`"data":"text"`)
	publish(nil, api+"/open", "news", "1").wantStatus(0) // another hub, which needs no key
	open.stdout.want(`"data":1`)

	again := []string{api, "-api-key", key, "-key", "k1", "a/b ü", "2"}
	publish(nil, again...).wantStatus(0)
	listener.stdout.want(`"data":2`)
	repeated := publish(nil, again...)
	repeated.stderr.want(`^an event with the key k1 has been published before; this one is not$`)
	repeated.wantStatus(0)
	nobody := publish(nil, api, "-api-key", key, "orders:1", "1")
	nobody.stderr.want(`^there is no channel "orders:1": nobody is subscribed`)
	nobody.wantStatus(0)

	refused := publish([]string{"ROCKET_KEY=" + narrow}, api, "news", "1")
	refused.stderr.want(`refuses: access_denied: the key "narrow" is not for the channel "news"; it is for orders:\*$`)
	refused.wantStatus(statusRefused)
	unknown := publish(nil, api, "news", "1")
	unknown.stderr.want(`refuses: invalid_credentials: want a key`)
	unknown.wantStatus(statusRefused)
	none := publish(nil, "http://127.0.0.1:1", "news", "1")
	none.stderr.want(`^rocket: nothing listens at http://127.0.0.1:1; is the server running\?$`)
	none.wantStatus(statusUnreachable)

	p := &program{stdin: strings.NewReader("1\ntwo\n"), stdout: t.Output(), stderr: t.Output(), getenv: env(nil)}
	if status := p.run(t.Context(), []string{"publish", "-api", api, "-api-key", key, "a/b ü", "-"}); status != 0 {
		t.Errorf("lines: got status %d", status)
	}
	listener.stdout.want(`"data":1`)
	listener.stdout.want(`"data":"two"`)
}

// What is no Rocket is told apart from one that refuses.
func TestPublishToAnotherServer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, stderr, status := call("publish", "-api", other.URL, "c", "1")
	if want := "rocket: " + other.URL + " refuses: 404 Not Found: 404 page not found\n"; stderr != want || status != statusRefused {
		t.Errorf("got status %d, %s, want %s", status, stderr, want)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	if _, stderr, status := call("publish", "-api", secure.URL, "c", "1"); status != statusUnreachable || !strings.Contains(stderr, "-insecure") {
		t.Errorf("a certificate that nobody knows: got status %d, %s", status, stderr)
	}
	if _, stderr, status := call("publish", "-insecure", "-api", secure.URL, "c", "1"); status != statusRefused || !strings.Contains(stderr, "404") {
		t.Errorf("-insecure: got status %d, %s", status, stderr)
	}
	if _, stderr, status := call("publish", "-api", strings.Replace(other.URL, "http:", "https:", 1), "c", "1"); status != statusUnreachable || !strings.Contains(stderr, "use "+other.URL) {
		t.Errorf("no TLS there: got status %d, %s", status, stderr)
	}
}

func TestPublishAPIUsage(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-api ftp://x c 1", "want http:// or https://"},
		{"-api http:// c 1", "and a host"},
		{"-api http://[ c 1", "-api"},
		{"-api http://localhost -token x c 1", "are for WebSocket"},
		{"-api http://localhost -secret x c 1", "are for WebSocket"},
		{"-api http://localhost -url ws://x c 1", "are for WebSocket"},
		{"-api-key k c 1", "-api-key is for -api"},
	} {
		if _, stderr, status := call(append([]string{"publish"}, strings.Fields(tt.args)...)...); status != statusUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: got status %d, %s, want %s", tt.args, status, stderr, tt.want)
		}
	}
}

// rocket check says which keys there are, and what they may in a channel.
func TestCheckKeys(t *testing.T) {
	_, shop := newKey(t, "shop", "-channels", "orders:*,news", "-may", "publish,read")
	_, other := newKey(t, "other", "-channels", "chat:*")
	file := writeFile(t, fmt.Sprintf(`{"Hubs": [{"Path": "/", "Keys": [%s, %s]}]}`, shop, other))
	stdout, _, status := call("check", file, "-channel", "orders:1")
	for want, n := range map[string]int{
		"  key      shop   publish, read  orders:*, news\n": 1,
		"  key      other  publish        chat:*\n":         1,
		"  key shop       by HTTP: publish, read\n":         1,
		"  key other      ":                                 0,
	} {
		if strings.Count(stdout, want) != n || status != 0 {
			t.Errorf("got status %d, want %d of %q in\n%s", status, n, want, stdout)
		}
	}
}
