package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialogue serves connections that answer each message with the next replies.
// The replies goAway, breakOff and hangUp end the connection, otherwise the client does.
func dialogue(t *testing.T, replies ...[]string) (url string, heard *[]string) {
	t.Helper()
	heard = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for _, rs := range replies {
			_, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			*heard = append(*heard, string(message))
			for _, reply := range rs {
				switch reply {
				case goAway:
					conn.Close(websocket.StatusGoingAway, "")
					return
				case breakOff:
					conn.Close(websocket.StatusPolicyViolation, "no more")
					return
				case hangUp:
					conn.CloseNow()
					return
				}
				if conn.Write(r.Context(), websocket.MessageText, []byte(reply)) != nil {
					return
				}
			}
		}
		_, _, _ = conn.Read(r.Context())
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/", heard
}

var ok = []string{`{"ok":true}`}

const (
	goAway   = "close with 1001"
	breakOff = "close with 1008"
	hangUp   = "end the connection without a word"
)

func TestSubscribeDialogue(t *testing.T) {
	url, heard := dialogue(
		t, ok,
		[]string{`{"ok":true}`, `{"event":"e","channel":"a","data":1}`},
		[]string{"{\"event\":\"f\",\n\"channel\":\"a\",\"data\": \"x\\n\"}", `{"lost":2}`, `{"ok":true}`, `{"event":"g","channel":"b"}`, goAway},
	)
	stdout, stderr, status := call("subscribe", "-once", "-url", url, "-secret", "s", "a", "b")
	if want := "{\"event\":\"e\",\"channel\":\"a\",\"data\":1}\n{\"event\":\"f\",\"channel\":\"a\",\"data\":\"x\\n\"}\n{\"lost\":2}\n{\"event\":\"g\",\"channel\":\"b\"}\n"; stdout != want {
		t.Errorf("got %s want %s", stdout, want)
	}
	want := "subscribed to a at " + url + "\nsubscribed to b at " + url + "\nrocket: the server closed the connection: 1001\n"
	if stderr != want || status != statusClosed {
		t.Errorf("got status %d\n%s\nwant\n%s", status, stderr, want)
	}
	wantHeard(
		t, *heard, `{"auth":{"access":"read-only","secret":"s"}}`,
		`{"subscribe":{"channel":"a"}}`, `{"subscribe":{"channel":"b"}}`,
	)
}

