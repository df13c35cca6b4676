package webrocket_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

func reload(t *testing.T, s *webrocket.Server, handlers hubs) {
	t.Helper()
	if err := s.Reload(s.Config, handlers); err != nil {
		t.Fatalf("Reload: %v", err)
	}
}

// login logs a client in.
func login(t *testing.T, s *webrocket.Server, path, access, secret string) *client {
	t.Helper()
	c := dial(t, s, path)
	c.write(`{"auth":{"access":"` + access + `","secret":"` + secret + `"}}`)
	c.want(`{"ok":true}`)
	return c
}

// Who has logged in with a secret that is gone is closed with 4401; the others
// keep what they have.
func TestReloadSecrets(t *testing.T) {
	s := serve(t, hubs{"/": locked(), "/open": webrocket.NewJSONHandler()})
	reader := login(t, s, "/", "read-only", "r")
	writer := login(t, s, "/", "read-write", "rw")
	writer.write(`{"subscribe":{"channel":"c"}}`)
	writer.want(`{"ok":true}`)
	stranger := dial(t, s, "/")
	guest := login(t, s, "/open", "read-write", "any")

	next, closed := locked(), webrocket.NewJSONHandler()
	next.Secrets.ReadOnly = "new"
	closed.Secrets.ReadWrite = "now there is one"
	reload(t, s, hubs{"/": next, "/open": closed})
	reader.wantClose(4401)
	guest.wantClose(4401)
	writer.write(`{"publish":{"event":"e","channel":"c"}}`)
	writer.want(`{"ok":true}`)
	writer.want(`{"event":"e","channel":"c"}`)
	stranger.write(`{"auth":{"access":"read-only","secret":"r"}}`)
	stranger.want(`{"err":"invalid_credentials"}`)
	stranger.write(`{"auth":{"access":"read-only","secret":"new"}}`)
	stranger.want(`{"ok":true}`)

	// A hub that is opened logs nobody out.
	reload(t, s, hubs{"/": webrocket.NewJSONHandler(), "/open": closed})
	if err := s.Check(t.Context()); err != nil { // every loop has heard of it
		t.Fatal(err)
	}
	writer.write(`{"publish":{"event":"e","channel":"c"}}`)
	writer.want(`{"ok":true}`)
	stranger.write(`{"subscribe":{"channel":"d"}}`)
	stranger.want(`{"ok":true}`)
}

// A session stays as long as the secret that it logged in with opens its access,
// also if that is the read-write secret and the access is for reading.
func TestReloadSecretUsedForReading(t *testing.T) {
	secrets := func(readOnly, readWrite string) hubs {
		h := webrocket.NewJSONHandler()
		h.Secrets = webrocket.Credentials{ReadOnly: readOnly, ReadWrite: readWrite}
		return hubs{"/": h}
	}
	for _, tt := range []struct {
		name          string
		before, after hubs
		secret        string
		stays         bool
	}{
		{"the read-write secret, another read-only one", secrets("r", "rw"), secrets("new", "rw"), "rw", true},
		{"the read-write secret, another read-write one", secrets("r", "rw"), secrets("r", "new"), "rw", false},
		{"the read-write secret becomes the read-only one", secrets("r", "rw"), secrets("rw", "new"), "rw", true},
		{"the read-write secret, then reading is open", secrets("r", "rw"), secrets("", "new"), "rw", true},
		{"the read-write secret where reading was open", secrets("", "rw"), secrets("r", "rw"), "rw", true},
		{"any secret where reading was open", secrets("", "rw"), secrets("r", "rw"), "any", false},
		{"the read-only secret, another read-write one", secrets("r", "rw"), secrets("r", "new"), "r", true},
		{"the read-only secret becomes the read-write one", secrets("r", "rw"), secrets("new", "r"), "r", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.before)
			reader := login(t, s, "/", "read-only", tt.secret)
			reload(t, s, tt.after)
			if !tt.stays {
				reader.wantClose(4401)
				return
			}
			if err := s.Check(t.Context()); err != nil { // every loop has heard of it
				t.Fatal(err)
			}
			reader.write(`{"subscribe":{"channel":"c"}}`)
			reader.want(`{"ok":true}`)
		})
	}
}

// reloader is a codec that reloads the server when it sees a message, before what
// was sent behind that is looked at.
type reloader struct {
	webrocket.Codec
	reload func()
}

