package pusher

import (
	"context"
	"strconv"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// In a cluster the nodes tell each other, as facts of their hubs, how many subscribers a
// channel has there, which users are members, and which have signed in. So each knows who is
// there on all nodes, tells its own clients who comes and goes, and answers for all. All
// see the same things happen; the webhooks are told by the node that is on duty for the channel.
const (
	factSubscribers = 's' // of a channel: how many
	factMember      = 'm' // of a presence channel, by the user's id: the info
	factUser        = 'u' // a user, by the id, has signed in
)

// terminateTopic is what applications of other nodes are asked by Terminate, terminateWait
// how long the HTTP API waits for their answers.
const (
	terminateTopic = "pusher terminate"
	terminateWait  = 1500 * time.Millisecond
)

// meetOthers makes the application one with those of other nodes.
func (a *App) meetOthers() {
	a.hub.FindSession(a.session)
	a.hub.LearnFacts(factSubscribers, farSubscribers{a})
	a.hub.LearnFacts(factMember, farMembers{a})
	a.hub.LearnFacts(factUser, farUsers{a})
	a.hub.Serve(terminateTopic, func(_ context.Context, id []byte) ([]byte, error) {
		a.terminateHere(string(id))
		return nil, nil
	})
}

// subscribed notes that a channel has more or fewer subscribers here. Its part is locked.
func (a *App) subscribed(ch *channel, name string, more int) {
	ch.subscribers += more
	f := hub.Fact{Kind: factSubscribers, Channel: name, Value: strconv.Itoa(ch.subscribers)}
	if ch.subscribers > 0 {
		a.hub.Tell(f)
	} else {
		a.hub.Untell(f)
	}
}

// farSubscribers learns how many subscribers channels have at other nodes. What is known of a
// fact is the number.
type farSubscribers struct{ *App }

func (a farSubscribers) Learn(f hub.Fact, known any) any {
	n, _ := strconv.Atoi(f.Value)
	before, _ := known.(int)
	a.change(f.Channel, n-before)
	return n
}

func (a farSubscribers) Unlearn(f hub.Fact, known any) { a.change(f.Channel, -known.(int)) }

func (a farSubscribers) change(name string, more int) {
	open, unlock := a.channels.lock(name)
	defer unlock()
	ch := a.occupy(open, name, a.hub.Joining())
	ch.far += more
	if !a.vacate(open, name, ch) {
		a.count(name, KindOf(name), ch)
	}
}

// farMembers learns which users are members of presence channels at other nodes.
type farMembers struct{ *App }

func (a farMembers) Learn(f hub.Fact, known any) any {
	if known != nil {
		return known
	}
	open, unlock := a.channels.lock(f.Channel)
	defer unlock()
	quiet := a.hub.Joining()
	ch := a.occupy(open, f.Channel, quiet)
	m, fresh := ch.member(person{f.Name, []byte(f.Value)})
	m.far++
	if fresh {
		a.tell(nil, f.Channel, "member_added", memberData(f.Name, m.info))
		if !quiet {
			a.hooks.memberAdded(f.Channel, f.Name)
		}
	}
	return true
}

func (a farMembers) Unlearn(f hub.Fact, _ any) {
	open, unlock := a.channels.lock(f.Channel)
	defer unlock()
	ch := open[f.Channel]
	if ch == nil || ch.members[f.Name] == nil {
		return
	}
	m := ch.members[f.Name]
	m.far--
	if ch.forget(m, f.Name) {
		a.tellRemoved(nil, f.Channel, f.Name)
	}
	a.vacate(open, f.Channel, ch)
}

// farUsers learns which users have signed in at other nodes.
type farUsers struct{ *App }

func (a farUsers) Learn(f hub.Fact, known any) any {
	if known != nil {
		return known
	}
	a.users.mu.Lock()
	defer a.users.mu.Unlock()
	u := a.users.of(f.Name)
	if !u.online() {
		u.tellWatchers("online", f.Name)
	}
	u.far++
	return true
}

func (a farUsers) Unlearn(f hub.Fact, _ any) {
	a.users.mu.Lock()
	defer a.users.mu.Unlock()
	u := a.users.of(f.Name)
	u.far--
	if !u.online() {
		u.tellWatchers("offline", f.Name)
	}
	a.users.forget(f.Name)
}