func TestPublishDialogue(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"JSON", `{"a": 1.0}`, `{"a":1.0}`},
		{"null", "null", "null"},
		{"text", "a <b> & \"c\"", `"a <b> & \"c\""`},
		{"nothing", "", `""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, heard := dialogue(t, ok, ok)
			if _, stderr, status := call("publish", "-url", url, "-event", "e", "c", tt.data); stderr != "" || status != 0 {
				t.Fatalf("got status %d, %s", status, stderr)
			}
			wantHeard(
				t, *heard, `{"auth":{"access":"read-write","secret":""}}`,
				`{"publish":{"event":"e","channel":"c","data":`+tt.want+`}}`,
			)
		})
	}
}

// A token goes before a secret, a flag before the environment.
func TestTokenOfAClient(t *testing.T) {
	for _, tt := range []struct {
		token, secret, want string // the variables
		flags               []string
	}{
		{"v\n", "", `{"token":"v"}`, nil},
		{"v", "s", `{"token":"v"}`, nil},
		{"v", "s", `{"token":"f"}`, []string{"-token", "f"}},
		{"v", "s", `{"access":"read-write","secret":"f"}`, []string{"-secret", "f"}},
	} {
		url, heard := dialogue(t, ok, ok)
		p := &program{getenv: env(map[string]string{"ROCKET_SECRET": tt.secret, "ROCKET_TOKEN": tt.token}), stdout: io.Discard, stderr: io.Discard}
		if status := p.run(t.Context(), append([]string{"publish", "-url", url, "c", "1"}, tt.flags...)); status != 0 {
			t.Errorf("%+v: got status %d", tt, status)
		}
		wantHeard(t, *heard, `{"auth":`+tt.want+`}`, `{"publish":{"event":"message","channel":"c","data":1}}`)
	}
	for code, want := range map[string]string{
		"invalid_credentials": "rocket: the server refuses the token of -token or ROCKET_TOKEN; ask rocket token explain why\n",
		"token_expired":       "rocket: the token has expired; give another one with -token or in ROCKET_TOKEN\n",
	} {
		url, _ := dialogue(t, []string{`{"err":"` + code + `"}`})
		if _, stderr, status := call("publish", "-url", url, "-token", "x", "c", "1"); stderr != want || status != statusRefused {
			t.Errorf("%s: got status %d, %s", code, status, stderr)
		}
	}
}

func TestPublishKey(t *testing.T) {
	for reply, want := range map[string]string{
		`{"ok":true,"offset":4,"duplicate":false}`: "",
		`{"ok":true,"offset":4,"duplicate":true}`:  "an event with the key k1 has been published before; this one is not\n",
	} {
		url, heard := dialogue(t, ok, []string{reply})
		if _, stderr, status := call("publish", "-url", url, "-key", "k1", "c", "1"); stderr != want || status != 0 {
			t.Errorf("%s: got status %d, %s", reply, status, stderr)
		}
		wantHeard(t, *heard, `{"auth":{"access":"read-write","secret":""}}`, `{"publish":{"event":"message","channel":"c","data":1,"key":"k1"}}`)
	}
	for _, args := range [][]string{{"-key", "k1", "c", "-"}, {"-key", strings.Repeat("x", 129), "c", "1"}} {
		if _, stderr, status := call(append([]string{"publish"}, args...)...); status != statusUsage || !strings.Contains(stderr, "-key") {
			t.Errorf("%v: got status %d, %s", args, status, stderr)
		}
	}
}

// Where a subscription begins, and what it is told beside events.
func TestSubscribeFromAPosition(t *testing.T) {
	notice := `{"subscribed":"token","channel":"user:42"}`
	url, heard := dialogue(
		t, []string{`{"ok":true}`, notice}, []string{`{"ok":true,"epoch":"e1","offset":4,"top":5,"recovered":true}`, `{"event":"e","channel":"a","offset":5}`, goAway},
	)
	stdout, stderr, _ := call("subscribe", "-once", "-url", url, "-token", "x", "-since", "e1:4", "-rewind", "3", "a")
	if want := `{"event":"e","channel":"a","offset":5}` + "\n"; stdout != want {
		t.Errorf("got %s want %s", stdout, want)
	}
	if want := notice + "\nsubscribed to a at " + url + "; nothing is missing\nrocket: the server closed the connection: 1001\n"; stderr != want {
		t.Errorf("got %s want %s", stderr, want)
	}
	wantHeard(t, *heard, `{"auth":{"token":"x"}}`, `{"subscribe":{"channel":"a","since":{"epoch":"e1","offset":4}}}`)

	url, heard = dialogue(t, ok, []string{`{"ok":true}`, goAway})
	call("subscribe", "-once", "-url", url, "-rewind", "3", "a")
	wantHeard(t, *heard, `{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"a","rewind":3}}`)

	for _, args := range [][]string{{"-since", "e1", "a"}, {"-since", "e1:4", "a", "b"}, {"-since", ":4", "a"}, {"-rewind", "-1", "a"}} {
		if _, stderr, status := call(append([]string{"subscribe"}, args...)...); status != statusUsage || !strings.Contains(stderr, args[0]) {
			t.Errorf("%v: got status %d, %s", args, status, stderr)
		}
	}
}

// A CHANNEL that looks like a pattern is one, and has no position; with -names it is a name.
func TestSubscribeToAPattern(t *testing.T) {
	event := `{"event":"e","channel":"chat:1","data":1,"offset":7}`
	for _, tt := range []struct {
		flags []string
		want  string
	}{
		{nil, `{"subscribe":{"pattern":"chat:*"}}`},
		{[]string{"-names"}, `{"subscribe":{"channel":"chat:*"}}`},
		{[]string{"-names", "-rewind", "3"}, `{"subscribe":{"channel":"chat:*","rewind":3}}`},
	} {
		url, heard := dialogue(t, ok, []string{`{"ok":true}`, event, breakOff})
		stdout, _, status := call(append(append([]string{"subscribe", "-url", url}, tt.flags...), "chat:*")...)
		if stdout != event+"\n" || status != statusClosed {
			t.Errorf("%v: got status %d, %s", tt.flags, status, stdout)
		}
		wantHeard(t, *heard, `{"auth":{"access":"read-only","secret":""}}`, tt.want)
	}
	for _, flag := range []string{"-rewind=3", "-since=k3vq9x2m:7"} {
		url, _ := dialogue(t)
		if _, stderr, status := call("subscribe", flag, "-url", url, "chat:*"); status != statusUsage || !strings.Contains(stderr, "is a pattern") {
			t.Errorf("%s: got status %d, %s", flag, status, stderr)
		}
	}
}

func TestPublishLines(t *testing.T) {
	url, heard := dialogue(t, ok, ok, ok, ok)
	var stdout, stderr strings.Builder
	p := &program{getenv: env(map[string]string{"ROCKET_SECRET": "s"}), stdin: strings.NewReader("1\r\ntwo\n[3]"), stdout: &stdout, stderr: &stderr}
	if status := p.run(context.Background(), []string{"publish", "-url", url, "c", "-"}); status != 0 {
		t.Fatalf("got status %d, %s", status, &stderr)
	}
	wantHeard(
		t, *heard, `{"auth":{"access":"read-write","secret":"s"}}`,
		`{"publish":{"event":"message","channel":"c","data":1}}`,
		`{"publish":{"event":"message","channel":"c","data":"two"}}`,
		`{"publish":{"event":"message","channel":"c","data":[3]}}`,
	)
}

// The secret is that of the flag, or else of the variable, which may end in a line
// end: a shell reads it from a file.
func TestSecretOfAClient(t *testing.T) {
	for _, tt := range []struct {
		variable, want string
		flags          []string
	}{
		{"v", "v", nil},
		{"v\r\n", "v", nil},
		{" v ", " v ", nil},
		{"v", "f", []string{"-secret", "f"}},
		{"", "f", []string{"-secret=f"}},
		{"", "", nil},
	} {
		url, heard := dialogue(t, ok, ok)
		p := &program{getenv: env(map[string]string{"ROCKET_SECRET": tt.variable}), stdout: io.Discard, stderr: io.Discard}
		if status := p.run(t.Context(), append([]string{"publish", "-url", url, "c", "1"}, tt.flags...)); status != 0 {
			t.Errorf("%q, %q: got status %d", tt.variable, tt.flags, status)
		}
		wantHeard(
			t, *heard, fmt.Sprintf(`{"auth":{"access":"read-write","secret":%q}}`, tt.want),
			`{"publish":{"event":"message","channel":"c","data":1}}`,
		)
	}
}

func wantHeard(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("the server heard\n%s\nwant\n%s", g, w)
	}
}

func TestClientErrors(t *testing.T) {
	refuse := func(code string) []string { return []string{`{"err":"` + code + `"}`} }
	for _, tt := range []struct {
		name    string
		replies [][]string
		args    string
		want    string
		status  int
	}{
		{
			"secret",
			[][]string{refuse("invalid_credentials")},
			"subscribe URL c",
			"the server refuses the secret for read-only access; give the right one with -secret or in ROCKET_SECRET",
			statusRefused,
		},
		{
			"channel name",
			[][]string{ok, refuse("invalid_channel_name")},
			"subscribe URL c",
			`"c" cannot be a channel: a name has 1 to 255 bytes, or as few as the server's MaxChannelName allows, and no control characters`,
			statusRefused,
		},
		{
			"too many channels",
			[][]string{ok, refuse("limit_exceeded")},
			"subscribe URL c",
			`"c" is one channel too many, for one connection (the server's MaxSubscriptions) or for the hub (MaxChannels)`,
			statusRefused,
		},
		{
			"no channel",
			[][]string{ok, refuse("invalid_channel")},
			"publish URL c 1",
			`there is no channel "c": it has no subscribers, and the server's configuration does not name it`,
			statusRefused,
		},
		{
			"event",
			[][]string{ok, refuse("invalid_data")},
			"publish -event= URL c 1",
			"the server refuses the event: its name must not be empty",
			statusRefused,
		},
		{
			"deep data",
			[][]string{ok, refuse("invalid_data")},
			"publish URL c 1",
			"the server refuses the event: its data has too many arrays and objects inside one another",
			statusRefused,
		},
		{"other", [][]string{refuse("new_error")}, "publish URL c 1", "the server answers new_error", statusRefused},
		{"not JSON", [][]string{{"hello"}}, "subscribe URL c", "URL does not speak Rocket's protocol: invalid character 'h' looking for beginning of value", statusFailed},
		{"no reply", [][]string{{`{"hello":1}`}}, "publish URL c 1", "URL does not speak Rocket's protocol: it answers neither ok nor an error", statusFailed},
		{"closed with 1008", [][]string{{breakOff}}, "subscribe URL c", "the server closed the connection: 1008 no more", statusClosed},
		{"lost", [][]string{{hangUp}}, "subscribe URL c", "the connection to URL was lost", statusUnreachable},
		{"closed early", [][]string{ok, {goAway}}, "publish URL c 1", "the server closed the connection: 1001", statusClosed},
		{"not UTF-8", [][]string{ok}, "publish URL c \xff", "the data is not UTF-8", statusFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := dialogue(t, tt.replies...)
			args := strings.Fields(strings.Replace(tt.args, "URL", "-url "+url, 1))
			_, stderr, status := call(args...)
			if want := "rocket: " + strings.ReplaceAll(tt.want, "URL", url) + "\n"; stderr != want || status != tt.status {
				t.Errorf("got status %d, %swant %d, %s", status, stderr, tt.status, want)
			}
		})
	}
}