func (r *reloader) ParseCommand(b []byte, c *codec.Command) error {
	if string(b) == `{"logout":true}` {
		r.reload()
	}
	return r.Codec.ParseCommand(b, c)
}

// Who has logged in with a secret that is new stays, however early.
func TestLoginRightAfterReload(t *testing.T) {
	server, result := make(chan *webrocket.Server, 1), make(chan error, 1)
	c := &reloader{Codec: codec.JSON{}}
	handler := func(secret string) *webrocket.HubHandler {
		h := webrocket.NewHandler(c)
		h.Secrets.ReadOnly = secret
		return h
	}
	c.reload = func() {
		s := <-server
		result <- s.Reload(s.Config, hubs{"/": handler("new")})
	}
	s := serve(t, hubs{"/": handler("old")})
	server <- s
	early := dialRaw(t, s, "/")
	early.queue(`{"logout":true}`)
	early.queue(`{"auth":{"access":"read-only","secret":"new"}}`)
	early.command(`{"subscribe":{"channel":"c"}}`)
	for range 3 {
		if _, reply := early.frame(); reply != `{"ok":true}` {
			t.Fatalf("got %s", reply)
		}
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil { // what Reload has left to do is done
		t.Fatal(err)
	}
	early.command(`{"unsubscribe":{"channel":"c"}}`)
	if _, reply := early.frame(); reply != `{"ok":true}` {
		t.Errorf("got %q, want to stay", reply)
	}
}

// A handler that was good may be used again after a reload that failed because of
// another one.
func TestReloadAgain(t *testing.T) {
	s := serve(t, hubs{"/": locked()})
	good, bad := locked(), &webrocket.HubHandler{}
	for range 20 { // the order of a map is any
		if err := s.Reload(s.Config, hubs{"/": locked(), "/good": good, "/bad": bad}); err == nil {
			t.Fatal("a handler without a codec is reloaded")
		}
	}
	shared := locked()
	if err := s.Reload(s.Config, hubs{"/one": shared, "/two": shared}); err == nil {
		t.Error("one handler serves two paths")
	}
	reload(t, s, hubs{"/": locked(), "/good": good, "/one": shared})
	login(t, s, "/good", "read-only", "r")
	login(t, s, "/one", "read-only", "r")
}

func TestReloadHubs(t *testing.T) {
	s := serve(t, hubs{"/": locked(), "/old": locked()})
	stays, goes := dial(t, s, "/"), dial(t, s, "/old")
	reload(t, s, hubs{"/": locked(), "/new": webrocket.NewJSONHandler()})
	goes.wantClose(1001)
	stays.write(`{"logout":true}`)
	stays.want(`{"ok":true}`)
	dial(t, s, "/new")
	response, err := http.Get("http://" + s.Addr().String() + "/old")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("the old path: got %s", response.Status)
	}
	if err := s.Publish("/old", "c", "e", nil); err == nil {
		t.Error("Publish to the old path is no error")
	}
}

// New limits and channels are in force for the connections that are there.
func TestReloadLimits(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Channels = []string{"one", "two"}
	s := serve(t, hubs{"/": h})
	c := login(t, s, "/", "read-write", "")
	next := webrocket.NewJSONHandler()
	next.Channels = []string{"two", "three"}
	next.MaxSubscriptions = 1
	next.MaxMessageSize = 100
	reload(t, s, hubs{"/": next})
	for _, step := range []struct{ command, reply string }{
		{`{"publish":{"event":"e","channel":"one"}}`, `{"err":"invalid_channel"}`},
		{`{"publish":{"event":"e","channel":"two"}}`, `{"ok":true}`},
		{`{"publish":{"event":"e","channel":"three"}}`, `{"ok":true}`},
		{`{"subscribe":{"channel":"a"}}`, `{"ok":true}`},
		{`{"subscribe":{"channel":"b"}}`, `{"err":"limit_exceeded"}`},
	} {
		c.write(step.command)
		c.want(step.reply)
	}
	c.write(strings.Repeat(" ", 101))
	c.wantClose(1009)
}

