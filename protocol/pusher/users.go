package pusher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
)

// maxSignedIn is how long the id of a user may be that signs in, in bytes: it becomes a
// part of a channel's name.
const maxSignedIn = 200

// users are those who have signed in, and those who are watched.
type users struct {
	mu    sync.Mutex
	known map[string]*user // guarded by mu
}

// A user has a connection, or is watched by one. Its fields are guarded by the lock.
type user struct {
	conns    map[*conn]place
	watchers map[*conn]place
	watches  map[*conn][]string // whom each connection of the user watches
	far      int                // other nodes where the user has connections
}

// online reports whether the user has a connection, here or at another node.
func (u *user) online() bool { return len(u.conns)+u.far > 0 }

// A place says where a connection is found.
type place struct {
	loop   *engine.Loop
	id     uint64
	serial uint64
}

func placeOf(c *engine.Conn) place { return place{c.Loop(), c.ID(), c.Serial()} }

// do calls f with the connection on its loop, if it is open then.
func (p place) do(f func(c *engine.Conn)) {
	p.loop.Post(func() {
		if c := p.loop.Conn(p.id); c != nil && c.Serial() == p.serial {
			f(c)
		}
	})
}

// of returns a user, who is known from then on. mu is held.
func (all *users) of(id string) *user {
	u := all.known[id]
	if u == nil {
		if all.known == nil {
			all.known = make(map[string]*user)
		}
		u = &user{conns: make(map[*conn]place), watchers: make(map[*conn]place), watches: make(map[*conn][]string)}
		all.known[id] = u
	}
	return u
}

// forget forgets a user if there is no reason to know them. mu is held.
func (all *users) forget(id string) {
	if u := all.known[id]; u != nil && !u.online() && len(u.watchers) == 0 {
		delete(all.known, id)
	}
}

// A signedUser is what user_data says.
type signedUser struct {
	id        string
	info      []byte // JSON; valid as long as the message
	watchlist []string
}

// signIn obeys pusher:signin, and answers.
func (a *App) signIn(c *engine.Conn, s *conn, args arguments) hub.Code {
	rules := a.settings.Load()
	auth, _ := textOf(args.auth)
	data, _ := textOf(args.userData)
	u, why := signedUser{}, "the signature in auth is not that of this connection and user_data"
	if rules.keys.verify(auth, func(dst []byte) []byte { return appendUserText(a.appendSocketID(dst, s.number()), data) }) {
		u, why = userOf(rules, data)
	}
	if why == "" && s.user() != "" && s.user() != u.id {
		why = "the connection is that of another user already"
	}
	if why != "" {
		send(c, errorMessage(clientError{message: why, code: codeUnauthorized}))
		return hub.InvalidCredentials
	}
	fresh := s.user() == ""
	s.state |= authorized
	s.rest().user, s.more.info = u.id, bytes.Clone(u.info)
	answer := append(begin(len(data)), `{"event":"pusher:signin_success","data":{"user_data":`...)
	send(c, append(appendString(answer, data), "}}"...))
	if len(u.watchlist) > rules.MaxWatchlist {
		u.watchlist = u.watchlist[:rules.MaxWatchlist]
		send(c, errorMessage(clientError{
			message: fmt.Sprintf("of the watchlist the first %d users are watched", rules.MaxWatchlist), code: codeLongWatchlist,
		}))
	}
	if !rules.Watchlist {
		u.watchlist = nil
	}
	if fresh {
		a.signedIn(c, s, u)
	}
	return hub.Success
}

// userOf returns the user of user_data, or why there is none.
func userOf(rules *settings, data []byte) (u signedUser, why string) {
	o, err := parseObject(nil, data)
	if err != nil {
		return signedUser{}, "user_data is not a JSON object"
	}
	u.id, _ = o.string("id")
	u.info = o.get("user_info")
	switch {
	case u.id == "":
		return signedUser{}, "user_data has no id, or one that is not a string"
	case !validUser(u.id, maxSignedIn):
		return signedUser{}, fmt.Sprintf("the id in user_data has control characters, or more than %d bytes", maxSignedIn)
	case len(u.info) > rules.MaxMemberInfo:
		return signedUser{}, fmt.Sprintf("user_info has more than %d bytes", rules.MaxMemberInfo)
	}
	if list := o.get("watchlist"); list != nil && json.Unmarshal(list, &u.watchlist) != nil {
		return signedUser{}, "watchlist is not a list of strings"
	}
	return u, ""
}

