package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats.go"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/cluster/embedded"
)

// A site is a node with a server of WebSocket.
type site struct {
	*webrocket.Server
	member *member
}

// serve makes a node serve clients at "/" with tokens, and some rules.
func serve(t *testing.T, m *member, rules ...webrocket.Rule) *site {
	t.Helper()
	h := withTokens(t)
	h.Rules = rules
	return serveWith(t, m, h)
}

// withTokens returns a handler that takes tokens.
func withTokens(t *testing.T) *webrocket.HubHandler {
	t.Helper()
	tokens, err := auth.NewTokens(auth.TokenConfig{Keys: []*auth.Key{tokenKey(t)}, Audience: "rocket"})
	if err != nil {
		t.Fatal(err)
	}
	h := webrocket.NewJSONHandler()
	h.Tokens = tokens
	return h
}

// serveWith makes a node serve clients at "/" with a handler.
func serveWith(t *testing.T, m *member, h webrocket.Handler) *site {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Broker = m.Node
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.Shutdown(ctx)
	})
	return &site{s, m}
}

func tokenKey(t *testing.T) *auth.Key {
	t.Helper()
	key, err := auth.ParseKey("k", "HS256", []byte("a secret of at least 32 characters"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A client is one connection.
type client struct {
	t    *testing.T
	conn *websocket.Conn
	id   string // that the reply to its login has
}

// dial connects to a node, without a login.
func (s *site) dial(t *testing.T) *client {
	t.Helper()
	return s.dialAt(t, "/")
}

func (s *site) dialAt(t *testing.T, path string) *client {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t: t, conn: conn}
}

// login connects to a node as a user, whose token was made a minute ago.
func (s *site) login(t *testing.T, user string) *client {
	t.Helper()
	c := s.dial(t)
	reply := c.do(loginOf(t, user))
	var found struct{ Client string }
	if err := json.Unmarshal([]byte(reply), &found); err != nil || found.Client == "" {
		t.Fatalf("got %s, %v", reply, err)
	}
	c.id = found.Client
	return c
}

func loginOf(t *testing.T, user string) string {
	t.Helper()
	now := time.Now()
	token, err := tokenKey(t).Sign(auth.Claims{
		User: user, ID: "of " + user, Audience: []string{"rocket"}, Issued: now.Add(-time.Minute), Expires: now.Add(time.Hour),
		Channels: []auth.Entry{{Channel: "*", Rights: auth.Subscribe | auth.Presence}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return `{"auth":{"token":"` + token + `"}}`
}

func (c *client) do(command string) (reply string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(command)); err != nil {
		c.t.Fatal(err)
	}
	return c.read()
}

func (c *client) read() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, text, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func (c *client) want(message string) {
	c.t.Helper()
	if got := c.read(); got != message {
		c.t.Errorf("got %s, want %s", got, message)
	}
}

// wantClose waits for the end of the connection.
func (c *client) wantClose(code websocket.StatusCode) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var err error
	for err == nil {
		_, _, err = c.conn.Read(ctx)
	}
	if got := websocket.CloseStatus(err); got != code {
		c.t.Errorf("closed with %v (%v), want %v", got, err, code)
	}
}

// sites starts n nodes that serve clients.
func sites(t *testing.T, n int, rules ...webrocket.Rule) (all []*site) {
	t.Helper()
	for _, m := range joinAll(t, n, noSecret) {
		all = append(all, serve(t, m, rules...))
	}
	return all
}

// What is asked of one node is done by all: sessions are subscribed, unsubscribed and
// disconnected wherever they are, and the answer counts all of them.
func TestSessionsOfAllNodes(t *testing.T) {
	nodes := sites(t, 3)
	a, b, c := nodes[0].login(t, "42"), nodes[1].login(t, "42"), nodes[2].login(t, "43")
	who := webrocket.Sessions{User: "42"}
	check := func(what string, got webrocket.Done, err error, count int) {
		t.Helper()
		if err != nil || got.Count != count || got.Nodes != 3 || got.Missing != nil || got.Refused != 0 {
			t.Errorf("%s: got %+v, %v, want %d of 3 nodes", what, got, err, count)
		}
	}
	ctx := t.Context()
	done, err := nodes[2].SubscribeSessions(ctx, "/", who, "c")
	check("subscribe", done, err, 2)
	for _, one := range []*client{a, b} {
		one.want(`{"subscribed":"admin","channel":"c"}`)
	}
	if done, err = nodes[0].SubscribeSessions(ctx, "/", webrocket.Sessions{Client: c.id}, "c"); err != nil || done.Count != 1 {
		t.Errorf("a client of another node: got %+v, %v", done, err)
	}
	c.want(`{"subscribed":"admin","channel":"c"}`)
	if _, err = nodes[0].SubscribeSessions(ctx, "/", webrocket.Sessions{Client: "AAAAAAAAAAA"}, "c"); !errors.Is(err, webrocket.ErrNoConnection) {
		t.Errorf("a client of no node: got %v", err)
	}
	done, err = nodes[1].UnsubscribeSessions(ctx, "/", who, "c")
	check("unsubscribe", done, err, 2)
	for _, one := range []*client{a, b} {
		one.want(`{"unsubscribed":"admin","channel":"c"}`)
	}
	done, err = nodes[1].DisconnectSessions(ctx, "/", who, 4000, "go")
	check("disconnect", done, err, 2)
	a.wantClose(4000)
	b.wantClose(4000)

	list, _, err := nodes[2].ListConnections(ctx, webrocket.ConnQuery{})
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	d := nodes[1].login(t, "44")
	done, err = nodes[1].SubscribeSessions(ctx, "/", webrocket.Sessions{User: "44"}, "c")
	check("subscribe", done, err, 1)
	if err := nodes[0].Disconnect(ctx, list[0].ID, 4001, ""); err != nil {
		t.Error(err)
	}
	c.wantClose(4001)
	done, err = nodes[0].DisconnectChannel(ctx, "/", "c", 4002, "")
	check("disconnect a channel", done, err, 1)
	d.wantClose(4002)
	if err := nodes[0].Disconnect(ctx, list[0].ID, 4001, ""); !errors.Is(err, webrocket.ErrNoConnection) {
		t.Errorf("a connection that is gone: got %v", err)
	}
}

// A revocation at one node ends the connections at all, and its token is refused by all:
// also by a node that was away, and by one that starts later.
func TestRevokeEverywhere(t *testing.T) {
	t.Parallel()
	addresses := freePorts(t, 3)
	start := func(i int) *site {
		return serve(t, join(t, embedded.Config{Node: "n" + string(rune('0'+i)), Listen: addresses[i], Routes: addresses}))
	}
	a, b := start(0), start(1)
	waitFor(t, "the other node", func() bool { return len(a.member.Stats().Peers) == 1 })
	here, there, other := a.login(t, "42"), b.login(t, "42"), b.login(t, "43")
	done, err := a.RevokeUser(t.Context(), "42", time.Time{})
	if err != nil || done.Nodes != 2 || done.Missing != nil {
		t.Errorf("got %+v, %v", done, err)
	}
	here.wantClose(4401)
	there.wantClose(4401)
	if reply := other.do(`{"ping":true}`); reply != `{"ok":true}` {
		t.Errorf("got %s", reply)
	}
	if done, err = b.RevokeToken(t.Context(), "of 43"); err != nil || done.Nodes != 2 {
		t.Errorf("got %+v, %v", done, err)
	}
	other.wantClose(4401)
	if _, err := a.RevokeUser(t.Context(), "", time.Time{}); !errors.Is(err, auth.ErrBadRevocation) {
		t.Errorf("no user: got %v", err)
	}

	b.member.server.Shutdown() // without a word
	waitFor(t, "the silence of a node", func() bool { return !a.member.Stats().Peers[0].Alive })
	if done, err = a.RevokeUser(t.Context(), "44", time.Time{}); err != nil || done.Nodes != 1 || len(done.Missing) != 1 || done.Missing[0] != "n1" {
		t.Errorf("a node is away: got %+v, %v", done, err)
	}
	late := start(2)
	for _, user := range []string{"42", "43", "44"} {
		if reply := late.dial(t).do(loginOf(t, user)); !strings.Contains(reply, "invalid_credentials") {
			t.Errorf("a node that has just started lets the user %s in: %s", user, reply)
		}
	}
	late.login(t, "45")
}

// A revocation holds at a node that had no hub with tokens when it came, and gets one by a
// reload: at the same path or at another one.
func TestRevokedBeforeReload(t *testing.T) {
	t.Parallel()
	nodes := joinAll(t, 2, noSecret)
	a, b := serve(t, nodes[0]), serveWith(t, nodes[1], webrocket.NewJSONHandler())
	for _, tt := range []struct {
		user, path string
		handlers   map[string]webrocket.Handler
	}{
		{"42", "/", map[string]webrocket.Handler{"/": withTokens(t)}},
		{"43", "/other", map[string]webrocket.Handler{"/": webrocket.NewJSONHandler(), "/other": withTokens(t)}},
	} {
		if err := b.Reload(b.Config, map[string]webrocket.Handler{"/": webrocket.NewJSONHandler()}); err != nil {
			t.Fatal(err)
		}
		if done, err := a.RevokeUser(t.Context(), tt.user, time.Time{}); err != nil || done.Nodes != 2 {
			t.Fatalf("got %+v, %v", done, err)
		}
		if err := b.Reload(b.Config, tt.handlers); err != nil {
			t.Fatal(err)
		}
		if reply := b.dialAt(t, tt.path).do(loginOf(t, tt.user)); !strings.Contains(reply, "invalid_credentials") {
			t.Errorf("%s: the user %s is let in: %s", tt.path, tt.user, reply)
		}
		if reply := b.dialAt(t, tt.path).do(loginOf(t, "44")); !strings.Contains(reply, `"ok":true`) {
			t.Errorf("%s: another user: %s", tt.path, reply)
		}
	}
}

// room is a rule by which all see who is in a channel.
var room = webrocket.Rule{Match: "room:*", Presence: webrocket.Presence{Mode: webrocket.PresenceUsers}}

// users returns the users of a channel at a node, sorted.
func (s *site) users(t *testing.T, channel string) []string {
	t.Helper()
	page, err := s.Presence("/", channel, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	users := []string{}
	for _, m := range page.Members {
		users = append(users, m.User+m.Info)
	}
	slices.Sort(users)
	if page.Users != len(users) {
		t.Errorf("%d users are counted, and %v listed", page.Users, users)
	}
	return users
}

// wantUsers waits until a channel has these users at each of the nodes.
func wantUsers(t *testing.T, nodes []*site, channel string, want ...string) {
	t.Helper()
	for i, s := range nodes {
		waitFor(t, fmt.Sprintf("%v in %s at node %d", want, channel, i), func() bool {
			return slices.Equal(s.users(t, channel), want)
		})
	}
}

// Everybody in a channel is in the list of each node, also of one that starts later; notices
// of who comes and goes reach those that watch, wherever they are. A user who has connections
// to two nodes is one, and those of a node that is killed leave.
func TestPresenceOfAllNodes(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	addresses := freePorts(t, 4)
	start := func(i int) *site {
		return serve(t, join(t, embedded.Config{Node: "n" + string(rune('0'+i)), Listen: addresses[i], Routes: addresses}), room)
	}
	nodes := []*site{start(0), start(1), start(2)}
	enter := func(s *site, user string) *client {
		t.Helper()
		c := s.login(t, user)
		if got := c.do(`{"subscribe":{"channel":"room:1"}}`); got != `{"ok":true}` {
			t.Fatalf("got %s", got)
		}
		return c
	}
	watcher := nodes[0].login(t, "anna")
	if got := watcher.do(`{"subscribe":{"channel":"room:1","presence":true}}`); !strings.Contains(got, `"users":1`) {
		t.Fatalf("got %s", got)
	}
	enter(nodes[1], "bert")
	there := enter(nodes[2], "carl")
	second := enter(nodes[0], "carl")
	wantUsers(t, nodes, "room:1", "anna", "bert", "carl")

	seen := map[string]bool{}
	watch := func(done func() bool) {
		t.Helper()
		for !done() {
			var n struct {
				Presence struct{ Joined, Left []struct{ User string } }
			}
			text := watcher.read()
			if err := json.Unmarshal([]byte(text), &n); err != nil {
				t.Fatal(text)
			}
			for _, m := range n.Presence.Joined {
				seen[m.User] = true
			}
			for _, m := range n.Presence.Left {
				delete(seen, m.User)
			}
		}
	}
	watch(func() bool { return seen["bert"] && seen["carl"] })

	_ = there.conn.CloseNow()
	late := start(3)
	nodes = append(nodes, late)
	wantUsers(t, nodes, "room:1", "anna", "bert", "carl")
	_ = second.conn.CloseNow()
	wantUsers(t, nodes, "room:1", "anna", "bert")
	watch(func() bool { return !seen["carl"] })

	killed := time.Now()
	nodes[1].member.server.Shutdown() // without a word
	left := []*site{nodes[0], nodes[2], late}
	wantUsers(t, left, "room:1", "anna")
	t.Logf("gone after %v", time.Since(killed))
	watch(func() bool { return !seen["bert"] })
	if stats := late.Hub("/").PresenceStats(); stats.Members != 1 {
		t.Errorf("got %+v", stats)
	}
	_ = watcher.conn.CloseNow()
	wantUsers(t, left, "room:1")
}

// A node whose subscribers cannot be served as fast as events come goes on saying that it is
// there, and tells its numbers; in the end they have got all.
func TestBeatsWhileSubscribersAreSlow(t *testing.T) {
	sitsOut(t)
	nodes := joinAll(t, 2, noSecret)
	stuck, free := make(chan struct{}), make(chan struct{})
	freed := sync.OnceFunc(func() { close(free) })
	s := webrocket.NewServer("127.0.0.1:0")
	s.Config.Loops = 1
	s.Broker = nodes[1].Node
	h := webrocket.NewJSONHandler()
	h.MaxQueuedBytes = 256 << 20
	h.OnPublish = func(*webrocket.Session, webrocket.Event) error {
		close(stuck)
		<-free
		return nil
	}
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	t.Cleanup(freed)
	c := (&site{s, nodes[1]}).dial(t)
	for _, command := range []string{`{"auth":{"access":"read-write","secret":""}}`, `{"subscribe":{"channel":"c"}}`} {
		if reply := c.do(command); !strings.Contains(reply, `"ok":true`) {
			t.Fatal(reply)
		}
	}
	if err := c.conn.Write(t.Context(), websocket.MessageText, []byte(`{"publish":{"channel":"x","event":"e"}}`)); err != nil {
		t.Fatal(err)
	}
	<-stuck
	data := strings.Repeat("x", 100_000)
	const events = 400
	for range events {
		for errors.Is(nodes[0].hub.Publish("c", "e", data), webrocket.ErrOverloaded) {
			runtime.Gosched() // until it is sent
		}
	}
	overloaded := func() bool {
		return errors.Is(s.Publish("/", "c", "e", data), webrocket.ErrOverloaded)
	}
	waitFor(t, "more events than there is room for", overloaded)
	beats := nodes[0].beats(t, "n1")
	for range 10 {
		select {
		case <-beats:
		case <-time.After(patience):
			t.Fatal("the node is silent")
		}
	}
	if got := nodes[1].Stats().ReceivedEvents; got == 0 || got >= events {
		t.Errorf("%d events have been delivered", got)
	}
	freed()
	waitFor(t, "all events", func() bool { return nodes[1].Stats().ReceivedEvents == events })
}

// beats returns the beats of another node, as they come to this one.
func (m *member) beats(t *testing.T, of string) <-chan *nats.Msg {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(m.server), nats.UserInfo(m.server.Login()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	beats := make(chan *nats.Msg, 1000)
	if _, err := conn.Subscribe("rk.test.c.*", func(m *nats.Msg) {
		if m.Data[1] == 'H' && bytes.Contains(m.Data, []byte(of)) {
			beats <- m
		}
	}); err != nil {
		t.Fatal(err)
	}
	return beats
}
