package pubsub

// An Observer is told when channels and memberships begin and end. Its methods
// run in the middle of the hub's work, some of them under a lock: they must be
// fast, must not call the hub, and should only put what they get into a queue.
type Observer interface {
	// ChannelBegan is called when a channel begins to exist. For one channel,
	// ChannelBegan and ChannelEnded are called in turns. Any goroutine.
	ChannelBegan(channel string)

	// ChannelEnded is called when a channel ceases to exist. Any goroutine.
	ChannelEnded(channel string)

	// Joined is called when a subscriber has become a member of a channel, on the
	// loop of the subscriber.
	Joined(channel string, s *Subscriber)

	// Left is called when the membership has ended, on the same loop.
	Left(channel string, s *Subscriber)
}

// Observe gives the hub its observer. Channels that exist already are reported at
// once. It must be called before a channel has members.
func (h *Hub) Observe(o Observer) {
	for i := range h.stripes {
		st := &h.stripes[i]
		st.mu.Lock()
		st.observer = o
		for name := range st.channels {
			o.ChannelBegan(name)
		}
		st.mu.Unlock()
	}
}

// channelBegan is called with the stripe locked, and so is channelEnded.
func (st *stripe) channelBegan(name string) {
	if st.observer != nil {
		st.observer.ChannelBegan(name)
	}
}

func (st *stripe) channelEnded(name string) {
	if st.observer != nil {
		st.observer.ChannelEnded(name)
	}
}

// joined is called on the loop of s, and so is left. The observer does not change
// any more when there are members.
func (st *stripe) joined(name string, s *Subscriber) {
	if st.observer != nil {
		st.observer.Joined(name, s)
	}
}

func (st *stripe) left(name string, s *Subscriber) {
	if st.observer != nil {
		st.observer.Left(name, s)
	}
}