// JSON that is too deep is no text.
func TestDataTooDeep(t *testing.T) {
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	objects := strings.Repeat(`{"a": `, 10001) + "1" + strings.Repeat("}", 10001)
	for _, tt := range []struct {
		name, data string
		want       string // what it begins with, "" for an error
	}{
		{"deepest", nested(10000), "[["},
		{"arrays", nested(10001), ""},
		{"objects", objects, ""},
		{"spaces", " " + nested(10001) + "\n", ""},
		{"open", strings.Repeat("[", 10001), `"[[`},
		{"text behind it", nested(10001) + " x", `"[[`},
		{"text before it", "[1,] " + nested(10001), `"[1,] [`},
	} {
		got, err := asJSON(tt.data)
		if (err != nil) != (tt.want == "") || !strings.HasPrefix(string(got), tt.want) {
			t.Errorf("%s: got %.10s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

// Who cannot print the events does not go on.
func TestSubscribeCannotPrint(t *testing.T) {
	event, reply := `{"event":"e","channel":"c","data":1}`, `{"ok":true}`
	for name, replies := range map[string][][]string{
		"after the reply":  {ok, {reply, event, goAway}},
		"before the reply": {ok, {event, reply, goAway}},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := dialogue(t, replies...)
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip(err)
			}
			defer full.Close()
			var stderr strings.Builder
			p := &program{getenv: env(nil), stdout: full, stderr: &stderr}
			status := p.run(t.Context(), []string{"subscribe", "-once", "-url", url, "c"})
			if want := "rocket: cannot write to standard output: no space left on device\n"; status != 1 || !strings.HasSuffix(stderr.String(), want) {
				t.Errorf("got status %d, %swant %s", status, &stderr, want)
			}
		})
	}
}

// What a hub limits is said to the user in words, whichever limit it is.
func TestLimitsAreExplainedEndToEnd(t *testing.T) {
	file := writeFile(t, `{"Hubs": [
		{"Path": "/", "MaxChannelName": 3, "MaxChannels": 1},
		{"Path": "/few", "MaxSubscriptions": 1},
		{"Path": "/slow", "CommandRate": 1, "Channels": ["c"]}]}`)
	_, url := startServer(t, nil, file)
	for _, tt := range []struct {
		name, want, stdin string
		args              []string
	}{
		{"long name", `"four" cannot be a channel`, "", []string{"subscribe", "-url", url, "four"}},
		{"channels of the hub", `"b" is one channel too many.*MaxChannels`, "", []string{"subscribe", "-url", url, "a", "b"}},
		{"channels of a connection", `"b" is one channel too many.*MaxSubscriptions`, "", []string{"subscribe", "-url", url + "/few", "a", "b"}},
		{"commands in a second", "may send in a second.*CommandRate", strings.Repeat("1\n", 100), []string{"publish", "-url", url + "/slow", "c", "-"}},
		{"levels", "too many arrays", strings.Repeat("[", 9999) + strings.Repeat("]", 9999), []string{"publish", "-url", url + "/few", "c", "-"}},
	} {
		cmd := exec.Command(rocket, tt.args...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		p := startCommand(t, cmd, nil)
		p.wantStatus(statusRefused)
		if got := p.stderr.all(); !regexp.MustCompile(tt.want).MatchString(got) {
			t.Errorf("%s: got %s want %s", tt.name, got, tt.want)
		}
	}
}

func TestRefusedHandshake(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "there is no hub here", http.StatusNotFound)
	}))
	defer server.Close()
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	_, stderr, status := call("subscribe", "-url", url, "c")
	if want := "rocket: " + url + " refuses: 404 Not Found: there is no hub here\n"; stderr != want || status != statusRefused {
		t.Errorf("got status %d, %s want %s", status, stderr, want)
	}
}

