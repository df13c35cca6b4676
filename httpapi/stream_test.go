package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/httpapi"
)

// listener is a client of a stream.
type listener struct {
	*bufio.Reader
	response *http.Response
	session  string
	retry    int
	seq      int
	f        *fixture
}

// listen opens a stream, and fails unless it begins.
func (f *fixture) listen(query string, fields ...string) *listener {
	f.t.Helper()
	l := f.open(query, fields...)
	if l.response.StatusCode != 200 {
		body, _ := l.ReadString(0)
		f.t.Fatalf("%s: got %s %s", query, l.response.Status, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
	} {
		if got := l.response.Header.Get(name); got != want {
			f.t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	var hello struct{ Session string }
	_, name, data := l.next()
	if err := json.Unmarshal([]byte(data), &hello); name != "open" || err != nil || hello.Session == "" {
		f.t.Fatalf("got %s %s, want open", name, data)
	}
	if l.retry < 1000 || l.retry > 5000 {
		f.t.Errorf("retry: got %d", l.retry)
	}
	l.session = hello.Session
	return l
}

func (f *fixture) open(query string, fields ...string) *listener {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/v1/stream"+query, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		if name != "" {
			r.Header.Set(name, value)
		}
	}
	client := &http.Client{Transport: &http.Transport{}}
	f.t.Cleanup(client.CloseIdleConnections)
	response, err := client.Do(r) // the context ends it
	if err != nil {
		f.t.Fatal(err)
	}
	return &listener{Reader: bufio.NewReader(response.Body), response: response, f: f}
}

// next reads an event as EventSource does.
func (l *listener) next() (id, name, data string) {
	l.f.t.Helper()
	var lines []string
	for {
		line, err := l.ReadString('\n')
		if err != nil {
			l.f.t.Fatalf("the stream ends: %v", err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			if len(lines) > 0 {
				return id, name, strings.Join(lines, "\n")
			}
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			lines = append(lines, value)
		case "retry":
			l.retry, _ = strconv.Atoi(value)
		case ":":
			return "", "comment", ""
		default:
			l.f.t.Fatalf("got the line %q", line)
		}
	}
}

func (l *listener) want(name, data string) (id string) {
	l.f.t.Helper()
	id, gotName, gotData := l.next()
	data = regexp.QuoteMeta(data)
	data = strings.ReplaceAll(data, `EPOCH`, `\w+`)
	if gotName != name || !regexp.MustCompile("^"+data+"$").MatchString(gotData) {
		l.f.t.Errorf("got %s %s, want %s %s", gotName, gotData, name, data)
	}
	return id
}

// say sends commands, and returns the answer.
func (l *listener) say(commands ...string) (*http.Response, string) {
	l.f.t.Helper()
	l.seq++
	head := fmt.Sprintf(`{"session":%q,"seq":%d}`, l.session, l.seq)
	return l.f.ask("POST", "/v1/commands", "", head+"\n"+strings.Join(commands, "\n"), "Origin: https://page.example")
}

func (l *listener) wantSaid(commands ...string) {
	l.f.t.Helper()
	if r, body := l.say(commands...); r.StatusCode != 202 {
		l.f.t.Errorf("%q: got %s %s", commands, r.Status, body)
	}
}

// openHub is a hub for everybody, that keeps what is said in chat:*.
func openHub() *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Rules = []webrocket.Rule{{Match: "chat:*", History: webrocket.History{Size: 100, TTL: time.Minute}}}
	return h
}

func TestStream(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": openHub()})
	l := f.listen("?channel=news&channel=chat:1&channel=news")
	l.want("subscribed", `{"ok":true,"channel":"news"}`)
	l.want("subscribed", `{"ok":true,"channel":"chat:1","epoch":"EPOCH"}`)
	f.want("POST", "/v1/publish/news?event=e", "", `{"a":`+"\n\r\n\r"+`[1]}`, 200, `"ok"`)
	if id := l.want("", `{"event":"e","channel":"news","data":{"a":`+"\n\n\n"+`[1]}}`); id != "" {
		t.Errorf("an event without an offset has the id %q", id)
	}
	f.want("POST", "/v1/publish/chat:1", "", `1`, 200, `"ok"`)
	if id := l.want("", `{"event":"message","channel":"chat:1","data":1,"offset":1}`); !regexp.MustCompile(`^chat%3A1@\w+\.1$`).MatchString(id) {
		t.Errorf("got the id %q", id)
	}
}

// Commands are obeyed in their order, and answered in the stream.
func TestCommands(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": locked()})
	l := f.listen("")
	l.wantSaid(`{"auth":{"access":"read-write","secret":"rw"},"id":1}`, `{"subscribe":{"channel":"news"},"id":2}`, "", `nonsense`,
		`{"publish":{"channel":"news","event":"e","data":1},"id":3}`)
	_, _, data := l.next()
	if !strings.HasPrefix(data, `{"ok":true,"id":1`) {
		t.Errorf("got %s", data)
	}
	l.want("", `{"ok":true,"id":2}`)
	if _, _, data := l.next(); !strings.Contains(data, "invalid_data") {
		t.Errorf("nonsense: got %s", data)
	}
	l.want("", `{"ok":true,"id":3}`)
	l.want("", `{"event":"e","channel":"news","data":1}`)
	l.seq-- // the answer was lost
	l.wantSaid(`{"publish":{"channel":"news","event":"again"}}`)
	l.wantSaid(`{"publish":{"channel":"news","event":"next"},"id":4}`)
	l.want("", `{"ok":true,"id":4}`)
	l.want("", `{"event":"next","channel":"news"}`)
	l.seq++
	if r, body := l.say(`{}`); r.StatusCode != 409 || !strings.Contains(body, "want seq 3") {
		t.Errorf("a hole: got %s %s", r.Status, body)
	}
	l.seq = 2
	if r, body := l.say(strings.Repeat("{}\n", 65)); r.StatusCode != 400 {
		t.Errorf("65 commands: got %s %s", r.Status, body)
	}
	other := &listener{session: l.session + "x", f: f}
	if r, body := other.say(); r.StatusCode != 404 || !strings.Contains(body, "no_session") || r.Header.Get("Access-Control-Allow-Origin") != "https://page.example" {
		t.Errorf("another session: got %s %s %v", r.Status, body, r.Header)
	}
	f.want("POST", "/v1/commands", "", "nonsense", 400, `the first line`)
	l.seq = 2
	l.wantSaid(`{"disconnect":true}`)
	if _, _, data := l.next(); data != `{"ok":true}` {
		t.Errorf("disconnect: got %s", data)
	}
	l.want("close", `{"code":1000,"reason":"`+""+`"}`)
	if r, _ := l.say(`{}`); r.StatusCode != 404 {
		t.Errorf("after the end: got %s, want 404", r.Status)
	}
}

// Who comes back with the id of its last event gets what it has missed in each
// channel, or is told that it cannot.
func TestStreamRecovery(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": openHub()})
	l := f.listen("?channel=chat:1&channel=chat:2")
	l.next()
	l.next()
	publish := func(channel, data string) {
		t.Helper()
		f.want("POST", "/v1/publish/"+channel, "", data, 200, `"ok"`)
	}
	publish("chat:1", "1")
	publish("chat:2", "1")
	l.next()
	last := l.want("", `{"event":"message","channel":"chat:2","data":1,"offset":1}`)
	_ = l.response.Body.Close()
	publish("chat:1", "2")
	publish("chat:2", "2")
	for _, how := range []string{"header", "query"} {
		query, field := "?channel=chat:1&channel=chat:2", "Last-Event-ID: "+last
		if how == "query" {
			query, field = query+"&since="+strings.ReplaceAll(last, "%", "%25"), "X: y"
		}
		l = f.listen(query, field)
		heard := map[string]bool{}
		for range 4 {
			_, name, data := l.next()
			heard[name+" "+regexp.MustCompile(`"epoch":"\w+"`).ReplaceAllString(data, `"epoch":""`)] = true
		}
		for _, want := range []string{
			`subscribed {"ok":true,"channel":"chat:1","epoch":"","offset":1,"top":2,"recovered":true}`,
			`subscribed {"ok":true,"channel":"chat:2","epoch":"","offset":1,"top":2,"recovered":true}`,
			` {"event":"message","channel":"chat:1","data":2,"offset":2}`, ` {"event":"message","channel":"chat:2","data":2,"offset":2}`,
		} {
			if !heard[want] {
				t.Errorf("%s: got %v, want %s", how, heard, want)
			}
		}
	}
	for _, bad := range []string{"nonsense", "chat%3A1@x", "chat%3A1@x.y", "%zz@a.1", strings.Repeat("x", 3000), `chat%3A1@"}.1`} {
		l = f.listen("?channel=chat:1", "Last-Event-ID: "+bad)
		l.want("subscribed", `{"ok":true,"channel":"chat:1","epoch":"EPOCH","offset":2}`)
	}
	l = f.listen("?channel=chat:1", "Last-Event-ID: chat%3A1@other.1")
	l.want("subscribed", `{"ok":true,"reason":"epoch","channel":"chat:1","epoch":"EPOCH","offset":2,"recovered":false}`)
}

// What a hub refuses is an HTTP error, which a page of any origin can read.
func TestStreamRefusals(t *testing.T) {
	h := locked()
	h.Origins = []string{"https://page.example"}
	limited := openHub()
	limited.MaxSubscriptions = 2
	refusing := webrocket.NewJSONHandler()
	refusing.OnConnect = func(*webrocket.HubRequest) (*webrocket.Identity, error) {
		return nil, fmt.Errorf("not today")
	}
	f := serve(t, map[string]*webrocket.HubHandler{"/": h, "/open": openHub(), "/refusing": refusing, "/limited": limited})
	for _, tt := range []struct {
		query, field string
		status       int
		want         string
	}{
		{"?channel=news", "Origin: https://page.example", 403, `access_denied`},
		{"", "Authorization: Bearer nonsense", 401, `invalid_credentials`},
		{"", "Origin: https://elsewhere.example", 403, `Pages of this origin`},
		{"?channel=a;b", "", 400, `semicolon`},
		{"?hub=/nowhere", "", 404, `invalid_hub`},
		{"?hub=../x", "", 404, `invalid_hub`},
		{"?hub=/open&channel=%01", "", 400, `invalid_channel_name`},
		{"?hub=/limited&channel=a&channel=b&channel=c", "", 400, `MaxSubscriptions`},
		{"?hub=/refusing&channel=a", "", 403, `not today`},
	} {
		l := f.open(tt.query, tt.field)
		body, _ := l.ReadString(0)
		if l.response.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: got %s %s, want %d %s", tt.query, l.response.Status, body, tt.status, tt.want)
		}
		if origin, ok := strings.CutPrefix(tt.field, "Origin: "); ok {
			if l.response.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: pages may read what comes for a cookie: %v", tt.query, l.response.Header)
			}
			if l.response.Header.Get("Access-Control-Allow-Origin") != origin || l.response.Header.Get("Vary") != "Origin" {
				t.Errorf("%s: got %v", tt.query, l.response.Header)
			}
		}
	}
	r, _ := f.ask("OPTIONS", "/v1/stream", "", "", "Origin: https://page.example", "Access-Control-Request-Headers: authorization")
	if h := r.Header; r.StatusCode != 204 || h.Get("Access-Control-Allow-Headers") == "" || h.Get("Access-Control-Max-Age") != "7200" {
		t.Errorf("OPTIONS: got %s %v", r.Status, r.Header)
	}
}

