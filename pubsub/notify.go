package pubsub

import (
	"slices"
	"time"
)

// A Notice is a frame that a protocol has for members of a channel: what it tells its
// own clients about the channel, and clients of other protocols do not hear.
type Notice struct {
	Channel []byte
	Frame   []byte // kept; not modified any more
	Forms   []Form // it reaches the members that hear in one of these

	// At is when the reason for the notice came up, on the clock of Shard.Clock.
	At time.Duration

	// Except is a member that does not get the notice. If nil, every one gets it.
	Except *Subscriber
}

// Notify gives members of a channel a notice, behind all messages that have been
// published before and before those that are published later. A notice is no message:
// it has no offset, is not kept and not counted. Nothing happens if there is no such
// channel. Any goroutine.
func (h *Hub) Notify(n Notice) {
	st := h.stripe(n.Channel)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[string(n.Channel)]
	if ch == nil {
		return
	}
	for _, a := range ch.audiences {
		if slices.Contains(n.Forms, a.form) {
			a.append(ch, n.Frame, "", &Message{At: n.At, Except: n.Except})
		}
	}
}