// A client with the wrong one of ws:// and wss:// is told the right one.
func TestWrongScheme(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	// One that answers with the alert protocol_version, as OpenSSL does.
	alerting, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alerting.Close()
	go func() {
		for {
			conn, err := alerting.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x46"))
			_ = conn.Close()
		}
	}()
	_, ours := startServer(t, nil)
	tlsOurs, oursSecure := startSecure(t, "-tls-self-signed")
	tlsOurs.stdout.want(`^Ready`)
	for _, tt := range []struct {
		name, url, want string
		status          int
	}{
		{"another's plain port", "wss://" + plain.Listener.Addr().String(), "URL does not speak TLS at that port; use ws://", statusUnreachable},
		{"a plain port of ours", "wss" + strings.TrimPrefix(ours, "ws"), "URL does not speak TLS at that port; use ws://", statusUnreachable},
		{"another's TLS port", "ws://" + secure.Listener.Addr().String(), "URL refuses: 400 Bad Request: Client sent an HTTP request to an HTTPS server.", statusRefused},
		{"an alert", "ws://" + alerting.Addr().String(), "URL speaks TLS at that port; use wss://", statusUnreachable},
		{"a TLS port of ours", "ws" + strings.TrimPrefix(oursSecure, "wss"), "URL refuses: 400 Bad Request: This port speaks TLS: connect with wss://.", statusRefused},
	} {
		for _, args := range [][]string{{"subscribe", "c"}, {"publish", "c", "1"}} {
			_, stderr, status := call(append(args, "-insecure", "-url", tt.url)...)
			if want := "rocket: " + strings.ReplaceAll(tt.want, "URL", tt.url); !strings.HasPrefix(stderr, want) || status != tt.status {
				t.Errorf("%s: %s: got status %d, %swant %d, %s", tt.name, args[0], status, stderr, tt.status, want)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, tt := range []struct {
		failures int
		random   float64
		want     time.Duration
	}{
		{0, 0, time.Second},
		{0, 0.5, 750 * time.Millisecond},
		{1, 0, 2 * time.Second},
		{4, 0, 16 * time.Second},
		{5, 0, 30 * time.Second},
		{5, 0.9999999999, 15 * time.Second},
		{1 << 40, 0, 30 * time.Second},
	} {
		if got := backoff(tt.failures, tt.random); got.Round(time.Millisecond) != tt.want {
			t.Errorf("after %d failures, %v: got %v want %v", tt.failures, tt.random, got, tt.want)
		}
	}
}

// A subscriber comes back to a server that was restarted, and hears what is
// published from then on; with -once it ends.
func TestSubscribeComesBackEndToEnd(t *testing.T) {
	server, url := startServer(t, nil)
	reader := start(t, nil, "subscribe", "a", "b", "-url", url)
	reader.stderr.want(`^subscribed to b`)
	once := start(t, nil, "subscribe", "a", "-url", url, "-once")
	once.stderr.want(`^subscribed to a`)
	server.signal(syscall.SIGINT)
	reader.stderr.want(`^the server closed the connection: 1001.*; connecting again in \d\.\d s$`)
	once.stderr.want(`^rocket: the server closed the connection: 1001`)
	once.wantStatus(statusClosed)
	server.wantStatus(0)

	next := start(t, nil, "-port", url[strings.LastIndex(url, ":")+1:], "-admin", "off")
	next.stdout.want(`^Ready`)
	reader.stderr.want(`^subscribed to a at \S+ again; events published meanwhile are missing$`)
	reader.stderr.want(`^subscribed to b at \S+ again`)
	start(t, nil, "publish", "b", "1", "-url", url).wantStatus(0)
	reader.stdout.want(`"channel":"b","data":1`)

	// A server that dies says nothing.
	if err := next.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	reader.stderr.want(`^the connection to \S+ was lost(: connection reset by peer)?; connecting again in (0\.\d|1\.0) s$`) // the first pause again
	reader.stderr.want(`^nothing listens at \S+; is the server running\?; connecting again`)
	reader.signal(syscall.SIGINT)
	reader.wantStatus(0)
}

// Where a channel keeps a history, a subscriber that comes back prints what it has
// missed.
func TestSubscribeRecoversEndToEnd(t *testing.T) {
	const token = "ROCKET_ADMIN_TOKEN=t"
	file := writeFile(t, `{"Hubs": [{"Path": "/", "Rules": [{"Match": "*", "History": {"Size": 2, "TTL": "1h"}}]}]}`)
	server, url := startServer(t, []string{token}, file)
	reader := start(t, nil, "subscribe", "-url", url, "a")
	reader.stderr.want(`^subscribed to a at \S+$`)
	publish := func(data ...string) {
		t.Helper()
		for _, d := range data {
			start(t, nil, "publish", "-url", url, "a", d).wantStatus(0)
		}
	}
	away := func(data ...string) {
		t.Helper()
		vars := []string{token, "ROCKET_ADMIN=" + adminOf(server)}
		list := start(t, vars, "connections", "-channel", "a")
		name := list.stdout.want(`connection=(\S+)`)[1]
		list.wantStatus(0)
		start(t, vars, "disconnect", "-code", "1013", name).wantStatus(0)
		reader.stderr.want(`connecting again`)
		publish(data...)
	}
	publish("1")
	reader.stdout.want(`"data":1,"offset":1\}$`)
	away("2", "3")
	reader.stderr.want(`^subscribed to a at \S+ again; nothing is missing$`)
	reader.stdout.want(`"data":2,"offset":2\}$`)
	reader.stdout.want(`"data":3,"offset":3\}$`)
	publish("4")
	reader.stdout.want(`"data":4,"offset":4\}$`)
}

// Which ends may pass, and which the server means.
func TestWhenSubscribeComesBack(t *testing.T) {
	for code, want := range map[websocket.StatusCode]bool{1000: false, 1001: true, 1002: false, 1008: false, 1009: false, 1011: true, 1012: true, 1013: true, 1014: true, 4001: false} {
		c := &client{url: "ws://x/", err: websocket.CloseError{Code: code}}
		if got := passes(c.ended()); got != want {
			t.Errorf("%d: got %t want %t", code, got, want)
		}
	}
	for status, want := range map[int]bool{401: false, 403: false, 404: false, 429: true, 500: true, 501: false, 502: true, 503: true, 504: true} {
		response := &http.Response{StatusCode: status, Body: http.NoBody}
		if got := passes(dialError("ws://x/", response, nil)); got != want {
			t.Errorf("HTTP %d: got %t want %t", status, got, want)
		}
	}
	if !passes((&client{err: io.EOF}).ended()) {
		t.Error("a lost connection is for good")
	}
}