// Every setting of an endpoint is the handler's, from the start and after Reload.
func TestReloadEndpoint(t *testing.T) {
	h := webrocket.NewJSONHandler()
	h.Origins = []string{"https://example.com"}
	h.Subprotocols = []string{"rocket.v1"}
	h.MaxMessageSize, h.MaxQueuedBytes = 1000, 2000
	h.SlowReaders = webrocket.DropOldest
	h.Compression, h.CompressionThreshold = true, 3000
	next := webrocket.NewJSONHandler()
	next.Origins = []string{"https://other.example"}
	next.Subprotocols = []string{"rocket.v2"}
	next.MaxMessageSize, next.MaxQueuedBytes = 1001, 2001
	next.SlowReaders = webrocket.Conflate
	next.CompressionThreshold = 3001

	s := serve(t, hubs{"/": h})
	wantEndpoint(t, s.EndpointAt("/"), h)
	reload(t, s, hubs{"/": next})
	wantEndpoint(t, s.EndpointAt("/"), next)
}

// wantEndpoint fails unless the endpoint has what the fields of h say.
func wantEndpoint(t *testing.T, endpoint webrocket.Endpoint, h *webrocket.HubHandler) {
	t.Helper()
	got, from := reflect.ValueOf(endpoint), reflect.ValueOf(h).Elem()
	for _, field := range reflect.VisibleFields(got.Type()) {
		name, ok := field.Name, field.IsExported()
		switch name {
		case "Protocol":
			ok = false
		case "Lost", "Unfinished":
			if got.FieldByIndex(field.Index).IsNil() {
				t.Errorf("%s is not set", name)
			}
			ok = false
		}
		if !ok {
			continue
		}
		if want := from.FieldByName(name).Interface(); !reflect.DeepEqual(got.FieldByIndex(field.Index).Interface(), want) {
			t.Errorf("%s: got %v, want %v", field.Name, got.FieldByIndex(field.Index), want)
		}
	}
}

// New origins and subprotocols are for newcomers: who is there stays.
func TestReloadOrigins(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	const page = "Origin: https://elsewhere.example\r\n"
	old, err := connectOffering(t, s.Addr().String(), "/", page)
	if err != nil {
		t.Fatal(err)
	}
	defer old.conn.Close()
	next := webrocket.NewJSONHandler()
	next.Origins = []string{"https://example.com"}
	next.Subprotocols = []string{"rocket.v1"}
	reload(t, s, hubs{"/": next})
	if c, err := connectOffering(t, s.Addr().String(), "/", page); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a newcomer from elsewhere: got %v, %v, want 403", c, err)
	}
	ws, response, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/", &websocket.DialOptions{Subprotocols: []string{"rocket.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	if got := response.Header.Get("Sec-WebSocket-Protocol"); got != "rocket.v1" {
		t.Errorf("a newcomer's subprotocol: got %q", got)
	}
	old.command(`{"logout":true}`)
	if _, reply := old.frame(); reply != `{"ok":true}` {
		t.Errorf("who was there: got %s", reply)
	}
}

