package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// guestsRules are the rules of a cluster whose nodes know who is in the room.
const guestsRules = `{"Match": "room:*", "Presence": {"Mode": "clients"}}`

// guestsEach is how many guests each node has.
const guestsEach = 20

// How long the nodes may take until their lists are exact: after one of them was killed, and
// after the end of a fault, when NATS has to connect them again. After a long split that waits for
// TCP, which repeats what was lost at longer and longer intervals.
const (
	exactWithin  = 5 * time.Second
	healedWithin = 15 * time.Second
)

// Guests are present in the room, some at each node, and come back whenever they lose their connection.
type guests struct {
	u   *union
	all []*guest
	mu  sync.Mutex // of the ids of all

	gone  []time.Duration // from a kill -9 until the other nodes' lists were exact
	exact []time.Duration // from the end of a fault until all lists were
	wrong []string        // lists that were not exact in time
}

// A guest is present at a node while its id is not "".
type guest struct {
	node int
	id   string // as the reply to its login names it; guarded by guests.mu
}

// invite lets guests come to all nodes, until ctx is done.
func (u *union) invite(ctx context.Context, talking *sync.WaitGroup) error {
	u.guests = &guests{u: u}
	for i := range u.nodes {
		for range guestsEach {
			u.guests.all = append(u.guests.all, &guest{node: i})
		}
	}
	for _, g := range u.guests.all {
		talking.Go(func() { u.guests.run(ctx, g) })
	}
	return u.t.until(ctx, patience, "each node knows all guests", u.guests.areExact)
}

// run is present until ctx is done.
func (g *guests) run(ctx context.Context, one *guest) {
	for ctx.Err() == nil {
		if c, err := (dialer{addr: g.u.nodes[one.node].addr, silence: time.Hour}).open(ctx); err == nil {
			g.stay(ctx, one, c)
			c.abort()
		}
		rest(ctx, 50*time.Millisecond)
	}
}

// stay is present until the connection ends.
func (g *guests) stay(ctx context.Context, one *guest, c *client) {
	defer context.AfterFunc(ctx, c.abort)()
	if c.send(login("read-only", "")) != nil {
		return
	}
	message, err := c.receive()
	var reply struct{ Client string }
	if err != nil || json.Unmarshal(message, &reply) != nil || c.do(subscribe(room)) != nil {
		return
	}
	g.is(one, reply.Client)
	defer g.is(one, "")
	for err == nil {
		_, err = c.receive()
	}
}

func (g *guests) is(one *guest, id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one.id = id
}

// expected returns the ids of those that are there, and false if one that should be is not.
func (g *guests) expected(without int) (ids []string, complete bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.all {
		switch {
		case one.node == without:
		case one.id == "":
			return nil, false
		default:
			ids = append(ids, one.id)
		}
	}
	slices.Sort(ids)
	return ids, true
}

// areExact reports whether the list of each node has all guests and nobody else.
func (g *guests) areExact() bool { return g.wrongAt(nobodyKilled) == nil }

// nobodyKilled is the number of no node.
const nobodyKilled = -1

// wrongAt returns what is wrong with the list of a node, beside the one that was killed.
func (g *guests) wrongAt(killed int) error {
	want, complete := g.expected(killed)
	if !complete {
		return errors.New("not all are back")
	}
	for i, n := range g.u.nodes {
		if i == killed {
			continue
		}
		got, err := n.lists()
		if err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("node %d lists %d of %d, and %d others", i, common(got, want), len(want), len(got)-common(got, want))
		}
	}
	return nil
}

// common returns how many of a list are in another one.
func common(list, other []string) (n int) {
	for _, one := range list {
		if slices.Contains(other, one) {
			n++
		}
	}
	return n
}

// lists returns whom a node lists, sorted.
func (s *server) lists() (ids []string, err error) {
	resp, err := s.get("/api/presence?hub=/&limit=1000&channel=" + room)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list presenceOf
	if resp.StatusCode == http.StatusNotFound { // nobody is there
		return nil, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, err
	}
	for _, m := range list.Members {
		ids = append(ids, m.Client)
	}
	slices.Sort(ids)
	return ids, nil
}

// settle waits until the lists are exact, and notes how long that took since a time.
func (g *guests) settle(ctx context.Context, since time.Time, killed int, what string) {
	var wrong error
	if g.u.t.until(ctx, patience, "lists are exact", func() bool { wrong = g.wrongAt(killed); return wrong == nil }) != nil {
		g.wrong = append(g.wrong, what+": "+wrong.Error())
	}
	took := time.Since(since)
	if killed == nobodyKilled {
		g.exact = append(g.exact, took)
	} else {
		g.gone = append(g.gone, took)
	}
}

// report leaves findings.
func (g *guests) report() {
	saw := "never wrong for good"
	if len(g.wrong) > 0 {
		saw = strings.Join(g.wrong, "; ")
	}
	g.u.t.check(len(g.wrong) == 0, fmt.Sprintf("of %d clients in a channel with presence, who come back, each node lists those that are there and nobody else: after each fault, and at the others when a node is killed", len(g.all)),
		"%s", saw)
	g.u.t.checkSpeed(slices.Max(g.gone) <= exactWithin, fmt.Sprintf("within %v of a kill -9 the other nodes' lists are exact", exactWithin), "%s, of %d kills", spread(g.gone), len(g.gone))
	g.u.t.checkSpeed(slices.Max(g.exact) <= healedWithin, fmt.Sprintf("within %v of the end of any fault all lists are exact", healedWithin), "%s, of %d faults", spread(g.exact), len(g.exact))
}
