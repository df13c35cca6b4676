package webrocket_test

import (
	"context"
	"log/slog"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// hubs are handlers by path.
type hubs map[string]webrocket.Handler

// serve starts a server with two loops, which ends with the test.
func serve(t testing.TB, handlers hubs, set ...func(*webrocket.Config)) *webrocket.Server {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s.Config.Loops = 2
	for _, f := range set {
		f(&s.Config)
	}
	for path, h := range handlers {
		if err := s.Handle(path, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t testing.TB, s *webrocket.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// waitFor returns when it is so.
func waitFor(t testing.TB, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); runtime.Gosched() {
		if time.Since(begin) > patience {
			t.Fatal("it does not come to that")
		}
	}
}

// client is one connection.
type client struct {
	t  testing.TB
	ws *websocket.Conn
}

// dial connects. The connection ends with the test.
func dial(t testing.TB, s *webrocket.Server, path string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatalf("Dial %s: %v", path, err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t, ws}
}

func (c *client) send(kind websocket.MessageType, message string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, kind, []byte(message)); err != nil {
		c.t.Fatalf("send %.100q: %v", message, err)
	}
}

func (c *client) write(message string) {
	c.t.Helper()
	c.send(websocket.MessageText, message)
}

func (c *client) read() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	return string(b), err
}

// want reads one message.
func (c *client) want(message string) {
	c.t.Helper()
	got, err := c.read()
	if err != nil {
		c.t.Fatalf("got %v, want %.200q", err, message)
	}
	if strings.Contains(message, documentedClient) {
		got = clientID.ReplaceAllString(got, `"client":"`+documentedClient+`"`)
	}
	if got != message && terse(got) != message {
		c.t.Fatalf("got %.200q, want %.200q", got, message)
	}
}

// documentedClient stands for the id of a client, whatever it is.
const documentedClient = "9fXq2LmA0cE"

var clientID = regexp.MustCompile(`"client":"[\w-]{11}"`)

// terse returns a reply to a login without what it says of the connection, which is
// another thing each time.
func terse(message string) string {
	if head, _, ok := strings.Cut(message, `,"client":"`); ok && strings.HasPrefix(head, `{"ok":true`) {
		return head + "}"
	}
	return message
}

// wantClose reads the end of the connection.
func (c *client) wantClose(code int) {
	c.t.Helper()
	message, err := c.read()
	if err == nil {
		c.t.Fatalf("got %.200q, want the end with %d", message, code)
	}
	if got := websocket.CloseStatus(err); int(got) != code {
		c.t.Fatalf("got %v, want the end with %d", err, code)
	}
}

// talk holds a dialogue: each line has the name of a client and
//
//	@ /path     it connects; without this line, to /
//	> message   it sends
//	< message   it gets, next of all; what a login says of the client may be missing
//	            here, or be given as ",…}"
//	? part      it gets a message with this part, next of all
//	! code      it gets a Close frame, next of all
//
// A client id that a login is said to have stands for the one that it has, in later
// lines too. Lines that begin with # say what for.
func talk(t *testing.T, s *webrocket.Server, dialogue string) {
	t.Helper()
	clients := map[string]*client{}
	var ids []string // that are said, and those that they stand for
	for line := range strings.Lines(dialogue) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		verb, text, _ := strings.Cut(rest, " ")
		if verb == "@" {
			clients[name] = dial(t, s, text)
			continue
		}
		c := clients[name]
		if c == nil {
			c = dial(t, s, "/")
			clients[name] = c
		}
		t.Log(line)
		switch verb {
		case ">":
			c.write(text)
		case "<":
			if id := loginID.FindStringSubmatch(text); id != nil && !slices.Contains(ids, id[1]) {
				got, err := c.read()
				has := loginID.FindStringSubmatch(got)
				if err != nil || has == nil {
					t.Fatalf("got %q, %v, want the reply to a login", got, err)
				}
				ids = append(ids, id[1], has[1])
				continue
			}
			c.want(strings.NewReplacer(append(ids, ",…}", "}")...).Replace(text))
		case "?":
			if got, err := c.read(); err != nil || !strings.Contains(got, text) {
				t.Fatalf("got %q, %v, want something with %q", got, err, text)
			}
		case "!":
			code, _ := strconv.Atoi(text)
			c.wantClose(code)
		default:
			t.Fatalf("not a line of a dialogue: %q", line)
		}
	}
}

// loginID finds the client id in the reply to a login.
var loginID = regexp.MustCompile(`^{"ok":true.*"client":"([\w-]{11})"`)

// locked is a hub with both secrets.
func locked() *webrocket.HubHandler {
	h := webrocket.NewJSONHandler()
	h.Secrets = webrocket.Credentials{ReadOnly: "r", ReadWrite: "rw"}
	return h
}