// A client that has gone leaves nothing, and its session is unknown.
func TestStreamEnds(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": openHub()})
	l := f.listen("?channel=news")
	if n := f.Connections(); n != 1 {
		t.Errorf("got %d connections, want that of the stream", n)
	}
	_ = l.response.Body.Close()
	for deadline := time.Now().Add(time.Minute); f.Connections()+f.HTTPStats().Connections > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", f.Connections())
		}
	}
	if r, _ := l.say(`{}`); r.StatusCode != 404 {
		t.Errorf("got %s, want 404", r.Status)
	}
}

// A stream on which nothing happens says so, for the proxies in between.
func TestStreamIsNeverSilent(t *testing.T) {
	t.Cleanup(httpapi.SetQuiet(50 * time.Millisecond)) // when the server, which begins later, has ended
	f := serve(t, map[string]*webrocket.HubHandler{"/": openHub()})
	l := f.listen("?channel=news")
	l.next()
	l.want("comment", "")
	l = f.listen("?channel=news&beat=1")
	l.next()
	l.want("beat", "{}")
}

// A drain ends streams with the code of a WebSocket connection.
func TestStreamDrain(t *testing.T) {
	f := serve(t, map[string]*webrocket.HubHandler{"/": openHub()})
	l := f.listen("?channel=news")
	l.next()
	drained := make(chan error)
	go func() { drained <- f.Drain(t.Context(), 0) }()
	l.want("close", `{"code":1001,"reason":"server is stopping"}`)
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

// A client that does not read loses events, or its stream, by the hub's policy; the
// others hear all.
func TestStreamSlowReaders(t *testing.T) {
	for _, policy := range []webrocket.SlowPolicy{webrocket.Disconnect, webrocket.DropOldest} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			h := openHub()
			h.MaxQueuedBytes, h.SlowReaders = 64<<10, policy
			f := serve(t, map[string]*webrocket.HubHandler{"/": h}, func(s *webrocket.Server) {
				s.Config.SendBuffer = 16 << 10
				s.Config.CloseTimeout = time.Minute // a slow reader is slow to read the end too
			})
			conn, err := net.Dial("tcp", f.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprintf(conn, "GET /v1/stream?channel=news HTTP/1.1\r\nHost: h\r\n\r\n")
			good := f.listen("?channel=news")
			good.next()
			for list, _, _ := f.Channels("/", "news", nil, 1); len(list) == 0 || list[0].Subscribers < 2; list, _, _ = f.Channels("/", "news", nil, 1) {
				time.Sleep(time.Millisecond)
			}
			data := `"` + strings.Repeat("x", 30<<10) + `"`
			const events = 150
			for i := range events {
				f.want("POST", fmt.Sprintf("/v1/publish/news?event=%d", i), "", data, 200, `"ok"`)
				if _, _, got := good.next(); !strings.HasPrefix(got, fmt.Sprintf(`{"event":"%d",`, i)) {
					t.Fatalf("got %.40s, want event %d", got, i)
				}
			}
			// Now the slow one reads: what has been kept for it, then how that ends.
			slow := &listener{Reader: bufio.NewReaderSize(conn, 1<<20), f: f}
			response, err := http.ReadResponse(slow.Reader, nil) // that would read it to its end
			if err != nil {
				t.Fatal(err)
			}
			slow.Reader = bufio.NewReader(response.Body)
			for heard := 0; ; {
				_, name, got := slow.next()
				switch {
				case name == "close" && policy == webrocket.Disconnect && strings.HasPrefix(got, `{"code":1013,`):
					return
				case strings.HasPrefix(got, `{"lost":`) && policy == webrocket.DropOldest:
					return
				case strings.HasPrefix(got, `{"event":`):
					if heard++; heard == events {
						t.Fatal("the slow reader has heard everything")
					}
				case name != "open" && name != "subscribed" && name != "comment":
					t.Fatalf("got %s %.80s", name, got)
				}
			}
		})
	}
}

// A client that goes before its stream begins is no fault of the server.
func TestGoneBeforeTheStream(t *testing.T) {
	var f *fixture
	f = serve(t, map[string]*webrocket.HubHandler{"/": openHub()}, func(s *webrocket.Server) {
		s.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done() // the client has gone
			f.api.ServeHTTP(w, r)
		})
	})
	conn, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /v1/stream?channel=news HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = conn.Close()
	for deadline := time.Now().Add(time.Minute); ; {
		switch got := f.api.Requests(); {
		case len(got) == 1 && got[0] == httpapi.Requests{Route: "/v1/stream", Status: 499, Count: 1}:
			return
		case len(got) > 0 || time.Now().After(deadline):
			t.Fatalf("counted %+v, want one 499", got)
		}
	}
}
