package cluster

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
)

// Tell makes Node a hub.Teller.
func (n *Node) Tell(h *hub.Hub, f hub.Fact) {
	n.teller.set(keyOf(h.Name(), &f), f.Value)
	n.wakeSender()
}

// Untell makes Node a hub.Teller.
func (n *Node) Untell(h *hub.Hub, f hub.Fact) {
	n.teller.unset(keyOf(h.Name(), &f))
	n.wakeSender()
}

// sendFacts says something about facts to all. Those that do not hear it ask for it.
func (n *Node) sendFacts(message []byte) { _ = n.conn.Publish(n.subjects.facts, message) }

func (n *Node) askOwner(owner uint64, message []byte) {
	_ = n.conn.Publish(n.subjects.want+token(owner), message) // it is asked again
}

// receiveFacts takes what other nodes tell.
func (n *Node) receiveFacts(m *nats.Msg) {
	k, from, rest, err := parseHead(m.Data)
	if err == nil && from != n.exchange.id {
		err = n.learner.take(measure.Now(), k, from, rest)
		n.wakeGuests()
	}
	if err != nil {
		n.exchange.unreadable()
	}
}

// receiveWant takes what another node lacks.
func (n *Node) receiveWant(m *nats.Msg) {
	k, _, rest, err := parseHead(m.Data)
	mask, more, wrong := parseNumbered(rest)
	if err != nil || k != kindWant || wrong != nil || len(more) > 0 {
		n.exchange.unreadable()
		return
	}
	n.teller.want(mask)
}

func (n *Node) wakeGuests() {
	select {
	case n.learned <- struct{}{}:
	default: // it is awake
	}
}

// tellGuests tells subscribers here who comes and goes at other nodes.
func (n *Node) tellGuests() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-n.learned:
		case <-timer.C:
		case <-n.done:
			return
		}
		wait := time.Hour
		n.hubs.Range(func(_, h any) bool {
			if next, again := h.(*hub.Hub).TellGuests(); again {
				wait = min(wait, max(next-measure.Now(), 0))
			}
			return true
		})
		timer.Reset(wait)
	}
}
