package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// dialogue serves connections that answer each message with the next replies.
// The replies goAway and breakOff end the connection, otherwise the client does.
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
)

func TestSubscribeDialogue(t *testing.T) {
	url, heard := dialogue(
		t, ok,
		[]string{`{"ok":true}`, `{"event":"e","channel":"a","data":1}`},
		[]string{"{\"event\":\"f\",\n\"channel\":\"a\",\"data\": \"x\\n\"}", `{"ok":true}`, `{"event":"g","channel":"b"}`, goAway},
	)
	stdout, stderr, status := call("subscribe", "-url", url, "-secret", "s", "a", "b")
	if want := "{\"event\":\"e\",\"channel\":\"a\",\"data\":1}\n{\"event\":\"f\",\"channel\":\"a\",\"data\":\"x\\n\"}\n{\"event\":\"g\",\"channel\":\"b\"}\n"; stdout != want {
		t.Errorf("got %s want %s", stdout, want)
	}
	want := "subscribed to a at " + url + "\nsubscribed to b at " + url + "\nthe server closed the connection: 1001\n"
	if stderr != want || status != 0 {
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
	}{
		{
			"secret",
			[][]string{refuse("invalid_credentials")},
			"subscribe URL c",
			"the server refuses the secret for read-only access; give the right one with -secret or in ROCKET_SECRET",
		},
		{
			"channel name",
			[][]string{ok, refuse("invalid_channel_name")},
			"subscribe URL c",
			`"c" cannot be a channel: a name has no control characters, and 1 to 255 bytes or fewer (the server's MaxChannelName)`,
		},
		{
			"too many channels",
			[][]string{ok, refuse("limit_exceeded")},
			"subscribe URL c",
			`"c" is one channel too many, for one connection (the server's MaxSubscriptions) or for the hub (MaxChannels)`,
		},
		{
			"no channel",
			[][]string{ok, refuse("invalid_channel")},
			"publish URL c 1",
			`there is no channel "c": nobody subscribes to it, and the server's configuration does not name it`,
		},
		{
			"event",
			[][]string{ok, refuse("invalid_data")},
			"publish -event= URL c 1",
			"the server refuses the event: its name must not be empty",
		},
		{
			"deep data",
			[][]string{ok, refuse("invalid_data")},
			"publish URL c 1",
			"the server refuses the event: its data has too many arrays and objects inside one another",
		},
		{"other", [][]string{refuse("new_error")}, "publish URL c 1", "the server answers new_error"},
		{"not JSON", [][]string{{"hello"}}, "subscribe URL c", "URL does not speak Rocket's protocol: invalid character 'h' looking for beginning of value"},
		{"no reply", [][]string{{`{"hello":1}`}}, "publish URL c 1", "URL does not speak Rocket's protocol: it answers neither ok nor an error"},
		{"broken off", [][]string{{breakOff}}, "subscribe URL c", "the server broke off the connection: 1008 no more"},
		{"closed early", [][]string{ok, {goAway}}, "publish URL c 1", "the server closed the connection: 1001"},
		{"not UTF-8", [][]string{ok}, "publish URL c \xff", "the data is not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := dialogue(t, tt.replies...)
			args := strings.Fields(strings.Replace(tt.args, "URL", "-url "+url, 1))
			_, stderr, status := call(args...)
			if want := "rocket: " + strings.ReplaceAll(tt.want, "URL", url) + "\n"; stderr != want || status != 1 {
				t.Errorf("got status %d, %swant %s", status, stderr, want)
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
			status := p.run(t.Context(), []string{"subscribe", "-url", url, "c"})
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
		{"commands in a second", "no more in a second.*CommandRate", strings.Repeat("1\n", 100), []string{"publish", "-url", url + "/slow", "c", "-"}},
		{"levels", "too many arrays", strings.Repeat("[", 9999) + strings.Repeat("]", 9999), []string{"publish", "-url", url + "/few", "c", "-"}},
	} {
		cmd := exec.Command(rocket, tt.args...)
		cmd.Stdin = strings.NewReader(tt.stdin)
		p := startCommand(t, cmd, nil)
		p.wantStatus(1)
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
	if want := "rocket: " + url + " refuses: 404 Not Found: there is no hub here\n"; stderr != want || status != 1 {
		t.Errorf("got status %d, %s want %s", status, stderr, want)
	}
}
