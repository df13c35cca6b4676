package pubsub

import "slices"

// A Listener hears one channel without being a member of it on a loop: it is how
// a Go program subscribes.
type Listener struct {
	channel *channel
	take    func(Message)
}

// Listen calls take with each message of a channel from now on, in the order in
// which all members hear them. The channel exists at least until Close. take runs
// under the lock of the channel's stripe: it must be fast, must not call the hub,
// and copies what it keeps. Listen returns ErrFull if the channel would be one
// more than limit. Any goroutine.
func (h *Hub) Listen(limit int, name []byte, take func(Message)) (*Listener, error) {
	st := h.stripe(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	ch, err := h.needChannel(st, name, limit)
	if err != nil {
		return nil, err
	}
	l := &Listener{ch, take}
	ch.listeners = append(ch.listeners, l)
	return l, nil
}

// Close ends what Listen began: take is not called any more once it has
// returned. Closing twice does nothing. Any goroutine, but not within take.
func (l *Listener) Close() {
	ch := l.channel
	ch.stripe.mu.Lock()
	defer ch.stripe.mu.Unlock()
	if i := slices.Index(ch.listeners, l); i >= 0 {
		ch.listeners = slices.Delete(ch.listeners, i, i+1)
		ch.endIfUnused()
	}
}

// Channel returns the name of the channel.
func (l *Listener) Channel() string { return l.channel.name }