// signedIn notes that a user has a further connection, tells those who watch them, and
// tells the connection who of those whom it watches is there.
func (a *App) signedIn(c *engine.Conn, s *conn, who signedUser) {
	at := placeOf(c)
	a.users.mu.Lock()
	defer a.users.mu.Unlock()
	u := a.users.of(who.id)
	if !u.online() {
		u.tellWatchers("online", who.id)
	}
	if u.conns[s] = at; len(u.conns) == 1 {
		a.hub.Tell(hub.Fact{Kind: factUser, Name: who.id})
	}
	if len(who.watchlist) == 0 {
		return
	}
	u.watches[s] = who.watchlist
	var online, offline []string
	for _, id := range slices.Compact(slices.Sorted(slices.Values(who.watchlist))) {
		watched := a.users.of(id)
		watched.watchers[s] = at
		if watched.online() {
			online = append(online, id)
		} else {
			offline = append(offline, id)
		}
	}
	send(c, watchlistEvents(online, offline))
}

// signOut notes that a connection of a user has ended.
func (a *App) signOut(s *conn, id string) {
	a.users.mu.Lock()
	defer a.users.mu.Unlock()
	u := a.users.known[id]
	if u == nil {
		return
	}
	for _, watched := range u.watches[s] {
		if w := a.users.known[watched]; w != nil {
			delete(w.watchers, s)
			a.users.forget(watched)
		}
	}
	delete(u.watches, s)
	if delete(u.conns, s); len(u.conns) == 0 {
		a.hub.Untell(hub.Fact{Kind: factUser, Name: id})
	}
	if !u.online() {
		u.tellWatchers("offline", id)
	}
	a.users.forget(id)
}

// tellWatchers tells those who watch a user what has happened. The lock is held.
func (u *user) tellWatchers(what, id string) {
	if len(u.watchers) == 0 {
		return
	}
	online, offline := []string{id}, []string(nil)
	if what == "offline" {
		online, offline = offline, online
	}
	text := watchlistEvents(online, offline)
	for _, at := range u.watchers {
		at.do(func(c *engine.Conn) { send(c, text) })
	}
}

// watchlistEvents tells a connection who is there, and who is not.
func watchlistEvents(online, offline []string) []byte {
	var all []string
	for _, e := range []struct {
		name string
		ids  []string
	}{{"online", online}, {"offline", offline}} {
		if len(e.ids) == 0 {
			continue
		}
		var ids []string
		for _, id := range e.ids {
			ids = append(ids, string(appendString(nil, id)))
		}
		all = append(all, `{"name":"`+e.name+`","user_ids":[`+strings.Join(ids, ",")+`]}`)
	}
	return internal("pusher_internal:watchlist_events", "", `{"events":[`+strings.Join(all, ",")+`]}`)
}

// Terminate closes all connections that a user has signed in on, with 4009: a client
// does not come back by itself. Those at other nodes of a cluster are closed there; an error
// names the nodes that have not said that they did. Any goroutine but a loop's.
func (a *App) Terminate(ctx context.Context, id string) error {
	a.terminateHere(id)
	answers, err := a.hub.Call(ctx, terminateTopic, []byte(id))
	for _, answer := range answers {
		if answer.Err != nil {
			err = errors.Join(err, fmt.Errorf("node %s: %w", answer.Node, answer.Err))
		}
	}
	return err
}

// terminateHere is Terminate for this node.
func (a *App) terminateHere(id string) {
	a.users.mu.Lock()
	var all []place
	if u := a.users.known[id]; u != nil {
		all = slices.Collect(maps.Values(u.conns))
	}
	a.users.mu.Unlock()
	for _, at := range all {
		at.do(func(c *engine.Conn) { turnAway(c, codeUnauthorized, "the user's connections were terminated") })
	}
}
