package pubsub

import "time"

// Lose tells the members of a channel that n of its messages are missing at this place;
// 0: some, perhaps. The notice is a Message with Lost in the order of the channel's
// messages. What the channel keeps goes, and positions from before are not recovered any
// more: nobody comes back over the gap unknowingly. Now is on the clock of Message.At.
// Any goroutine.
func (h *Hub) Lose(channel []byte, n uint64, now time.Duration) {
	st := h.stripe(channel)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.lose(h, channel, n, now)
}

// LoseAll is Lose with 0 for every channel whose history, if it has one, is of the hub's own
// counting: a Source knows itself what it has lost. After each part of the table it calls between,
// which may wait, without a lock: what all members do because of the notice should not come
// at once. parts is how many there are. Any goroutine.
func (h *Hub) LoseAll(now func() time.Duration, between func(parts int)) {
	for i := range h.stripes {
		st := &h.stripes[i]
		names := st.names()
		st.skip()
		for _, name := range names {
			if h.sourceOf(name) == nil || !h.history.of([]byte(name)).keeps() {
				h.Lose([]byte(name), 0, now())
			}
		}
		between(stripeCount)
	}
}

// lose is Lose. The stripe is locked.
func (st *stripe) lose(h *Hub, channel []byte, n uint64, now time.Duration) {
	m := Message{Channel: channel, Lost: -1, At: now}
	if n > 0 {
		m.Lost = int64(n)
	}
	ch := st.channels[string(channel)]
	if ch == nil {
		if st.kept != nil {
			st.kept.ended.skip(string(channel))
		}
		return
	}
	if l := ch.log; l != nil {
		if !l.sparse { // else the messages came beside those of the source, and are not kept
			was := l.bytes
			l.skip()
			ch.logChanged(was)
		}
		m.Offset = l.top
	}
	ch.tell(h.encodings.Load(), &m)
	ch.endIfUnused()
}

// tell gives a notice to all members of the channel. The stripe is locked.
func (ch *channel) tell(e *encodings, m *Message) {
	made := new(forms)
	for _, a := range ch.audiences {
		if frame := e.of(made, a.form, m); len(frame) > 0 {
			a.append(ch, frame, "", m)
		}
	}
	for _, l := range ch.listeners {
		l.take(*m)
	}
	for _, p := range ch.hub.heardBy(m.Channel, nil) {
		p.makeForms(e, made, m)
		p.hear(ch, e, made, m, Always)
	}
}