// Compression is agreed on by newcomers. Who is there hears everything, whatever
// was agreed on before.
func TestReloadCompression(t *testing.T) {
	const offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	plain, packed := webrocket.NewJSONHandler(), webrocket.NewJSONHandler()
	packed.Compression = true
	s := serve(t, hubs{"/": plain})
	var clients []*rawClient
	for _, h := range []*webrocket.HubHandler{nil, packed, plain} {
		if h != nil {
			next := webrocket.NewJSONHandler()
			next.Compression = h.Compression
			reload(t, s, hubs{"/": next})
		}
		c, err := connectOffering(t, s.Addr().String(), "/", offer)
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		for _, command := range []string{`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
			c.command(command)
			if _, reply := c.frame(); reply != `{"ok":true}` {
				t.Fatalf("got %s", reply)
			}
		}
		clients = append(clients, c)
		for i := range 3 {
			data := strings.Repeat(string(rune('a'+i)), 2000)
			if err := s.Publish("/", "c", "e", data); err != nil {
				t.Fatal(err)
			}
			for j, c := range clients {
				first, err := c.in.Peek(1)
				if err != nil {
					t.Fatal(err)
				}
				// The second has agreed on it, and the third undoes it.
				if packed, want := first[0]&0x40 != 0, j == 1 && len(clients) == 2; packed != want {
					t.Errorf("client %d of %d: compressed %t, want %t", j, len(clients), packed, want)
				}
				if _, got := c.frame(); got != `{"event":"e","channel":"c","data":"`+data+`"}` {
					t.Fatalf("client %d: got %.60q", j, got)
				}
			}
		}
	}
}

// What is wrong changes nothing, and is said.
func TestReloadOfNonsense(t *testing.T) {
	s := serve(t, hubs{"/": locked()})
	c := login(t, s, "/", "read-only", "r")
	wrong := webrocket.NewJSONHandler()
	wrong.Channels = []string{""}
	unsent := webrocket.NewJSONHandler()
	unsent.Origins = []string{"example.com"}
	for _, test := range []struct {
		name, want string
		handlers   hubs
	}{
		{"nothing", "nothing to serve", nil},
		{"a channel", "cannot name a channel", hubs{"/": wrong}},
		{"a new hub", "no codec", hubs{"/": webrocket.NewJSONHandler(), "/new": &webrocket.HubHandler{}}},
		{"a path", `write "/new"`, hubs{"/": webrocket.NewJSONHandler(), "new": webrocket.NewJSONHandler()}},
		{"an origin", `write "https://example.com"`, hubs{"/": unsent}},
		{"an origin of a new hub", `write "https://example.com"`, hubs{"/": webrocket.NewJSONHandler(), "/new": unsent}},
		{"no handler", "there is no handler", hubs{"/": nil}},
	} {
		err := s.Reload(s.Config, test.handlers)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want that %s", test.name, err, test.want)
		}
	}
	c.write(`{"subscribe":{"channel":"c"}}`)
	c.want(`{"ok":true}`)
	if err := webrocket.NewServer("").Reload(webrocket.Config{}, hubs{"/": locked()}); err == nil {
		t.Error("a server that does not run reloads")
	}
}

// Reloading while messages go back and forth loses and doubles nothing.
func TestReloadUnderLoad(t *testing.T) {
	s := serve(t, hubs{"/": locked()})
	reader := login(t, s, "/", "read-only", "r")
	reader.write(`{"subscribe":{"channel":"c"}}`)
	reader.want(`{"ok":true}`)
	writer := login(t, s, "/", "read-write", "rw")
	done := make(chan struct{})
	var reloading sync.WaitGroup
	reloading.Go(func() {
		for i := 0; ; i++ {
			next := locked()
			next.MaxSubscriptions = 1 + i%3
			next.SlowReaders = []webrocket.SlowPolicy{webrocket.Disconnect, webrocket.Conflate, webrocket.DropOldest, webrocket.Replay}[i%4]
			if err := s.Reload(s.Config, hubs{"/": next}); err != nil {
				t.Errorf("Reload: %v", err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range 500 {
		command, want := event("c", i%26)
		writer.write(command)
		writer.want(`{"ok":true}`)
		reader.want(want)
	}
	close(done)
	reloading.Wait()
}

// A hub that comes at run time has numbers of its own, and one that stays keeps
// those it has. PublishJSON obeys the new limits.
func TestReloadCounts(t *testing.T) {
	s := serve(t, hubs{"/": locked(), "/old": locked()})
	old := login(t, s, "/", "read-only", "r")
	next := locked()
	next.MaxMessageSize = 100
	reload(t, s, hubs{"/": next, "/new": locked()})
	login(t, s, "/new", "read-only", "r")
	old.write(`{"logout":true}`)
	old.want(`{"ok":true}`)
	stats := s.Stats(t.Context()).Hubs
	want := map[string]int{"/": 2, "/new": 1}
	for _, h := range stats {
		if h.Connections != 1 || len(h.Commands) != want[h.Name] {
			t.Errorf("%s: got %+v, want a connection and %d kinds of commands", h.Name, h, want[h.Name])
		}
	}
	if len(stats) != 2 {
		t.Errorf("got %d hubs, want 2", len(stats))
	}
	if err := s.PublishJSON("/", "c", "e", []byte(`"`+strings.Repeat("x", 100)+`"`)); !errors.Is(err, webrocket.ErrTooLarge) {
		t.Errorf("PublishJSON: got %v, want %v", err, webrocket.ErrTooLarge)
	}
}

// Handlers of one hub must agree about its settings, and a hub is not given any
// beside those of NewHub.
func TestSettingsOfAHubOnce(t *testing.T) {
	newHub := func() *webrocket.Hub {
		h, err := webrocket.NewHub("shared", webrocket.HubConfig{})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	handler := func(h *webrocket.Hub) *webrocket.HubHandler {
		handler := webrocket.NewJSONHandler()
		handler.Hub = h
		return handler
	}
	a := newHub()
	s := serve(t, hubs{"/": handler(a), "/b": handler(a)})
	twice := handler(newHub())
	twice.Secrets.ReadWrite = "rw"
	for _, tt := range []struct {
		name, want string
		handlers   hubs
	}{
		{"two hubs lend settings", "other settings", hubs{"/": handler(newHub()), "/b": handler(newHub())}},
		{"two hubs lend settings, at new paths", "other settings", hubs{"/c": handler(newHub()), "/d": handler(newHub())}},
		{"a hub and settings beside it", "give the settings to NewHub", hubs{"/": twice}},
	} {
		if err := s.Reload(s.Config, tt.handlers); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if err := webrocket.NewServer("").Handle("/", twice); err == nil || !strings.Contains(err.Error(), "NewHub") {
		t.Errorf("Handle with a hub and settings beside it: got %v, want an error", err)
	}
	next := newHub()
	reload(t, s, hubs{"/": handler(next), "/b": handler(next)})
	reload(t, s, hubs{"/": handler(a), "/b": handler(newHub())}) // one keeps the settings, the other one changes them
}

// Two paths that end in braces at one place stand for the same paths.
func TestTwoPathsInBraces(t *testing.T) {
	s := serve(t, hubs{"/": webrocket.NewJSONHandler()})
	err := s.Reload(s.Config, hubs{"/app/{a}": webrocket.NewJSONHandler(), "/app/{b}": webrocket.NewJSONHandler()})
	if err == nil || !strings.Contains(err.Error(), "same paths") {
		t.Errorf("Reload: got %v, want an error", err)
	}
	reload(t, s, hubs{"/app/{a}": webrocket.NewJSONHandler(), "/app/x": webrocket.NewJSONHandler()})
	other := webrocket.NewServer("")
	if err := other.Handle("/app/{a}", webrocket.NewJSONHandler()); err != nil {
		t.Fatal(err)
	}
	if err := other.Handle("/app/{b}", webrocket.NewJSONHandler()); err == nil || !strings.Contains(err.Error(), "/app/{a}") {
		t.Errorf("Handle: got %v, want an error that names the other path", err)
	}
	if err := other.Handle("/app/{a}/b", webrocket.NewJSONHandler()); err == nil {
		t.Error("braces before the end: no error")
	}
}

// door is a handler that serves a hub.
func door(h *webrocket.Hub, limits webrocket.Endpoint) *webrocket.HubHandler {
	d := webrocket.NewJSONHandler()
	d.Hub, d.Endpoint = h, limits
	return d
}

func newHub(t *testing.T, name string, maxSubscriptions int) *webrocket.Hub {
	t.Helper()
	h, err := webrocket.NewHub(name, webrocket.HubConfig{MaxSubscriptions: maxSubscriptions, Channels: []string{"c"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Two hubs of one name are refused as Handle refuses them, and one hub at several
// paths is not, whichever path comes first.
func TestReloadNamesOfHubs(t *testing.T) {
	for range 20 { // the order of a map
		h := newHub(t, "shared", 1)
		s := serve(t, hubs{"/": door(h, webrocket.Endpoint{}), "/own": webrocket.NewJSONHandler()})
		twice, other := newHub(t, "other", 5), newHub(t, "other", 6)
		for name, handlers := range map[string]hubs{
			"two new ones":                    {"/a": door(twice, webrocket.Endpoint{}), "/b": door(other, webrocket.Endpoint{})},
			"two in the place of one":         {"/": door(newHub(t, "shared", 2), webrocket.Endpoint{}), "/b": door(newHub(t, "shared", 3), webrocket.Endpoint{})},
			"one named as a path":             {"/new": webrocket.NewJSONHandler(), "/b": door(newHub(t, "/new", 2), webrocket.Endpoint{})},
			"one named as a path with a hub":  {"/own": webrocket.NewJSONHandler(), "/b": door(newHub(t, "/own", 2), webrocket.Endpoint{})},
			"a handler at two paths":          {"/x": nil, "/y": nil},
			"a handler that is in use, moved": {"/": door(h, webrocket.Endpoint{}), "/b": nil},
		} {
			same := door(h, webrocket.Endpoint{})
			for path, handler := range handlers {
				if handler == nil {
					handlers[path] = same
				}
			}
			if name == "a handler that is in use, moved" {
				if err := s.Reload(s.Config, hubs{"/": door(h, webrocket.Endpoint{}), "/b": same}); err != nil {
					t.Fatal(err)
				}
				handlers = hubs{"/": door(h, webrocket.Endpoint{}), "/c": same}
			}
			if err := s.Reload(s.Config, handlers); err == nil {
				t.Errorf("%s: got no error", name)
			}
			if got := h.Config().MaxSubscriptions; got != 1 {
				t.Errorf("%s: the hub that is served has the limit %d", name, got)
			}
		}
		next := newHub(t, "shared", 4)
		for _, handlers := range []hubs{
			{"/": door(next, webrocket.Endpoint{}), "/b": door(next, webrocket.Endpoint{})},
			{"/moved": door(h, webrocket.Endpoint{}), "/b": door(h, webrocket.Endpoint{})},
			{"/b": door(h, webrocket.Endpoint{}), "/new": door(twice, webrocket.Endpoint{}), "/newer": door(twice, webrocket.Endpoint{})},
		} {
			if err := s.Reload(s.Config, handlers); err != nil {
				t.Fatal(err)
			}
			if got := s.Hub("/b"); got != h || h.Config().MaxSubscriptions != 4 {
				t.Fatalf("got another hub or the limit %d, want 4", h.Config().MaxSubscriptions)
			}
		}
		if s.Hub("/newer") != twice || s.Hub("/") != nil {
			t.Error("paths do not have the hubs that they were given")
		}
		shutdown(t, s)
	}
}

// A reload that fails leaves the limits as they are, and the handlers that it
// would have used can be used again.
func TestReloadFailsWhole(t *testing.T) {
	h := newHub(t, "shared", 1)
	s := serve(t, hubs{"/": door(h, webrocket.Endpoint{})})
	small := door(h, webrocket.Endpoint{MaxMessageSize: 10})
	for range 30 { // the order of a map
		if err := s.Reload(s.Config, hubs{"/": door(h, webrocket.Endpoint{MaxMessageSize: 10}), "/b": small, "/c": &webrocket.HubHandler{}}); err == nil {
			t.Fatal("got no error")
		}
		if err := h.PublishJSON("c", "e", []byte(`"longer than that"`)); err != nil {
			t.Fatalf("a limit of a reload that failed is in force: %v", err)
		}
	}
	reload(t, s, hubs{"/": door(h, webrocket.Endpoint{MaxMessageSize: 10}), "/b": small})
	if err := h.PublishJSON("c", "e", []byte(`"longer than that"`)); !errors.Is(err, webrocket.ErrTooLarge) {
		t.Errorf("got %v, want that it is too large", err)
	}
}

// Where a hub is served at several paths, the limits of one do not undo those of
// another: a program can publish what some client could, and clients that have
// agreed on compression get it.
func TestLimitsOfSeveralPaths(t *testing.T) {
	h := newHub(t, "shared", 1)
	doors := func() hubs {
		return hubs{
			"/a": door(h, webrocket.Endpoint{MaxMessageSize: 100}),
			"/b": door(h, webrocket.Endpoint{Compression: true}),
			"/c": door(h, webrocket.Endpoint{MaxMessageSize: 200}),
		}
	}
	s := serve(t, doors())
	c, err := connectOffering(t, s.Addr().String(), "/b", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	for _, command := range []string{`{"auth":{"access":"read-only","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
		c.command(command)
		if _, reply := c.frame(); reply != `{"ok":true}` {
			t.Fatalf("got %s", reply)
		}
	}
	data := `"` + strings.Repeat("x", 1000) + `"`
	for i := range 20 { // the order of a map
		if err := s.PublishJSON("/a", "c", "e", []byte(data)); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
		first, err := c.in.Peek(1)
		if err != nil {
			t.Fatal(err)
		}
		if first[0]&0x40 == 0 {
			t.Fatalf("reload %d: the event is not compressed", i)
		}
		c.frame()
		reload(t, s, doors())
	}
}

// Publishing goes on while a hub moves from path to path, also with a protocol that
// is new to it.
func TestHubMovesUnderLoad(t *testing.T) {
	h := newHub(t, "shared", 1)
	s := serve(t, hubs{"/stays": door(h, webrocket.Endpoint{}), "/a": door(h, webrocket.Endpoint{})})
	reader := login(t, s, "/stays", "read-only", "")
	reader.write(`{"subscribe":{"channel":"c"}}`)
	reader.want(`{"ok":true}`)
	var publishing sync.WaitGroup
	const events = 300
	sent := make(chan int, events)
	publishing.Go(func() {
		defer close(sent)
		for i := range events {
			if err := s.Publish("shared", "c", "e", i); err != nil {
				t.Errorf("Publish: %v", err)
			}
			s.Stats(t.Context())
			sent <- i
		}
	})
	i := 0
	for range sent {
		i++
		paths := hubs{"/stays": door(h, webrocket.Endpoint{}), "/" + string(rune('a'+i%3)): door(h, webrocket.Endpoint{Compression: i%2 == 0})}
		if i%10 == 0 {
			paths["/other"] = webrocket.NewJSONHandler()
		}
		reload(t, s, paths)
	}
	publishing.Wait()
	for i := range events {
		reader.want(`{"event":"e","channel":"c","data":` + strconv.Itoa(i) + `}`)
	}
}

// What the reply to auth says of times and limits is what is in force.
func TestWelcomeAfterReload(t *testing.T) {
	limited := func(size int) hubs {
		h := webrocket.NewJSONHandler()
		h.MaxMessageSize = size
		return hubs{"/": h}
	}
	s := serve(t, limited(1000))
	c := dial(t, s, "/")
	ask := func(want string) {
		t.Helper()
		c.write(`{"auth":{"access":"read-only","secret":""}}`)
		c.want(`{"ok":true,"client":"` + documentedClient + `","version":"` + webrocket.Version + `"` + want + `}`)
	}
	ask(`,"pingInterval":25,"maxMessageSize":1000`)
	for interval, want := range map[time.Duration]string{
		90 * time.Second:        `,"pingInterval":90,"maxMessageSize":2000`,
		1250 * time.Millisecond: `,"pingInterval":2,"maxMessageSize":2000`,
		-1:                      `,"maxMessageSize":2000`,
	} {
		s.Config.PingInterval = interval
		reload(t, s, limited(2000))
		if err := s.Check(t.Context()); err != nil { // each loop knows
			t.Fatal(err)
		}
		ask(want)
	}
}

// A reload with other rules ends the subscriptions that they do not allow, of all connections,
// however many there are, and leaves the others alone.
func TestReloadRulesTakeRightsAway(t *testing.T) {
	with := func(rules ...webrocket.Rule) hubs {
		h := locked()
		h.MaxSubscriptions = -1
		h.Rules = rules
		return hubs{"/": h}
	}
	s := serve(t, with())
	var clients []*client
	for range 3 {
		c := login(t, s, "/", "read-write", "rw")
		c.write(`{"subscribe":{"channels":[{"channel":"open"},{"channel":"closed"}]}}`)
		c.want(`{"ok":true,"results":[{"ok":true,"channel":"open"},{"ok":true,"channel":"closed"}]}`)
		clients = append(clients, c)
	}
	// more than a loop looks at in one turn
	for i := range 50 {
		list := make([]string, 100)
		for j := range list {
			list[j] = fmt.Sprintf(`{"channel":"%d-%d"}`, i, j)
		}
		clients[0].write(`{"subscribe":{"channels":[` + strings.Join(list, ",") + `]}}`)
		if got, err := clients[0].read(); err != nil || strings.Contains(got, `"err"`) {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	reload(t, s, with(webrocket.Rule{Match: "closed", Subscribe: webrocket.Nobody}))
	for _, c := range clients {
		c.want(`{"unsubscribed":"rule","channel":"closed"}`)
		c.write(`{"subscribe":{"channel":"closed"}}`)
		c.want(`{"err":"access_denied"}`)
	}
	clients[0].write(`{"publish":{"event":"e","channel":"open"}}`)
	clients[0].want(`{"ok":true}`)
	for _, c := range clients {
		c.want(`{"event":"e","channel":"open"}`)
	}
	reload(t, s, with())
	clients[1].write(`{"subscribe":{"channel":"closed"}}`)
	clients[1].want(`{"ok":true}`)
}
