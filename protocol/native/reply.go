package native

import (
	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/presence"
	"github.com/nu7hatch/webrocket/pubsub"
)

// begunOf returns where a subscription began as the codec has it. ok says that it did.
func begunOf(b *hub.Begun, ok bool) *codec.Begun {
	if b == nil {
		return nil
	}
	return &codec.Begun{
		Position: codec.Position{Epoch: b.Epoch, Offset: b.Offset}, Top: b.Top, Replays: b.Top > b.Offset,
		Asked: b.Asked && ok, Recovered: b.Recovered, Lost: b.Lost,
	}
}

// positionsOf returns positions as the hub has them.
func positionsOf(of map[string]codec.Position) map[string]pubsub.Position {
	var all map[string]pubsub.Position
	for channel, p := range of {
		if all == nil {
			all = make(map[string]pubsub.Position, len(of))
		}
		all[channel] = pubsub.Position(p)
	}
	return all
}

// membersOf returns entries of a list as the codec has them.
func membersOf(list []presence.Entry) []codec.Member {
	var all []codec.Member
	for _, e := range list {
		all = append(all, codec.Member(e))
	}
	return all
}

// replyOf returns a result as the codec has it.
func replyOf(r hub.Result, id []byte) codec.Reply {
	reply := codec.Reply{
		Err: r.Code.String(), Reason: r.Reason, ID: id,
		Stored: codec.Stored{Offset: r.Stored.Offset, Keyed: r.Stored.Keyed, Duplicate: r.Stored.Duplicate},
	}
	reply.Begun = begunOf(r.Begun, r.OK())
	if p := r.Presence; p != nil {
		reply.Present = &codec.Present{
			Version: p.Version, Clients: p.Clients, Users: p.Users, Listed: p.Listed, More: p.More,
			Members: membersOf(p.Members),
		}
	}
	if page := r.Page; page != nil {
		reply.Page = &codec.Page{Epoch: page.Epoch, First: page.First, Top: page.Top, More: page.More}
		for _, item := range page.Items {
			reply.Page.Events = append(reply.Page.Events, codec.Payload(item.Frame))
		}
	}
	return reply
}
